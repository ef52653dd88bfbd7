"""The files of a checkout, as git has them, and what they were called before. Not for what they say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from posixpath import basename, dirname, normpath

from shoal.adapters.git.files import Reader, look
from shoal.adapters.git.reading import Reading
from shoal.adapters.git.repository import records
from shoal.errors import GitError

COMMITS = "20000"  # of history that are read for what was renamed
LARGEST = 4 << 20  # bytes; a file beyond that is data


class Checkout:
    """A folder with files, perhaps a git repository. Paths are relative to it, with / between folders."""

    def __init__(self, root: Path) -> None:
        """List the files. Raises GitError when the folder is in a repository that git cannot read."""
        listing = look(root)
        self.root = listing.root
        self.is_repository = listing.in_git
        self._git = Reading(self.root)
        self._reader = Reader(self.root, LARGEST)
        self.files = frozenset(path for path in listing.paths if os.path.lexists(self.root / path))
        self.folders = frozenset(_folders(self.files))

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """The paths of each name in lower case, in order."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.files):
            found.setdefault(basename(path).lower(), []).append(path)
        return found

    @cached_property
    def by_folder(self) -> dict[str, list[str]]:
        """The paths of the files in each folder, in order."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.files):
            found.setdefault(dirname(path), []).append(path)
        return found

    @cached_property
    def tails(self) -> frozenset[str]:
        """All ends of paths of files and folders: b/c.py and c.py of a/b/c.py."""
        found: set[str] = set()
        for path in (*self.files, *self.folders):
            while path not in found:
                found.add(path)
                _, slash, rest = path.partition("/")
                if not slash:
                    break
                path = rest
        return frozenset(found)

    @cached_property
    def submodules(self) -> tuple[str, ...]:
        """The folders of submodules, which may be empty here."""
        return tuple(re.findall(r"^\s*path\s*=\s*(\S.*?)\s*$", self.text(".gitmodules"), re.MULTILINE))

    @cached_property
    def renamed(self) -> dict[str, str]:
        """Old path -> new path, for files that git saw renamed; the newest of each. Reads the whole history once."""
        found: dict[str, str] = {}
        for fields in self._history:
            if len(fields) == 3 and fields[1] not in found:
                found[fields[1]] = fields[2]
        return found

    @cached_property
    def deleted(self) -> frozenset[str]:
        """All paths that were there once and are not now."""
        gone = {fields[1] for fields in self._history if len(fields) > 1}
        return frozenset(gone - self.files)

    def has(self, path: str) -> bool:
        """Whether a file or folder is there; one that git ignores counts, as it may be made by a program."""
        path = normpath(path)
        if path in self.files or path in self.folders or path == ".":
            return True
        if any(path == one or path.startswith(f"{one}/") for one in self.submodules):
            return True
        with suppress(OSError, ValueError):  # too long, or with NUL
            return (self.root / path).exists()
        return False

    def is_folder(self, path: str) -> bool:
        """Whether this is a folder."""
        path = normpath(path)
        if path in self.files:
            return False
        with suppress(OSError, ValueError):
            return path in self.folders or (self.root / path).is_dir()
        return False

    def successor(self, path: str) -> str | None:
        """The file that was renamed from this one, as git's history has it."""
        seen = set()
        while path not in self.files and path not in seen:
            seen.add(path)
            if path not in self.renamed:
                return None
            path = self.renamed[path]
        return path if path in self.files else None

    def data(self, path: str) -> bytes:
        """What a file holds; nothing when it cannot be read, is a link out of the tree, or too large."""
        with suppress(OSError, ValueError):  # too long, or with NUL
            meant = os.path.relpath(os.path.realpath(self.root / path), self.root)
            found = None if meant.startswith("../") else self._reader.read(meant)
            return found if isinstance(found, bytes) else b""
        return b""

    def text(self, path: str) -> str:
        """What a file holds, as text; bytes that are no UTF-8 are replaced."""
        return self.data(path).decode("utf-8", "replace")

    def ignored(self, paths: Iterable[str]) -> frozenset[str]:
        """Those that git would ignore: a program makes them."""
        asked = sorted(path for path in {*paths} if not path.startswith("../"))
        if not asked or not self.is_repository:
            return frozenset()
        given = "".join(f"{path}\0" for path in asked).encode("utf-8", "surrogateescape")
        try:
            told = self._git.run(
                *("check-ignore", "--no-index", "-z", "--stdin"),
                given=given,
                codes=(0, 1),
                environment={"GIT_LITERAL_PATHSPECS": "0"},  # the command knows no other paths, and refuses the word
            ).stdout
        except GitError:  # a path in a submodule, or beyond a link
            return frozenset()
        return frozenset(records(told))

    def changed_at(self, *paths: str) -> int | None:
        """When the last commit touched any of these, in seconds since 1970; None when none did."""
        try:
            told = self._git.text("log", "-1", "--format=%ct", "--", *paths)
        except GitError:
            return None
        return int(told) if told else None

    @cached_property
    def _history(self) -> list[list[str]]:
        """What was renamed and deleted, the newest first: how, the old path and the new one."""
        if not self.is_repository:
            return []
        asked = ("log", "-M", "--diff-filter=DR", "--name-status", "--relative", "--format=", "-n", COMMITS)
        try:
            return [line.split("\t") for line in self._git.text(*asked).splitlines() if line]
        except GitError:  # no commit yet, or too long a history
            return []


def _folders(files: frozenset[str]) -> Iterator[str]:
    seen: set[str] = set()
    for path in files:
        folder = dirname(path)
        while folder and folder not in seen:
            seen.add(folder)
            yield folder
            folder = dirname(folder)
