"""Which commit ticked a box: the one that changed it from open to done, not the last one that touched its line."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path

from shoal.adapters.git.files import Reader
from shoal.adapters.git.reading import Reading
from shoal.errors import GitError

STEPS = 8  # commits that only reworded a line, at most, until the one that ticked it
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_TICKED = re.compile(r"\[[xX✓✔]\]")
_BLAMED = re.compile(r"^([0-9a-f]{40,64}) (\d+) (\d+)", re.MULTILINE)
_NO_PROGRAM = ("--no-color", "--no-ext-diff", "--no-textconv")


def commits_of(root: Path, path: str, lines: Iterable[int], max_bytes: int) -> dict[int, str]:
    """The commit that ticked each of these lines of a file as it lies there; those not committed yet are left out.

    Raises nothing: without an answer of git there is none.
    """
    git = Reading(root)
    found: dict[int, str] = {}
    try:
        committed = _committed(git, path, sorted(set(lines)), max_bytes)
        for line, (commit, there, name) in _blame(git, "HEAD", path, sorted(committed)).items():
            credited = _follow(git, commit, there, name)
            if credited is not None:
                found[committed[line]] = credited
    except GitError:
        pass
    return found


def _committed(git: Reading, path: str, lines: list[int], max_bytes: int) -> dict[int, int]:
    """Where the last commit has these lines of a file, each with its number as the file lies there.

    Both are compared as bytes, outside of the repository: what git makes of a working tree, filters may have a part in.
    """
    now = Reader(git.root, max_bytes).read(path)
    if not isinstance(now, bytes):
        return {}
    before = git.run("cat-file", "blob", f"HEAD:./{path}").stdout
    if before == now:
        return {line: line for line in lines}
    with tempfile.TemporaryDirectory(prefix="shoal-") as scratch:
        for name, data in (("before", before), ("now", now)):
            Path(scratch, name).write_bytes(data)
        asked = ("diff", "--no-index", "-U0", "--text", "--ignore-cr-at-eol", *_NO_PROGRAM, "before", "now")
        said = Reading(Path(scratch)).run(*asked, codes=(0, 1)).stdout.decode("utf-8", "replace")
    hunks = [(int(one[1]), _count(one[2]), int(one[3]), _count(one[4])) for one in _HUNK.finditer(said)]
    found: dict[int, int] = {}
    for line in lines:
        if not any(first <= line < first + count for _, _, first, count in hunks):
            # A hunk without lines is named by the line before it.
            shift = sum(old - new for _, old, first, new in hunks if first + (new == 0) <= line)
            found[line + shift] = line
    return found


def _count(written: str | None) -> int:
    return 1 if written is None else int(written)


def _follow(git: Reading, commit: str, line: int, path: str) -> str | None:
    """From the commit that wrote a line back to the one that ticked it."""
    for _ in range(STEPS):
        if not commit.strip("0"):
            return None
        before = _before(git, commit, line, path)
        if before is None:
            return commit
        number, words = before
        if not _TICKED.search(words):
            return commit
        earlier = _blame(git, f"{commit}^", path, [number]).get(number)
        if earlier is None:
            return commit
        commit, line, path = earlier
    return commit


def _before(git: Reading, commit: str, line: int, path: str) -> tuple[int, str] | None:
    """What a commit had in the place of a line that it wrote: where, and the words; None when that was nothing."""
    said = git.run("show", "-U0", "--format=", *_NO_PROGRAM, commit, "--", path).stdout.decode("utf-8", "replace")
    for hunk in _HUNK.finditer(said):
        first, count = int(hunk[3]), int(hunk[4] or 1)
        if not first <= line < first + count:
            continue
        rows = said[hunk.end() :].split("\n")[1:]
        old = [row[1:] for row in rows[: int(hunk[2] or 1)] if row[:1] == "-"]
        new = [row[1:] for row in rows if row[:1] == "+"][:count]
        if not old or line - first >= len(new):
            return None
        likeness = [SequenceMatcher(None, one, new[line - first]).ratio() for one in old]
        best = max(range(len(old)), key=likeness.__getitem__)
        return (int(hunk[1]) + best, old[best]) if likeness[best] > 0.5 else None
    return None


def _blame(git: Reading, commit: str, path: str, lines: list[int]) -> dict[int, tuple[str, int, str]]:
    """For each line the commit that wrote it, its number there, and the file's name there."""
    found: dict[int, tuple[str, int, str]] = {}
    for at in range(0, len(lines), 500):
        ranges = [one for line in lines[at : at + 500] for one in ("-L", f"{line},{line}")]
        asked = ("blame", "--line-porcelain", "--no-textconv", *ranges, commit, "--", path)
        said = git.run(*asked, codes=(0, 128)).stdout
        text = said.decode("utf-8", "replace")
        heads = list(_BLAMED.finditer(text))
        for head, following in zip(heads, [*heads[1:], None], strict=False):
            part = text[head.end() : following.start() if following else None]
            name = re.search(r"^filename (.*)$", part, re.MULTILINE)
            found[int(head[3])] = (head[1], int(head[2]), name[1] if name else path)
    return found
