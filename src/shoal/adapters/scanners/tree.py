"""Which files of a project there are, which of them are read, and their bytes. What is in them: the scanners beside.

In a repository git says what is ignored, elsewhere the .gitignore files do. Links are never followed, what is a
repository of its own is left out, and no file's name or content makes this fail: what is left out is told in a note.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from shoal.adapters.git.program import Program
from shoal.errors import GitError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

LONGEST_PATH = 1000
MARKDOWN = (".md", ".markdown", ".mdx")
_TEXT = (*MARKDOWN, ".txt")
_HASH = re.compile(r"[0-9a-f]{40,64}")
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}


class Note(Struct, frozen=True):
    """A file or folder that was left out, and why, in words for people."""

    path: str
    why: str


class Tree(Struct, frozen=True):
    """The files below a root, by their paths with / between folders, in order. `head` is the commit checked out."""

    root: Path
    paths: list[str]
    notes: list[Note]
    head: str | None = None
    in_git: bool = False


def top_of(folder: Path) -> Path | None:
    """The top folder of the repository that a folder is in; None when it is in none."""
    folder = Path(os.path.realpath(folder))
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)


def real(root: Path) -> Path:
    """A root as its files are named from it: without links."""
    return Path(os.path.realpath(root))


def look(root: Path, under: Sequence[str] = ()) -> Tree:
    """The files that are there and not ignored; with `under` only those files, and those in these folders.

    Raises GitError when the root is in a repository that git cannot read.
    """
    root = real(root)
    if not root.is_dir():
        return Tree(root, [], [Note(str(root), "is no folder")])
    notes: list[Note] = []
    if top_of(root) is None:
        listed: Iterable[bytes] = _walk(root, notes)
        return Tree(root, _plain(listed, under, notes), notes)
    git = Program(root)
    said = git.run("ls-files", "-co", "--exclude-standard", "-z", "--", *under, environment=_QUIET).stdout
    head = git.run("rev-parse", "--verify", "-q", "HEAD", codes=(0, 1, 128)).stdout.decode().strip()
    return Tree(root, _plain(filter(None, said.split(b"\0")), (), notes), notes, head or None, in_git=True)


def repository(tree: Tree, known: str | None) -> str:
    """By what a project's root is known again: what it was `known` by if that still holds, else the first commit, else
    the folder. A clone or a moved folder has the same commits; a folder without commits is only itself.
    """
    folder = str(tree.root).encode("utf-8", "replace").decode()
    if known == folder or tree.head is None:
        return folder
    git = Program(tree.root)
    if known is not None and _HASH.fullmatch(known):
        asked = git.run("cat-file", "-e", f"{known}^{{commit}}", codes=(0, 1, 128), environment=_QUIET)
        if asked.returncode == 0:
            return known
    return git.run("rev-list", "--max-parents=0", tree.head, environment=_QUIET).stdout.decode().split()[-1]


def _plain(listed: Iterable[bytes], under: Sequence[str], notes: list[Note]) -> list[str]:
    """Names as text, each once. One that cannot be shown on a line is in no list that people read."""
    paths = set()
    for name in listed:
        if name.endswith(b"/"):
            continue  # a repository of its own
        try:
            path = name.decode()
        except UnicodeDecodeError:
            notes.append(Note(name.decode("utf-8", "replace"), "has a name that is no UTF-8"))
            continue
        if len(path) > LONGEST_PATH or not path.isprintable():
            notes.append(Note(ascii(path)[1:-1][:200], "has a name that is too long or cannot be shown"))
        elif not under or any(path == one or path.startswith(f"{one}/") or one in ("", ".") for one in under):
            paths.add(path)
    return sorted(paths)


def _walk(root: Path, notes: list[Note]) -> Iterator[bytes]:
    """The files of a folder that is in no repository, with its .gitignore files as git would take them.

    An ignored folder is not entered, so nothing in it can be brought back; that is git's rule too.
    """
    rules: list[tuple[str, GitIgnoreSpec]] = []
    top = os.fsencode(root)
    pending = [(b"", rules)]
    while pending:
        inner, rules = pending.pop()
        try:
            entries = sorted(os.scandir(os.path.join(top, inner) if inner else top), key=lambda one: one.name)
        except OSError as error:
            notes.append(
                Note(os.fsdecode(inner).encode("utf-8", "replace").decode(), f"cannot be read: {error.strerror}")
            )
            continue
        names = {one.name for one in entries}
        if inner and b".git" in names:
            notes.append(Note(inner.decode("utf-8", "replace"), "is a repository of its own; scan it by itself"))
            continue
        if b".gitignore" in names and (spec := _rules(os.path.join(top, inner, b".gitignore"))) is not None:
            rules = [*rules, (os.fsdecode(inner), spec)]
        for entry in entries:
            path = os.path.join(inner, entry.name) if inner else entry.name
            folder = entry.is_dir(follow_symlinks=False)
            if entry.name == b".git" or _is_ignored(os.fsdecode(path) + "/" * folder, rules):
                continue
            if folder:
                pending.append((path, rules))
            elif entry.is_file(follow_symlinks=False):
                yield path


def _rules(file: bytes) -> GitIgnoreSpec | None:
    from pathspec import GitIgnoreSpec

    try:
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            return GitIgnoreSpec.from_lines(opened.read(1_000_000).decode("utf-8", "replace").splitlines())
    except (OSError, ValueError):
        return None


def _is_ignored(path: str, rules: list[tuple[str, GitIgnoreSpec]]) -> bool:
    for folder, spec in reversed(rules):
        decided = spec.check_file(path[len(folder) + 1 :] if folder else path).include
        if decided is not None:
            return decided
    return False


def wanted(
    paths: Iterable[str], patterns: Sequence[str], *, markdown: bool = False, known: Collection[str] = ()
) -> list[str]:
    """The paths that patterns name: a name alone is meant in any folder, one with a / from the top; `!` takes out.

    With `markdown` all of that kind. What was read before (`known`) is read again: a file that somebody once asked for
    is not forgotten by the next scan.
    """
    taken = [one for one in patterns if not one.startswith("!")]
    left = [one[1:] for one in patterns if one.startswith("!")]
    found = []
    for path in paths:
        if any(_fits(path, one) for one in left):
            continue
        if path in known or (markdown and path.lower().endswith(MARKDOWN)) or any(_names(path, one) for one in taken):
            found.append(path)
    return found


def _names(path: str, pattern: str) -> bool:
    """A pattern that ends with a star is about folders, and takes the texts in them."""
    if pattern.endswith("*") and not path.lower().endswith(_TEXT):
        return False
    return _fits(path, pattern)


def _fits(path: str, pattern: str) -> bool:
    if "/" in pattern:
        return _compiled(pattern.removeprefix("/")).fullmatch(path) is not None
    # TODO.md is also todo.md; TODO without an ending is not, as a program may be called todo.
    flags = re.IGNORECASE if "." in pattern else 0
    return _compiled(pattern, flags).fullmatch(path.rpartition("/")[2]) is not None


@lru_cache(maxsize=1000)
def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    if pattern.endswith("/"):
        pattern += "**"
    pattern = re.sub(r"(?:\*\*/)+", "**/", re.sub(r"\*{3,}", "**", pattern))
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(parts.get(one) or re.escape(one) for one in re.split(r"(\*\*/|\*\*|\*|\?)", pattern)), flags
    )


def read(root: Path, path: str, max_bytes: int) -> bytes | Note | None:
    """A file's bytes; a note when it is not to be read; None when it is gone or no plain file."""
    whole = f"{root}/{path}"
    folder = os.path.dirname(whole)
    if os.path.realpath(folder) != os.path.normpath(folder):
        return Note(path, "stands behind a link")
    try:
        descriptor = os.open(whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if os.path.islink(whole):
            return Note(path, "is a link")
        return None if isinstance(error, FileNotFoundError) else Note(path, f"cannot be read: {error.strerror}")
    try:
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(max_bytes + 1)
    except OSError as error:
        return Note(path, f"cannot be read: {error.strerror}")
    if len(data) > max_bytes:
        return Note(path, f"has more than {max_bytes:,} bytes (max_file_bytes)")
    return data


def renamed(root: Path, since: str | None, paths: Collection[str], known: Collection[str]) -> dict[str, str]:
    """The files that got another name since a commit, new to old, as git has it; of those that were read before.

    A commit that is not there any more has nothing to say. Raises nothing.
    """
    if since is None or not _HASH.fullmatch(since) or not set(known) - set(paths):
        return {}
    asked = ("diff", "-M", "--name-status", "--diff-filter=R", "--relative", "--no-ext-diff", "--no-textconv")
    try:
        said = Program(root).run(*asked, "-z", since, "--", environment=_QUIET).stdout
    except GitError:
        return {}
    parts = said.decode("utf-8", "replace").split("\0")
    moves = zip(parts[1::3], parts[2::3], strict=False)
    return {new: old for old, new in moves if old in known and new in paths}
