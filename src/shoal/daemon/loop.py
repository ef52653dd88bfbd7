"""One loop: a thread that ticks, survives its errors, and says how it is."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import structlog

from shoal.clock import monotonic_seconds
from shoal.errors import ShoalError

log = structlog.get_logger()
LATE_FACTOR = 5.0
LATE_GRACE_SECONDS = 60.0
LOOK_SECONDS = 5.0  # how late a loop may notice that its time has become shorter


class Loop:
    """Calls `tick` every so many seconds, with a little jitter so that servers do not march in step.

    An error is logged, shown in /health until a tick goes well, and the loop goes on.
    """

    def __init__(
        self,
        name: str,
        seconds: float | Callable[[], float],
        tick: Callable[[], Any],
        wait: Callable[[threading.Event], None] | None = None,
        *,
        vital: bool = True,
    ) -> None:
        """`seconds` may change. `wait`, in place of a time, returns when a tick is called for or the event is set.

        A server is healthy when its `vital` loops are.
        """
        self.vital = vital
        self.name = name
        self._seconds = seconds if callable(seconds) else lambda: seconds
        self._tick = tick
        self._wait = wait or self._wait_its_time
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: str | None = None
        self._ticks = 0
        self._last_seconds = 0.0
        self._began = monotonic_seconds()
        self._latest = monotonic_seconds()

    @property
    def seconds(self) -> float:
        """How often it ticks."""
        return self._seconds()

    def start(self) -> None:
        """Begin, or begin again when the thread has died."""
        if self._thread is None or not self._thread.is_alive():
            self._latest = monotonic_seconds()
            self._thread = threading.Thread(target=self._run, name=f"shoal-{self.name}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ask it to end after the present tick."""
        self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait until it has ended, but not for ever."""
        if self._thread is not None:
            self._thread.join(seconds)

    def report(self) -> dict[str, Any]:
        """How it is: `ok` is false after an error, when the thread is dead, or when it is far behind."""
        alive = self._thread is not None and self._thread.is_alive()
        idle = monotonic_seconds() - self._latest
        late = idle > LATE_FACTOR * self.seconds + LATE_GRACE_SECONDS
        error = self._error or (None if alive else "not running") or ("late" if late else None)
        return {
            "ok": error is None,
            "vital": self.vital,
            "error": error,
            "every_seconds": self.seconds,
            "ticks": self._ticks,
            "idle_seconds": round(idle, 1),
            "last_tick_seconds": round(self._last_seconds, 3),
        }

    def _run(self) -> None:
        while True:
            self._wait(self._stopping)
            if self._stopping.is_set():
                return
            began = monotonic_seconds()
            try:
                self._tick()
                self._error = None
            except ShoalError as error:
                if self._error != error.message:
                    log.error("loop failed", loop=self.name, reason=error.message)
                self._error = error.message
            except Exception as error:
                self._error = f"{type(error).__name__}: {error}"
                log.exception("loop failed", loop=self.name)
            self._ticks += 1
            self._latest = monotonic_seconds()
            self._last_seconds = self._latest - began

    def _wait_its_time(self, stopping: threading.Event) -> None:
        began, jitter = monotonic_seconds(), random.uniform(0.9, 1.1)  # noqa: S311
        while (left := began + self.seconds * jitter - monotonic_seconds()) > 0:
            if stopping.wait(min(left, LOOK_SECONDS)):
                return
