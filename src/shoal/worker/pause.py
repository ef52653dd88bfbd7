"""A worker whose set-up is at fault (no program, no login, no provider) claims nothing for a while: it would only go
through the queue. What a fault is: attempt.py.
"""

from __future__ import annotations

import threading

import structlog

from shoal.clock import monotonic_seconds

log = structlog.get_logger()
LONGEST_SECONDS = 600.0


class Pause:
    """Doubles with every fault in a row, up to ten minutes, and ends with the first attempt that works."""

    def __init__(self, first_seconds: float) -> None:
        self._first = first_seconds
        self._lock = threading.Lock()
        self._until = 0.0
        self.faults = 0  # in a row; those of attempts that ran side by side are one
        self.reason = ""

    @property
    def seconds_left(self) -> float:
        """How long nothing is to be claimed yet; 0 or less when the worker may."""
        with self._lock:
            return self._until - monotonic_seconds()

    def fault(self, reason: str) -> None:
        """The set-up is at fault once more."""
        with self._lock:
            now = monotonic_seconds()
            if now < self._until:
                return
            seconds = min(self._first * 2.0 ** min(self.faults, 20), LONGEST_SECONDS)
            self._until, self.reason = now + seconds, reason
            self.faults += 1
        log.error("this worker's set-up is at fault, no task's: it claims nothing", for_seconds=seconds, reason=reason)

    def worked(self) -> None:
        """An agent could do its work."""
        with self._lock:
            again, self.faults, self._until = self.faults > 0, 0, 0.0
        if again:
            log.warning("the set-up works again")
