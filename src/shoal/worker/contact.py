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
        self._away: tuple[ShoalError, float] | None = None

    @property
    def error(self) -> ShoalError | None:
        """Why nobody answers; None when the last call came through."""
        away = self._away
        return None if away is None else away[0]

    def lost(self, error: ShoalError) -> None:
        """A call did not come through."""
        with self._lock:
            if self._away is not None:
                return
            self._away = error, monotonic_seconds()
        log.warning(f"the {_named(error)} is away", reason=error.message)

    def made(self) -> None:
        """A call came through."""
        with self._lock:
            if self._away is None:
                return
            (error, since), self._away = self._away, None
        log.warning(f"the {_named(error)} is back", after_seconds=round(monotonic_seconds() - since, 1))


def _named(error: ShoalError) -> str:
    return "server" if isinstance(error, ServerUnreachable) else "database"
