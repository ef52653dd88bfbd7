"""What keeps jobs from being what people think they are: a manifest that is refused, and no server that runs them."""

from __future__ import annotations

import os

import click

from shoal.cli.session import Session


def tell_what_is_wrong(session: Session) -> None:
    """One line each on standard error."""
    problem = session.ledger.jobs.problem().reason
    if problem is not None:
        click.echo(f"The manifest is refused, and jobs stay as they were: {problem}", err=True)
    if not is_served(session):
        click.echo("No server runs here: nothing fires or runs until `shoal serve`.", err=True)


def is_served(session: Session) -> bool:
    """Whether there is somebody to run a job, as far as that can be told from here."""
    address = session.ledger.address or ""
    if "SHOAL_URL" in os.environ or address.startswith(("http://", "https://")):
        return True
    return address.startswith("postgresql:")  # a server elsewhere may have the same database
