"""A file that one process or thread has at a time; the kernel lets go of it however its owner ends."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.clock import monotonic_seconds

NAP_SECONDS = 0.02


def take(path: Path, seconds: float = 0.0, stop: Callable[[], bool] | None = None) -> int | None:
    """The lock, as a descriptor that gives it back when it is closed; None when the time was up or `stop` says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = monotonic_seconds() + seconds
    nap = threading.Event()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic_seconds() >= deadline or (stop is not None and stop()):
                os.close(descriptor)
                return None
            nap.wait(NAP_SECONDS)
        else:
            return descriptor


@contextmanager
def held(path: Path, seconds: float, stop: Callable[[], bool] | None = None) -> Iterator[bool]:
    """Have the lock, or not when the time was up."""
    descriptor = take(path, seconds, stop)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)
