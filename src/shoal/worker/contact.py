"""Whether a worker's ledger answers: the log says once that it does not, and once that it does again."""

from __future__ import annotations

import threading

import structlog

from shoal.clock import monotonic_seconds
from shoal.errors import ServerUnreachable, ShoalError

log = structlog.get_logger()


class Contact:
    """Told by all of a worker's threads how their calls fared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away: tuple[str, float] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the last word is that nobody answers."""
        return self._away is not None

    def lost(self, error: ShoalError) -> None:
        """A call did not come through."""
        what = "server" if isinstance(error, ServerUnreachable) else "database"
        with self._lock:
            if self._away is not None:
                return
            self._away = what, monotonic_seconds()
        log.warning(f"the {what} is away", reason=error.message)

    def made(self) -> None:
        """A call came through."""
        with self._lock:
            if self._away is None:
                return
            (what, since), self._away = self._away, None
        log.warning(f"the {what} is back", after_seconds=round(monotonic_seconds() - since, 1))
