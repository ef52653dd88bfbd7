"""The log of a run or an attempt: all that it writes, in a file that is rotated, so that no run fills the disk.

NAME is written, NAME.1 is the newest of those that are full. Who writes holds a shared lock on the file for as long as
it is open; who wants to take it away must have it alone for that moment (daemon/built_ins/flush_logs.py). So a line is
never written into a file that has gone.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import structlog

from shoal.model.job import OUTPUT_LIMIT

log = structlog.get_logger()
LOG_BYTES = 10_000_000
LOGS_KEPT = 9  # besides the one that is written
TAIL_BYTES = 4 * OUTPUT_LIMIT  # a character has four bytes at most
CHUNK_BYTES = 64 * 1024
LINE_BYTES = 1_000_000  # a line that is longer is written in pieces


class LogFile:
    """Appends to the file; use it in a `with`. Several threads may write; files end with the end of a line.

    What cannot be written, as on a full disk, is no fault of the run, which goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._tail = b""
        self._size = 0
        self._is_line_begun = False
        self._file: int | None = None
        self._complained = False
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._close()

    @property
    def tail(self) -> str:
        """The end of what was written here as text."""
        with self._lock:
            return self._tail[-TAIL_BYTES:].decode(errors="replace")

    def write(self, data: bytes) -> None:
        """Append it, in a new file where this one is full."""
        if not data:
            return
        with self._lock:
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            fits = self._fitting(data)
            self._append(data[:fits])
            if fits < len(data):
                self._rotate()
                self._append(data[fits:])

    def drain(self, descriptor: int) -> None:
        """Append what comes from a pipe, to its end: in whole lines, since others may write between them."""
        rest = b""
        with open(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(CHUNK_BYTES):
                rest += data
                whole = rest.rfind(b"\n") + 1 or (len(rest) if len(rest) > LINE_BYTES else 0)
                self.write(rest[:whole])
                rest = rest[whole:]
        self.write(rest)

    def _fitting(self, data: bytes) -> int:
        """How many bytes belong into this file: beyond its size only the rest of a line, and not without end."""
        size = self._size + len(data)
        if self._size == 0 or size <= LOG_BYTES:
            return len(data)
        if not self._is_line_begun:
            return 0
        end = data.find(b"\n") + 1
        return end or (len(data) if size <= 2 * LOG_BYTES else 0)

    def _append(self, data: bytes) -> None:
        if self._file is None or not data:
            return
        self._is_line_begun = not data.endswith(b"\n")
        try:
            while data:
                written = os.write(self._file, data)
                self._size += written
                data = data[written:]
        except OSError as error:
            self._complain(error)

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = _opened(self._path)
            while not leads_to(self._path, file):  # it was taken away before we had its lock
                os.close(file)
                file = _opened(self._path)
            self._file, self._size, self._is_line_begun = file, os.fstat(file).st_size, False
        except OSError as error:
            self._complain(error)

    def _rotate(self) -> None:
        if self._file is None:
            return
        try:
            for number in range(LOGS_KEPT, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(rotated(self._path, number - 1), rotated(self._path, number))
        except OSError as error:
            self._complain(error)
        full, self._file = self._file, None
        self._open()
        os.close(full)  # not before: until its name is another one, nobody is to take it away

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.warning("log cannot be written", file=str(self._path), reason=error.strerror)
        self._complained = True


class Follower:
    """Reads a log while it is written and rotated; use it in a `with`."""

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        """`whole` begins with what is full already."""
        self._path = path
        self._whole = whole
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self) -> Iterator[bytes]:
        """What has come since the last time, to its end at the moment."""
        self._file = self._file or self._first()
        while self._file is not None:
            newer = self._newer(self._file)  # first: to what is full by then nothing is added
            while data := self._file.read(CHUNK_BYTES):
                yield data
            if newer is None:
                return
            self._file.close()
            self._file = newer

    def _first(self) -> IO[bytes] | None:
        numbers = range(LOGS_KEPT, -1, -1) if self._whole else range(1)
        return next((file for number in numbers if (file := _readable(rotated(self._path, number)))), None)

    def _newer(self, own: IO[bytes]) -> IO[bytes] | None:
        """The file that came after this one; None while this is the newest."""
        newer: IO[bytes] | None = None
        for number in range(LOGS_KEPT + 1):
            one = _readable(rotated(self._path, number))
            if one is None:
                continue
            if os.path.samestat(os.fstat(one.fileno()), os.fstat(own.fileno())):
                one.close()
                return newer
            if newer is not None:
                newer.close()
            newer = one
        return newer


def rotated(path: Path, number: int) -> Path:
    """The name of a log's file: 0 is the one that is written."""
    return path.with_name(f"{path.name}.{number}") if number else path


def leads_to(path: Path, file: int) -> bool:
    """Whether a name still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def read_tail(path: Path, limit: int) -> str:
    """The last lines of a log as text, of so many bytes at most."""
    data, size = b"", 0
    for number in (1, 0):
        with suppress(OSError), rotated(path, number).open("rb") as file:
            size += (end := file.seek(0, os.SEEK_END))
            file.seek(max(0, end - limit))
            data += file.read(limit)
    text = data[-limit:].decode(errors="replace").replace("\x00", "")
    return (text.partition("\n")[2] if size > limit else text).strip()


def _opened(path: Path) -> int:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # some file systems of other machines have no locks
        fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _readable(path: Path) -> IO[bytes] | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
