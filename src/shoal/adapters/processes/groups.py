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

from msgspec import Struct

from shoal.adapters.processes.keeper import MARK, signal_strays

STRAY_ROUNDS = 20
KEEPER = Path(__file__).with_name("keeper.py")
# The new group tells the keeper of itself before it becomes the command: a worker killed in between could not.
# Its errors go to the keeper until then, so nothing in between may write there.
ANNOUNCED = f'echo "+$$" >&2; export {MARK}=$$; %sexec "$@" %s'


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
        stdin: IO[Any] | int,
        output: IO[Any] | int,
        environment: Mapping[str, str],
        folder: str | Path | None,
        errors: IO[Any] | int | None = None,
        limits: Limits = NO_LIMITS,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a group of its own; subprocess.PIPE as input or output is for the caller to serve.

        Errors go where the output goes, or to a file that was opened for appending. Raises OSError.
        """
        # Opened anew by path: a shell takes only numbers below 10 after >&, and this one may be higher.
        number = errors if errors is None or isinstance(errors, int) else errors.fileno()
        to = "2>&1" if number is None else f"2>>/dev/fd/{number}"
        return subprocess.Popen(  # noqa: S603 - running commands is what a worker is for
            ["/bin/sh", "-c", ANNOUNCED % (limits.as_shell(), to), "shoal", *command],
            stdin=stdin,
            stdout=output,
            stderr=self._keeper.stdin,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            pass_fds=() if number is None else (number,),
        )

    def end(self, process: subprocess.Popen[bytes], grace_seconds: float) -> None:
        """TERM to the whole group; KILL after the grace time, or at once when the command itself has ended."""
        group = process.pid
        if process.poll() is None:
            _signal(group, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_seconds)
            signal_strays(group, signal.SIGTERM)
        _signal(group, signal.SIGKILL)
        process.wait()
        # What is killed may have started another one just before.
        rounds = 0
        while signal_strays(group, signal.SIGKILL) and rounds < STRAY_ROUNDS:
            rounds += 1
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
