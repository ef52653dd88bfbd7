"""The log of a run: the whole output in a file that is rotated, and its last lines in memory."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

import structlog

from shoal.model.job import OUTPUT_LIMIT

log = structlog.get_logger()
LOG_BYTES = 10_000_000
LOGS_KEPT = 9  # besides the one that is written: NAME.1 is the newest of them
TAIL_BYTES = 4 * OUTPUT_LIMIT  # a character has four bytes at most


class RunLog:
    """Appends to the file; use it in a `with`. A full disk is no fault of the run, which goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._tail = b""
        self._size = 0
        self._file: int | None = None
        self._complained = False
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def tail(self) -> str:
        """The end of the output as text."""
        with self._lock:
            return self._tail[-TAIL_BYTES:].decode(errors="replace")

    def write(self, data: bytes) -> None:
        """Append it, in a new file where this one is full."""
        with self._lock:
            self._tail = (self._tail + data)[-TAIL_BYTES:]
        if self._size and self._size + len(data) > LOG_BYTES:
            self._rotate()
        if self._file is None:
            return
        try:
            os.write(self._file, data)
            self._size += len(data)
        except OSError as error:
            self._complain(error)

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            self._complain(error)

    def _rotate(self) -> None:
        self._close()
        try:
            for number in range(LOGS_KEPT, 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number}")
                newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
                if newer.exists():
                    os.replace(newer, older)
        except OSError as error:
            self._complain(error)
        self._open()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.warning("log cannot be written", file=str(self._path), reason=error.strerror)
        self._complained = True
