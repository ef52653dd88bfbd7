"""The files of a checkout, as git has them, and what they were called before. Not for what they say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from posixpath import basename, dirname, normpath

from shoal.adapters.git.reading import Reading
from shoal.adapters.git.repository import records
from shoal.errors import GitError

# Folders that hold other people's files, or what a program made; git does not list them where they are ignored.
FOREIGN = frozenset(
    {"node_modules", ".venv", "venv", "__pycache__", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
COMMITS = "20000"  # of history that are read for what was renamed
LARGEST = 4 << 20  # bytes; a file beyond that is data


class Checkout:
    """A folder with files, perhaps a git repository. Paths are relative to it, with / between folders."""

    def __init__(self, root: Path) -> None:
        """List the files. Ignored ones are left out, and links to folders are not followed."""
        self.root = root.resolve()
        self._git = Reading(self.root)
        self.is_repository = self._git.top is not None and _has_git()
        listed = self._tracked() if self.is_repository else self._walked()
        self.files = frozenset(listed)
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
        with suppress(OSError):
            at = self.root / path
            if at.is_file() and at.stat().st_size <= LARGEST and at.resolve().is_relative_to(self.root):
                return at.read_bytes()
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

    def _tracked(self) -> list[str]:
        listed = self._git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
        return [path for path in records(listed) if os.path.lexists(self.root / path)]

    def _walked(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(one for one in folders if one not in FOREIGN and one != ".git")
            inner = Path(folder).relative_to(self.root).as_posix()
            for name in sorted(names):
                yield name if inner == "." else f"{inner}/{name}"

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


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path fits any of these globs: `*` and `?` within a name, `**` for folders, `{a,b}` for either.

    One without a slash within is meant for the name in any folder; one that ends with a slash for all in such a folder.
    """
    return any(_compiled(pattern).fullmatch(path) is not None for pattern in patterns)


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = pattern.removeprefix("./")
    if "/" not in pattern.rstrip("/"):
        pattern = f"**/{pattern}"
    pattern = pattern.removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    pattern = re.sub(r"(?:\*\*/)+", "**/", re.sub(r"\*{3,}", "**", pattern))
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    either = re.fullmatch(r"[^{}]*(?:\{[^{}]*\}[^{}]*)*", pattern) is not None
    found, inside = "", False
    for piece in re.split(r"(\*\*/|\*\*|[*?{},])", pattern):
        if either and piece in ("{", "}"):
            inside = piece == "{"
            found += "(?:" if inside else ")"
        elif inside and piece == ",":
            found += "|"
        else:
            found += parts.get(piece) or re.escape(piece)
    return re.compile(found, re.DOTALL)


def _folders(files: frozenset[str]) -> Iterator[str]:
    seen: set[str] = set()
    for path in files:
        folder = dirname(path)
        while folder and folder not in seen:
            seen.add(folder)
            yield folder
            folder = dirname(folder)


def _has_git() -> bool:
    return any(os.access(Path(folder) / "git", os.X_OK) for folder in os.get_exec_path())
