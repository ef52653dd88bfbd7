"""What every command shares: the ledger it speaks to, and how its answer is shown."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import click

from shoal.cli.errors import tell
from shoal.errors import BadInput, NotFound, Refused, ShoalError
from shoal.ledger import Ledger, connect
from shoal.settings import Home, find_home

ENVELOPE_VERSION = 1
Function = TypeVar("Function", bound=Callable[..., Any])
Answer = TypeVar("Answer")


class Session:
    """One run of the command line."""

    def __init__(self, home: str | None, actor: str | None, *, json: bool, quiet: bool) -> None:
        self._home = home
        self._actor = actor
        self.json = json
        self.quiet = quiet
        self._ledger: Ledger | None = None
        self._closing = ExitStack()
        self.refusal: ShoalError | None = None

    @property
    def home(self) -> Home:
        """The home that this command is about."""
        return find_home(self._home)

    @property
    def given_home(self) -> str | None:
        """The home that the command line named."""
        return self._home

    @property
    def ledger(self) -> Ledger:
        """The ledger: SHOAL_URL, else the home's running server, else its database."""
        if self._ledger is None:
            self._ledger = self._closing.enter_context(connect(home=self._home, actor=self._actor))
        return self._ledger

    def reconnect(self) -> bool:
        """Take the home's server where it is now, at another address perhaps; whether there may be one."""
        from shoal.ledger.connect import running_server

        if "SHOAL_URL" in os.environ:
            return True
        address = running_server(self.home)
        if address is not None and self._ledger is not None and address != self._ledger.address:
            self.close()
            self._ledger = None
        return address is not None

    def close(self) -> None:
        """Let go of the ledger."""
        self._closing.close()

    def each(self, refs: Sequence[str], verb: Callable[[str], Answer]) -> list[Answer]:
        """What a verb gave for each of several. Refusals are told, and the first one says the exit code."""
        if len(refs) == 1:
            return [verb(refs[0])]
        came = []
        for ref in refs:
            try:
                came.append(verb(ref))
            except (BadInput, NotFound, Refused) as error:
                tell(error)
                self.refusal = self.refusal or error
        return came

    def answer(self, data: Any, show: Callable[[], None], *, ids: Sequence[Any] = ()) -> None:
        """The answer as JSON, as bare ids, or as `show` shows it to a person."""
        if self.json:
            self.print_json(data)
        elif self.quiet:
            for id in ids:
                click.echo(id)
        else:
            show()

    def print_json(self, data: Any, *, next: str | None = None) -> None:
        """The versioned envelope; nothing else goes to standard output with it."""
        import msgspec

        envelope = {"version": ENVELOPE_VERSION, "data": data}
        next = next or getattr(data, "next", None)
        if next is not None:
            envelope["next"] = next
        click.echo(msgspec.json.encode(envelope).decode())


def command(function: Function) -> Function:
    """Give a command its session as first argument, with --json and -q."""

    @click.option("--json", "as_json", is_flag=True, help="Answer as versioned JSON.")
    @click.option("-q", "--quiet", is_flag=True, help="Print ids alone.")
    @click.pass_context
    @functools.wraps(function)
    def run(ctx: click.Context, /, *args: Any, as_json: bool, quiet: bool, **kwargs: Any) -> Any:
        given = ctx.find_root().obj or {}
        session = Session(given.get("home"), given.get("actor"), json=as_json, quiet=quiet)
        try:
            came = function(session, *args, **kwargs)
        finally:
            session.close()
        if session.refusal is not None:
            ctx.exit(session.refusal.exit_code)
        return came

    return run  # type: ignore[return-value]


def given(**values: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in values.items() if value is not None and value != ()}
