"""What is ignored in a worktree only since its .gitignore files were changed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from shoal.adapters.git.repository import Entry, Git, records

NAME = ".gitignore"


def newly_ignored(git: Git, base: str, environment: Mapping[str, str]) -> list[str]:
    """The files and folders, these with a / behind, that are ignored now and would not be by the rules of `base`."""
    listing = ("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "--no-empty-directory", "-z")
    ignored = list(records(git.run(*listing, environment=environment).stdout))
    rules = _rules(git, base)
    if not ignored or not _have_changed(git, rules, environment, ignored):
        return []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for path, entry in rules.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(git.run("cat-file", "blob", entry.oid).stdout)
        for path in ignored:
            with suppress(OSError):  # git looks whether it is a folder
                if path.endswith("/"):
                    (folder / path).mkdir(parents=True, exist_ok=True)
        given = "".join(f"{path.rstrip('/')}\0" for path in ignored).encode("utf-8", "surrogateescape")
        there = dict(environment) | {"GIT_WORK_TREE": scratch}
        # By its -C git works in the folder of the rules, which are else looked for where the files are.
        asked = ("-C", scratch, "check-ignore", "--no-index", "-z", "--stdin")
        always = set(records(git.run(*asked, given=given, environment=there, codes=(0, 1)).stdout))
    return [path for path in ignored if path.rstrip("/") not in always]


def _rules(git: Git, commit: str) -> dict[str, Entry]:
    found = {}
    for line in records(git.run("ls-tree", "-r", "-z", commit).stdout):
        about, _, path = line.partition("\t")
        mode, _, oid = about.split()
        if path.rpartition("/")[2] == NAME and mode.startswith("100"):
            found[path] = Entry(mode, oid)
    return found


def _have_changed(git: Git, rules: Mapping[str, Entry], environment: Mapping[str, str], ignored: Iterable[str]) -> bool:
    if any(path.rpartition("/")[2] == NAME for path in ignored):
        return True
    listed = records(git.run("ls-files", "--stage", "-z", environment=environment).stdout)
    staged = [line.partition("\t") for line in listed]
    now = {path: about.split()[1] for about, _, path in staged if path.rpartition("/")[2] == NAME}
    return now != {path: entry.oid for path, entry in rules.items()}
