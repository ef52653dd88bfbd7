"""A program at a real terminal: what it shows is read, keys are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path


class Terminal:
    """Runs a command at a pseudo-terminal of a given width."""

    def __init__(self, command: Sequence[str], *, folder: Path, environment: dict[str, str], columns: int = 80) -> None:
        self.shown = ""
        self._controller, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            command,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(inner)

    def press(self, keys: str) -> None:
        """Press keys, all at once."""
        os.write(self._controller, keys.encode())

    def expect(self, text: str, *, seconds: float = 30.0) -> str:
        """Read until a text is shown that was not read before; all that was shown up to it."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert self._read(deadline), f"{text!r} was not shown, but: {self.shown!r}"
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def end(self, *, seconds: float = 30.0) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self._process.wait(max(deadline - time.monotonic(), 0.1))

    def close(self) -> None:
        """End the program, if it has not ended."""
        self._process.kill()
        self._process.wait()
        os.close(self._controller)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._controller], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._controller, 65536)
        except OSError:  # Linux says so when the last one at the terminal is gone
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)
