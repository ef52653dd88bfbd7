"""Process groups: started for a command, ended whole, and ended by the keeper when this process dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

KEEPER = Path(__file__).with_name("keeper.py")
# The new group tells the keeper of itself before it becomes the command: a worker killed in between could not.
ANNOUNCED = 'echo "+$$" >&2; exec "$@" 2>&1'


class Groups:
    """The process groups of one worker."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", str(KEEPER)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lock = threading.Lock()

    def start(
        self,
        command: Sequence[str],
        *,
        stdin: IO[Any],
        output: IO[Any],
        environment: Mapping[str, str],
        folder: str | None,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a group of its own, with its output and errors in one file."""
        return subprocess.Popen(  # noqa: S603 - running commands is what a worker is for
            ["/bin/sh", "-c", ANNOUNCED, "shoal", *command],
            stdin=stdin,
            stdout=output,
            stderr=self._keeper.stdin,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[bytes], grace_seconds: float) -> None:
        """TERM to the whole group; KILL after the grace time, or at once when the command itself has ended."""
        group = process.pid
        if process.poll() is None:
            _signal(group, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_seconds)
        _signal(group, signal.SIGKILL)
        process.wait()
        self._tell(f"-{group}")

    def close(self) -> None:
        """Dismiss the keeper."""
        assert self._keeper.stdin is not None  # noqa: S101 - opened as a pipe
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait()

    def _tell(self, line: str) -> None:
        assert self._keeper.stdin is not None  # noqa: S101 - opened as a pipe
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write(line + "\n")
            self._keeper.stdin.flush()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
