"""Nothing is claimed for a while for a set-up that is at fault (no program, no login, no provider): that would only go
through the queue. What a fault is: worker/attempt.py.
"""

from __future__ import annotations

import threading

import structlog

from shoal.clock import monotonic_seconds
from shoal.errors import AgentError

log = structlog.get_logger()
FIRST_SECONDS = 15.0
LONGEST_SECONDS = 600.0
FAULTS = 3  # in a row, after which who is to end when the queues are empty gives up
SETUP_AT_FAULT = 78  # EX_CONFIG of sysexits.h: what `shoal run-attempt` ends with


class Pause:
    """Doubles with every fault in a row, up to ten minutes, and ends with the first attempt that works."""

    def __init__(self, first_seconds: float = FIRST_SECONDS) -> None:
        self._first = first_seconds
        self._lock = threading.Lock()
        self._until = 0.0
        self.faults = 0  # in a row; those of attempts that ran side by side are one
        self.reason = ""

    @property
    def seconds_left(self) -> float:
        """How long nothing is to be claimed yet; 0 or less when something may be."""
        with self._lock:
            return self._until - monotonic_seconds()

    @property
    def is_hopeless(self) -> bool:
        """Whether there were so many faults in a row that nobody should wait for an end of the work."""
        return self.faults >= FAULTS

    @property
    def error(self) -> AgentError:
        """What to end with when it is hopeless."""
        return AgentError(f"given up after {FAULTS} faults of the set-up in a row, the last: {self.reason}")

    def fault(self, reason: str) -> None:
        """The set-up is at fault once more."""
        with self._lock:
            now = monotonic_seconds()
            if now < self._until:
                return
            seconds = min(self._first * 2.0 ** min(self.faults, 20), LONGEST_SECONDS)
            self._until, self.reason = now + seconds, reason
            self.faults += 1
        log.error("the set-up is at fault, no task's: nothing is claimed", for_seconds=seconds, reason=reason)

    def worked(self) -> None:
        """An agent could do its work."""
        with self._lock:
            again, self.faults, self._until = self.faults > 0, 0, 0.0
        if again:
            log.warning("the set-up works again")
