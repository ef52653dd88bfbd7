"""Which files of a folder there are, and their bytes. For whoever reads a checkout; what is in them is theirs.

In a repository git says what is ignored, elsewhere the .gitignore files do. Links are never followed, what is a
repository of its own is left out, and no file's name or content makes this fail: what is left out is told in a note.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from shoal.adapters.git.reading import Reading
from shoal.model.item import LONGEST_PATH, is_path

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# Folders that hold other people's files, or what a program made. In a repository it is said which are ignored.
FOREIGN = frozenset({
    *(b"node_modules", b".venv", b"venv", b"__pycache__", b".tox", b".nox", b".mypy_cache", b".pytest_cache"),
    b".ruff_cache",
})  # fmt: skip


class Note(Struct, frozen=True):
    """A file or folder that was left out, and why, in words for people."""

    path: str
    why: str


class Listing(Struct, frozen=True):
    """The files below a root, by their paths with / between folders, in order. `head` is the commit checked out."""

    root: Path
    paths: list[str]
    notes: list[Note]
    head: str | None = None
    in_git: bool = False


def real(root: Path) -> Path:
    """A root as its files are named from it: without links."""
    return Path(os.path.realpath(root))


def look(root: Path, under: Sequence[str] = ()) -> Listing:
    """The files that are there and not ignored; with `under` only those files, and those in these folders.

    Links are among them, as such, and in a repository what git has and somebody deleted. Raises GitError when the root
    is in a repository that git cannot read.
    """
    root = real(root)
    if not root.is_dir():
        return Listing(root, [], [Note(str(root), "is no folder")])
    notes: list[Note] = []
    git = Reading(root)
    if git.top is None or shutil.which("git") is None:
        listed: Iterable[bytes] = _walk(root, notes)
        return Listing(root, _plain(listed, under, notes), notes)
    said = git.run("ls-files", "-co", "--exclude-standard", "-z", "--", *under).stdout
    return Listing(root, _plain(filter(None, said.split(b"\0")), (), notes), notes, git.head(), in_git=True)


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
    """The files of a folder that git does not know, with its .gitignore files as git would take them.

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
            if folder and entry.name not in FOREIGN:
                pending.append((path, rules))
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
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


class Reader:
    """Reads files below a root: plain ones that are no larger than a number of bytes, and never through a link.

    It remembers which folders are no links: make one for each look.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        """Read nothing yet."""
        self._root = os.fspath(real(root))
        self._max_bytes = max_bytes
        self._inside: dict[str, bool] = {}

    def read(self, path: str) -> bytes | Note | None:
        """A file's bytes; a note when it is not to be read; None when it is gone or no plain file."""
        if not is_path(path) or ".git" in path.casefold().split("/"):
            return Note(path, "is no file of the project's own folder")
        folder = path.rpartition("/")[0]
        if folder not in self._inside:
            whole = os.path.join(self._root, folder) if folder else self._root
            self._inside[folder] = os.path.realpath(whole) == whole
        if not self._inside[folder]:
            return Note(path, "stands behind a link")
        whole = f"{self._root}/{path}"
        try:
            descriptor = os.open(whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if os.path.islink(whole):
                return Note(path, "is a link")
            return None if isinstance(error, FileNotFoundError) else Note(path, f"cannot be read: {error.strerror}")
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                return None
            if about.st_size > self._max_bytes:
                return self._too_large(path, about.st_size)
            data = os.read(descriptor, about.st_size + 1)  # a byte more tells of one that grows
        except OSError as error:
            return Note(path, f"cannot be read: {error.strerror}")
        finally:
            os.close(descriptor)
        return self._too_large(path, len(data)) if len(data) > self._max_bytes else data

    def _too_large(self, path: str, size: int) -> Note:
        return Note(path, f"has {size:,} bytes; files with more than {self._max_bytes:,} are not read")
