"""The processes of one attempt: its agent, the commands of its repositories, its checks. One runs at a time, each in a
group of its own, and one word ends them.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from shoal.adapters.processes.groups import NO_LIMITS, Groups, Limits
from shoal.clock import monotonic_seconds

KEEP_SECONDS = 40.0  # for what was done to be kept and pushed, when the grace time of a stopped attempt is over


class Stopped(Exception):
    """The attempt was told to stop; `args[0]` says why."""


class Processes:
    """What an attempt runs."""

    def __init__(self, groups: Groups, *, grace_seconds: float) -> None:
        self._groups = groups
        self.grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.stop_reason: str | None = None
        self._late_at = float("inf")

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path | None,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        output: int | IO[Any],
        errors: int | IO[Any] | None = None,
        limits: Limits = NO_LIMITS,
    ) -> subprocess.Popen[bytes]:
        """Start a program. Raises Stopped when the attempt was told to stop, and OSError when it cannot be started."""
        with self._lock:
            self.check()
            self._process = self._groups.start(
                command,
                stdin=stdin,
                output=output,
                errors=errors,
                environment=environment,
                folder=folder,
                limits=limits,
            )
            return self._process

    def end(self, process: subprocess.Popen[bytes], grace_seconds: float | None = None) -> None:
        """End a program with all that it started, if it has not ended."""
        self._groups.end(process, self.grace_seconds if grace_seconds is None else grace_seconds)

    def stop(self, reason: str, grace_seconds: float) -> None:
        """Start nothing any more, and end what runs; the first reason stays."""
        with self._lock:
            if self.stop_reason is None:
                self.stop_reason, self._late_at = reason, monotonic_seconds() + grace_seconds + KEEP_SECONDS
            process = self._process
        if process is not None and process.poll() is None:
            self.end(process, grace_seconds)

    def is_late(self) -> bool:
        """Whether a stopped attempt has had its time to bring what it did to safety."""
        return monotonic_seconds() > self._late_at

    def check(self) -> None:
        """Raise Stopped when the attempt was told to stop."""
        if self.stop_reason is not None:
            raise Stopped(self.stop_reason)
