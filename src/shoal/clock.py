"""The one clock: epoch milliseconds that never run backwards. Nothing else reads the time of day."""

from __future__ import annotations

import time
from typing import Protocol

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


class Clock(Protocol):
    """What a ledger asks for the time, once per transaction; tests bring their own."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...


class SystemClock:
    """The machine's clock, held still while it is stepped back.

    A lease given before the step would otherwise look younger than it is.
    """

    def __init__(self) -> None:
        self._latest = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC, never less than an earlier answer of this clock."""
        self._latest = max(self._latest, time.time_ns() // 1_000_000)
        return self._latest


def monotonic_seconds() -> float:
    """Seconds on a clock that only measures spans: waits, deadlines, durations."""
    return time.monotonic()


def span(milliseconds: int | None) -> str:
    """A span of time in its two largest units."""
    if milliseconds is None:
        return ""
    seconds = max(0, milliseconds) // 1000
    parts = []
    for name, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size:
            parts.append(f"{seconds // size}{name}")
            seconds %= size
    return " ".join(parts[:2]) or "0s"
