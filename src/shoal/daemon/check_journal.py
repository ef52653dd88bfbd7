"""The log of a run of a check: its findings and its errors come by a thread each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

REASON_CHARACTERS = 500


class CheckJournal:
    """The log of a check, into which its findings and its errors are written by a thread each."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """`write` takes the next part of the log."""
        self.last = ""  # the last line of its errors
        self._write = write
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """The next part of it."""
        with self._lock:
            self._write(data)

    def follow(self, errors: int) -> None:
        """Write what comes out of a pipe, until nobody has its other end."""
        with os.fdopen(errors, "rb") as pipe:
            for line in pipe:
                self.write(line)
                self.last = line.decode("utf-8", "replace").strip()[:REASON_CHARACTERS] or self.last
