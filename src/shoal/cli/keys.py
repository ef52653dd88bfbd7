"""Keys as they are pressed at a terminal: what was typed ahead is neither lost nor taken for one key."""

from __future__ import annotations

import codecs
import os
import re
import sys
import termios
import tty
from types import TracebackType
from typing import Any

import click

_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]?|O.?|.?)", re.DOTALL)  # arrows and the like
END, ERASE_LINE, ERASE = "\x04", "\x15", ("\x7f", "\b")


class Keys:
    """Reads keys and lines from standard input, which is a terminal, while it is entered."""

    def __init__(self) -> None:
        self._ahead = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._before: list[Any] | None = None

    def __enter__(self) -> Keys:
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin, termios.TCSADRAIN)  # the default would throw away what was typed ahead
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before or [])

    def key(self) -> str:
        """The next key. Raises KeyboardInterrupt, and EOFError at Ctrl-D or when the terminal is gone."""
        sys.stdout.flush()
        while True:
            while not self._ahead:
                data = os.read(sys.stdin.fileno(), 4096)
                if not data:
                    raise EOFError
                self._ahead = self._decoder.decode(data)
            if sequence := _SEQUENCE.match(self._ahead):
                self._ahead = self._ahead[sequence.end() :]
                continue
            key, self._ahead = self._ahead[0], self._ahead[1:]
            if key == END:
                raise EOFError
            return key

    def line(self, prompt: str) -> str:
        """A line of text; empty also when it is given up by Ctrl-C or Ctrl-D."""
        from rich.cells import cell_len

        click.echo(prompt, nl=False)
        text = ""
        while True:
            try:
                key = self.key()
            except (KeyboardInterrupt, EOFError):
                click.echo()
                return ""
            if key in "\r\n":
                click.echo()
                return text.strip()
            if key in ERASE or key == ERASE_LINE:
                gone = text if key == ERASE_LINE else text[-1:]
                text = text[: len(text) - len(gone)]
                click.echo("\b \b" * cell_len(gone), nl=False)
            elif key.isprintable():
                text += key
                click.echo(key, nl=False)
