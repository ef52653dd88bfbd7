"""Process groups: started for a command, ended whole with all that came of them, also when this process dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from shoal.adapters.processes import reaper

REAPER = Path(reaper.__file__)
LAST_SECONDS = reaper.STUBBORN_SECONDS + 10  # for a reaper to end in


class Limits(Struct, frozen=True):
    """Limits of each process in a group; None for no limit.

    Memory is what a process may write to (RLIMIT_DATA), not the addresses it reserves: the engines under many agents
    reserve tens of gigabytes that they never touch. macOS takes the number but hardly holds to it.
    """

    memory_mb: int | None = None
    open_files: int | None = None

    def as_shell(self) -> str:
        """The lines that a shell sets them with before it becomes the command."""
        # Where the machine's own limit is lower already, setting it fails, and that one holds.
        lines = []
        if self.memory_mb is not None:
            lines.append(f"ulimit -d {self.memory_mb * 1024} 2>/dev/null || :")
        if self.open_files is not None:
            lines.append(f"ulimit -n {self.open_files} 2>/dev/null || :")
        return "".join(f"{line}; " for line in lines)


NO_LIMITS = Limits()


class Groups:
    """The process groups of one worker, each under a reaper of its own (reaper.py)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._controls: dict[subprocess.Popen[bytes], int] = {}

    def start(
        self,
        command: Sequence[str],
        *,
        stdin: IO[Any] | int,
        output: IO[Any] | int,
        environment: Mapping[str, str],
        folder: str | Path | None,
        errors: IO[Any] | int | None = None,
        limits: Limits = NO_LIMITS,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a group of its own; subprocess.PIPE as input or output is for the caller to serve.

        What is returned is its reaper, which ends as the command does, when nothing that it started is left.
        Errors go where the output goes, or to a file. Raises OSError.
        """
        become = ["/bin/sh", "-c", f'{limits.as_shell()}exec "$@"', "shoal", *command]
        orders, control = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - running commands is what a worker is for
                [sys.executable, "-I", "-S", str(REAPER), str(orders), environment.get(reaper.LOCALE, ""), *become],
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT if errors is None else errors,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
                pass_fds=(orders,),
            )
        except BaseException:
            os.close(control)
            raise
        finally:
            os.close(orders)
        with self._lock:
            self._controls[process] = control
        return process

    def end(self, process: subprocess.Popen[bytes], grace_seconds: float) -> None:
        """TERM to all that runs, KILL after the grace time; what the command leaves when it ends is killed at once."""
        if process.poll() is None:
            self._order(process, reaper.ASK)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_seconds)
        self._order(process, reaper.END)
        _await(process)
        self._forget(process)

    def close(self) -> None:
        """End what has not been ended."""
        with self._lock:
            left = list(self._controls)
        for process in left:
            self._forget(process)  # which the reaper takes for our end
        for process in left:
            _await(process)

    def _order(self, process: subprocess.Popen[bytes], order: bytes) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            if process in self._controls:
                os.write(self._controls[process], order)

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            control = self._controls.pop(process, None)
        if control is not None:
            os.close(control)


def _await(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(LAST_SECONDS)
    except subprocess.TimeoutExpired:  # somebody has stopped it
        process.kill()
        process.wait()
