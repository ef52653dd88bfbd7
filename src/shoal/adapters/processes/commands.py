"""Commands beside an agent: set-up, tear-down, success criteria.

Each runs in a process group of its own, bounded in time and in what it may write.
"""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from msgspec import Struct

from shoal.adapters.processes.groups import NO_LIMITS, Limits
from shoal.adapters.processes.log_file import LogFile
from shoal.clock import monotonic_seconds

TAIL_BYTES = 2000
LOG_BYTES = 4_000_000  # of one command's output
OUTPUT_BYTES = 256_000_000  # a command that writes more writes for ever
NOTICE_SECONDS = 0.2


class Ran(Struct, frozen=True):
    """How a command ended: its exit code, or why it was stopped; and the end of what it wrote."""

    code: int | None
    tail: str
    stopped: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with 0."""
        return self.code == 0

    def describe(self) -> str:
        """What became of it, and the end of its output."""
        how = self.stopped or f"ended with {self.code}"
        return f"{how}: {self.tail}" if self.tail else how


class RunCommand(Protocol):
    """Runs a command in a folder to its end, or for so many seconds; never raises for what the command does."""

    def __call__(
        self, command: Sequence[str], folder: Path, *, seconds: float, environment: Mapping[str, str] | None = None
    ) -> Ran:
        """Run it."""
        ...


class Starter(Protocol):
    """What starts process groups and ends them whole."""

    def start(
        self,
        command: Sequence[str],
        *,
        stdin: IO[Any] | int,
        output: IO[Any] | int,
        environment: Mapping[str, str],
        folder: Path | None,
        limits: Limits,
    ) -> subprocess.Popen[bytes]:
        """Start a command. Raises OSError."""
        ...

    def end(self, process: subprocess.Popen[bytes], grace_seconds: float) -> None:
        """End a command with all that it started."""
        ...


class Commands:
    """Runs commands of one attempt, with what they write in its log."""

    def __init__(
        self,
        starter: Starter,
        *,
        log: Path,
        environment: Mapping[str, str],
        limits: Limits = NO_LIMITS,
        grace_seconds: float = 5.0,
        check: Callable[[], None] | None = None,
    ) -> None:
        """`check` is asked after every command, and raises when the attempt was told to stop meanwhile."""
        self._starter = starter
        self._log = log
        self._environment = dict(environment)
        self._limits = limits
        self._grace_seconds = grace_seconds
        self._check = check or (lambda: None)

    def __call__(
        self, command: Sequence[str], folder: Path, *, seconds: float, environment: Mapping[str, str] | None = None
    ) -> Ran:
        """Run a command to its end; whatever it left behind ends with it."""
        with LogFile(self._log) as log:
            log.write(f"$ {shlex.join(command)}\n".encode("utf-8", "replace"))
            try:
                process = self._starter.start(
                    command,
                    stdin=subprocess.DEVNULL,
                    output=subprocess.PIPE,
                    environment=self._environment | dict(environment or {}),
                    folder=folder,
                    limits=self._limits,
                )
            except (OSError, ValueError) as error:
                return Ran(127, f"cannot be started: {error}")
            assert process.stdout is not None  # noqa: S101 - opened as a pipe
            with process.stdout as pipe:
                output = _Output(pipe, log)
                try:
                    stopped = self._follow(process, output, seconds)
                finally:
                    self._starter.end(process, self._grace_seconds)
                output.read()
            output.close()
        self._check()
        return Ran(None if stopped else process.returncode, output.tail, stopped)

    def _follow(self, process: subprocess.Popen[bytes], output: _Output, seconds: float) -> str | None:
        """Until the command ends; why it must end before."""
        deadline = monotonic_seconds() + seconds
        # Not until the end of its output: a child that it left behind may keep that open.
        while process.poll() is None:
            output.wait(NOTICE_SECONDS)
            if output.size > OUTPUT_BYTES:
                return f"stopped after {OUTPUT_BYTES // 1_000_000} MB of output"
            if monotonic_seconds() > deadline:
                return f"stopped after {seconds:.0f} s"
        return None


class _Output:
    """What a command writes: its beginning goes to the log, its end is remembered, the rest is counted."""

    def __init__(self, pipe: IO[bytes], log: LogFile) -> None:
        self.size = 0
        self._log = log
        self._end = b""
        self._pipe = pipe.fileno()
        os.set_blocking(self._pipe, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._open = True

    def wait(self, seconds: float) -> None:
        """Read what there is, or wait for something."""
        if not self._open:
            threading.Event().wait(seconds / 10)  # it has closed its output and goes on
        elif self._selector.select(seconds):
            self._take()

    def read(self) -> None:
        """Read what is left, as far as the pipe holds it."""
        before = self.size
        while self._open and self.size - before < 1_000_000 and self._selector.select(0):
            self._take()

    def close(self) -> None:
        """End the log of it."""
        self._selector.close()
        if self.size > LOG_BYTES:
            more = f"\n… {self.size - LOG_BYTES} bytes more, which end with:\n"
            self._log.write(more.encode() + self._end)
        if self.size and not self._end.endswith(b"\n"):
            self._log.write(b"\n")

    @property
    def tail(self) -> str:
        """The end of it as text."""
        return self._end.decode(errors="replace").replace("\x00", "").strip()

    def _take(self) -> None:
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return
        if not data:
            self._open = False
            self._selector.unregister(self._pipe)
        self._log.write(data[: max(0, LOG_BYTES - self.size)])
        self.size += len(data)
        self._end = (self._end + data)[-TAIL_BYTES:]
