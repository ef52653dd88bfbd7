"""Commands about the home itself: make it, check it, back it up, bring it back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from shoal.cli.session import Session, command
from shoal.errors import NotFound, Refused, ServerRunning
from shoal.settings import Home


@click.command(epilog="Example: shoal --home .shoal init")
@click.option("--new-database", is_flag=True, help="Begin with an empty database although there was one.")
@click.option("--prefix", help="Letters before a task's number (T).")
@command
def init(session: Session, new_database: bool, prefix: str | None) -> None:
    """Make a Shoal home: database, settings, folders."""
    from shoal.ledger.connect import open_home, open_ledger

    home = session.home
    if "SHOAL_HOME" not in os.environ and not home.exists and session.given_home is None:
        home = Home(Path.cwd() / ".shoal")
    settings = home.settings(prefix=prefix)
    if new_database:
        open_ledger(home.database_address(settings), settings=settings, actor="shoal", create=True).close()
    else:
        open_home(home, actor="shoal", settings=settings, create=True).close()
    home.create()
    session.answer(
        {"home": str(home)}, lambda: click.echo(f"{home} is ready. Start a server: shoal serve"), ids=[str(home)]
    )


@click.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
@command
def backup(session: Session, target: Path | None) -> None:
    """Make a checked copy of the database, in the home's backups or at TARGET."""
    from shoal.errands import backup as backups
    from shoal.ledger.connect import open_home

    home = session.home
    with open_home(home, actor="shoal") as ledger:
        engine: Any = ledger.engine
        if target is None:
            made = backups.make(engine, home.backups)
        else:
            engine.database.backup(str(target.absolute()))
            made = target
    session.answer({"backup": str(made)}, lambda: click.echo(f"backed up to {made}"), ids=[made])


@click.command(epilog="Example: shoal restore .shoal/backups/ledger-20261121T101500000Z.db")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@command
def restore(session: Session, source: Path) -> None:
    """Put a backup in the place of the database; the present one is kept beside it."""
    from shoal.errands import backup as backups
    from shoal.ledger.instance import InstanceLock

    home = session.home
    settings = home.settings()
    address = home.database_address(settings)
    if "://" in address and not address.startswith("sqlite"):
        raise Refused(f"the database is {settings.db}; restore it with pg_restore --clean --dbname=… {source}")
    try:
        with InstanceLock(home):
            kept = backups.restore(source, Path(address.removeprefix("sqlite:///")))
    except ServerRunning as error:
        raise Refused(f"{error.message}, then restore") from None
    home.create()

    def show() -> None:
        click.echo(f"restored {source}")
        if kept is not None:
            click.echo(f"what was there before: {kept}")

    session.answer({"restored": str(source), "kept": str(kept) if kept else None}, show, ids=[source])


@click.command()
@command
def doctor(session: Session) -> None:
    """Check the home, database and server, and explain what is wrong. Exit code 6 when something is."""
    from shoal.daemon import doctor as examination

    findings = examination.examine(session.home)

    def show() -> None:
        for finding in findings:
            mark = click.style("ok  ", fg="green") if finding.ok else click.style("bad ", fg="red")
            click.echo(f"{mark} {finding.what}: {finding.message}")

    session.answer(findings, show, ids=[one.what for one in findings if not one.ok])
    if not all(one.ok for one in findings):
        session.close()
        sys.exit(6)


@click.command(epilog="Example: shoal completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in your shell."""
    from click.shell_completion import get_completion_class

    from shoal.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise NotFound(f"no completion for {shell}")
    click.echo(kind(cli, {}, "shoal", "_SHOAL_COMPLETE").source())
