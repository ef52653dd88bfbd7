"""The log file of an attempt: all that its agent writes, up to a bound.

The agent goes on whatever becomes of the file.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

import structlog

log = structlog.get_logger()
LOG_BYTES = 64_000_000
CHUNK_BYTES = 64 * 1024
TAIL_BYTES = 4000


class AttemptLog:
    """Appends to the file; use it in a `with`. Several threads may write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._complained = False
        self._size = 0
        self._file: int | None = None
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._size = os.fstat(self._file).st_size  # of earlier episodes
        except OSError as error:
            self._complain(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def write(self, data: bytes) -> None:
        """Append it, as far as there is room."""
        with self._lock:
            if self._file is None or self._size >= LOG_BYTES:
                return
            kept = data[: LOG_BYTES - self._size]
            self._size += len(kept)
            if self._size >= LOG_BYTES:
                kept += f"\n… the log ends here, after {LOG_BYTES:,} bytes; its agent goes on\n".encode()
            try:
                os.write(self._file, kept)
            except OSError as error:  # a full disk is no fault of the agent
                self._complain(error)

    def drain(self, descriptor: int) -> None:
        """Append what comes from a pipe, to its end."""
        with open(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(CHUNK_BYTES):
                self.write(data)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.warning("log cannot be written", file=str(self._path), reason=error.strerror)
        self._complained = True


def read_tail(path: Path) -> str:
    """The last lines of a file, as much as a task keeps."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode(errors="replace").replace("\x00", "")
    except OSError:
        return ""
    return (text.partition("\n")[2] if size > TAIL_BYTES else text).strip()
