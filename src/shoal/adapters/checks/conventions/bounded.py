"""Regular expressions that somebody else wrote, with an end: one that tries for ever is stopped.

Python's own engine, as people know it, with a limit on the processor's time and not on the clock's: on a busy machine a
good pattern is not refused. Engines of linear time know no look-around and no back references, which conventions use.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS = 2.0


class TooSlow(Exception):
    """A pattern took longer than it may."""


@contextmanager
def limit(seconds: float = SECONDS) -> Iterator[None]:
    """End what is done herein after so much time of the processor, with TooSlow. For the main thread of a process."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def matches(pattern: re.Pattern[str], text: str, *, most: int, seconds: float = SECONDS) -> list[re.Match[str]]:
    """The matches in a text, the first so many of them. Raises TooSlow."""
    found: list[re.Match[str]] = []
    with limit(seconds):
        for one in pattern.finditer(text):
            found.append(one)
            if len(found) >= most:
                break
    return found
