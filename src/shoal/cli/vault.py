"""Commands about the vault: make it, see how it is, sync it, import one, rebuild the ledger from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.moments import shown
from shoal.cli.session import Session, command
from shoal.clock import monotonic_seconds
from shoal.errors import GitError, Refused

if TYPE_CHECKING:
    from shoal.ledger.embedded import EmbeddedEngine

SYNC_SECONDS = 600.0


@click.group()
def vault() -> None:
    """The markdown that people read: make it, sync it, import one."""


@vault.command("init", epilog="Example: shoal vault init ~/notes --remote git@github.com:me/notes.git")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--remote", help="A git remote to sync with.")
@click.option("--bring", is_flag=True, help="Take the files of the vault before along.")
@command
def init(session: Session, folder: Path | None, remote: str | None, bring: bool) -> None:
    """Make a vault, or adopt an Obsidian vault: only what is missing is added."""
    from shoal.errands.vault_setup import prepare

    made = prepare(session.home, folder, remote, bring=bring)

    def show() -> None:
        for name in made.added:
            click.echo(f"  + {name}")
        click.echo(f"{made.folder} is ready. It follows the ledger while `shoal serve` runs; by hand: shoal vault sync")
        click.echo("Whatever changes in this folder is committed with it, and pushed where there is a remote.")

    session.answer(made, show, ids=[made.folder])


@vault.command("status")
@command
def status(session: Session) -> None:
    """Show how far the vault follows the ledger."""
    found = session.ledger.sync.status()

    def show() -> None:
        if not found.enabled:
            click.echo("there is no vault")
            return
        when = shown(found.last_sync) if found.last_sync else "never"
        click.echo(f"last sync {when}, {found.commits} commits, {found.pending} tasks pending")
        if found.running:
            click.echo("a sync is running")
        if found.last_error:
            click.echo(click.style(f"failed {shown(found.failed_at)}: ", fg="red") + found.last_error)

    session.answer(found, show)


@vault.command("sync", epilog="Example: shoal vault sync --all")
@click.option("--all", "everything", is_flag=True, help="Look at every task, and build the search index anew.")
@command
def sync(session: Session, everything: bool) -> None:
    """Sync the vault now and wait for it."""
    from shoal.ledger.embedded import EmbeddedEngine

    engine = session.ledger.engine
    if isinstance(engine, EmbeddedEngine):
        _sync_here(session, engine, everything)
    else:
        _sync_there(session, everything)


def _sync_here(session: Session, engine: EmbeddedEngine, everything: bool) -> None:
    from shoal.daemon.vault_sync import VaultSync

    if everything:
        session.ledger.sync.trigger(everything=True)
    report = VaultSync(engine).run()
    for trouble in report.troubles:
        click.echo(f"left alone: {trouble.path}: {trouble.reason}", err=True)
    for conflict in report.conflicts:
        click.echo(f"conflict: {conflict.path}: {conflict.reason}", err=True)

    def show() -> None:
        what = f"commit {report.commit[:10]}, {report.tasks} tasks looked at" if report.commit else "nothing to commit"
        click.echo(f"synced: {what}{', pushed' if report.pushed else ''}")

    session.answer(session.ledger.sync.status(), show)


def _sync_there(session: Session, everything: bool) -> None:
    ledger = session.ledger
    wanted = ledger.sync.trigger(everything=everything)
    began = ledger.sync.status()
    deadline = monotonic_seconds() + SYNC_SECONDS
    while True:
        found = ledger.sync.status()
        if found.position >= wanted.event and not found.running:
            break
        if found.last_error and found.failed_at != began.failed_at and not found.running:
            raise GitError(found.last_error)
        if monotonic_seconds() > deadline:
            raise Refused(f"the server has not synced within {SYNC_SECONDS:.0f} s; `shoal vault status` tells why")
        ledger.wait_for_events(wanted.event, 0.1)
    session.answer(found, lambda: click.echo(f"synced: {found.commits} commits so far"))


@vault.command("import", epilog="Example: shoal vault import ~/old-vault --dry-run")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--glob", "pattern", help="Which files; else 010-tasks/{active,completed,failed}/*.md.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--rename", is_flag=True, help="Rename the sources to their new numbers.")
@command
def import_(session: Session, folder: Path, pattern: str | None, dry_run: bool, rename: bool) -> None:
    """Take the tasks of an existing vault into the ledger; again adds nothing twice."""
    from shoal.errands import vault_import

    report = vault_import.run(session.ledger, folder, pattern=pattern, dry_run=dry_run, rename=rename)
    if report.created and not dry_run and session.home.exists:
        vault_import.keep(session.home, report)
    _show_import(session, report, "would be taken" if dry_run else "taken")


@vault.command("rebuild", epilog="Example: shoal --home new vault rebuild ~/vault")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@command
def rebuild(session: Session, folder: Path) -> None:
    """Make the ledger anew from a vault alone, in an empty home."""
    from shoal.errands import vault_import

    report = vault_import.rebuild(session.home, folder)
    _show_import(session, report, "brought back")
    click.echo(
        "Only what stands on the pages came back: no history, attempts or progress. "
        "If another home syncs with the same remote, end that one first.",
        err=True,
    )


def _show_import(session: Session, report: Any, word: str) -> None:
    def show() -> None:
        for old, task_id in report.map.items():
            click.echo(f"  {old} → {task_id}")
        click.echo(f"{len(report.created)} tasks {word}, {len(report.existing)} were there already")
        for refused in report.refused:
            click.echo(f"not taken: {refused.name}: {refused.reason}", err=True)

    session.answer(report, show, ids=list(report.map.values()))
