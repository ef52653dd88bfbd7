"""How an error is told: to people in red, to machines as JSON."""

from __future__ import annotations

import os
import sys

import click

from shoal.errors import ShoalError


def tell(error: ShoalError) -> None:
    """An error for people, or as JSON when --json was asked for."""
    if "--json" in sys.argv:
        import msgspec

        told = {"version": 1, "error": error.message, "code": error.code, "field": error.field}
        click.echo(msgspec.json.encode(told).decode(), err=True)
        return
    from shoal.cli.output import clean

    click.echo(click.style("error: ", fg="red") + clean(error.message, lines=True), err=True, color=colour())


def colour() -> bool | None:
    """None leaves it to the terminal; rich looks at NO_COLOR by itself."""
    return False if os.environ.get("NO_COLOR") else None
