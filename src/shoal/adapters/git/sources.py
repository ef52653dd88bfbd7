"""The files of a checkout that people wrote, and where words stand in them. For reading code to whoever asks about it.

Which files there are, and how one is read: files.py. Binary and huge ones are left out, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from shoal.adapters.git.files import Listing, Reader, look, real
from shoal.adapters.git.reading import Reading
from shoal.clock import monotonic_seconds

LARGEST = 1_000_000  # bytes; what is larger is data
SEARCH_SECONDS = 20.0
MOST_FOUND = 8_000_000  # bytes that a search may say
ENOUGH = 200  # lines of one file that are looked at
LONGEST_LINE = 400  # characters; a line beyond that was made by a program


class Place(NamedTuple):
    """A line in which a word stands."""

    path: str
    line: int
    text: str


class Sources:
    """A folder with code. Paths are relative to it, with / between folders."""

    def __init__(self, root: Path) -> None:
        """Look at nothing yet."""
        self.root = real(root)
        self._git = Reading(self.root, timeout_seconds=SEARCH_SECONDS * 3)
        self._reader = Reader(self.root, LARGEST)
        self.text = lru_cache(maxsize=500)(self._read)

    @property
    def head(self) -> str | None:
        """The commit that is checked out."""
        return self._listing.head

    @cached_property
    def files(self) -> frozenset[str]:
        """The paths of all files that are not ignored. Raises GitError when git has the folder and cannot read it."""
        return frozenset(self._listing.paths)

    @cached_property
    def _listing(self) -> Listing:
        return look(self.root)

    def where(self, words: Sequence[str], *, most_files: int) -> dict[str, list[Place]]:
        """The places of each word, as a whole word and in this case, in order of paths and lines.

        A word that stands in more files than that says nothing about any, and has none.
        """
        wanted = list(dict.fromkeys(word for word in words if word and "\n" not in word))
        if not wanted:
            return {}
        found: dict[str, list[Place]] = {word: [] for word in wanted}
        files: dict[str, set[str]] = {word: set() for word in wanted}
        patterns = {word: _whole(word) for word in wanted}
        last, lines = "", 0
        for path, number, text in self._lines_with(wanted):
            if path != last:
                last, lines = path, 0 if self._is_readable(path) else ENOUGH
            lines += 1
            if lines > ENOUGH or len(text) > LONGEST_LINE:
                continue
            for word, pattern in patterns.items():
                if word in text and pattern.search(text) and len(files[word]) <= most_files:
                    files[word].add(path)
                    found[word].append(Place(path, number, text))
        return {word: sorted(places) if len(files[word]) <= most_files else [] for word, places in found.items()}

    def _lines_with(self, words: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Lines with one of these words, by ripgrep if there is one, else git, else by reading."""
        if shutil.which("rg"):
            command = [*_RIPGREP, *(part for word in words for part in ("-e", word)), "--", "."]
        elif shutil.which("git"):
            # One pattern of all words: a hundred times as fast as several of them.
            asked = "|".join(re.sub(r"[][\\.*+?(){}^$|]", r"\\\g<0>", word) for word in words)
            command = [
                "git",
                *_GREP,
                "--untracked" if self._listing.in_git else "--no-index",
                "-n",
                "-E",
                "-z",
                "-e",
                asked,
            ]
        else:
            yield from self._read_for(words)
            return
        for line in self._said(command):
            path, _, rest = line.partition("\0")
            number, _, text = rest.partition("\0" if "\0" in rest else ":")
            if number.isdigit():
                yield path.removeprefix("./"), int(number), text

    def _said(self, command: Sequence[str]) -> Iterator[str]:
        """What a search says, line by line, and no more of it than is of use."""
        with self._git.place() as place:
            process = subprocess.Popen(  # noqa: S603 - a search, with arguments of ours
                command,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._git.environment | place,
            )
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            deadline, size = monotonic_seconds() + SEARCH_SECONDS, 0
            try:
                for line in process.stdout:
                    size += len(line)
                    yield line.decode("utf-8", "replace").rstrip("\r\n")
                    if size > MOST_FOUND or monotonic_seconds() > deadline:
                        break
            finally:
                process.kill()
                process.stdout.close()
                process.wait()

    def _read_for(self, words: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        deadline = monotonic_seconds() + SEARCH_SECONDS
        for path in sorted(self.files):
            text = self._read(path)
            if text is not None and any(word in text for word in words):
                for number, line in enumerate(text.split("\n"), start=1):
                    if any(word in line for word in words):
                        yield path, number, line
            if monotonic_seconds() > deadline:
                return

    def _is_readable(self, path: str) -> bool:
        with suppress(OSError):
            return path in self.files and os.lstat(self.root / path).st_size <= LARGEST
        return False

    def _read(self, path: str) -> str | None:
        """A file's text; None when it is not one of `files`, or no text, or too large."""
        if path not in self.files:
            return None
        content = self._reader.read(path)
        if not isinstance(content, bytes) or b"\0" in content:
            return None
        return content.decode("utf-8", "replace").replace("\r\n", "\n")


_GREP = ("grep", "--no-color", "-I", "--exclude-standard")
_RIPGREP = (
    *("rg", "--no-config", "--no-messages", "--hidden", "--no-require-git", "--glob=!.git", "--max-filesize=1M"),
    *("-n", "-F", "-w", "--null", "--no-heading", "--with-filename", "--color=never"),
)


def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
