"""`shoal import lobwife`: what lobwife left in a folder, taken over."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from shoal.cli.session import Session
from shoal.errors import Refused

WORDS = {"taken": "taken", "existing": "there already", "refused": "refused"}


def import_(session: Session, folder: Path, *, dry_run: bool) -> None:
    """Import the folder into the ledger of the home, and show what became of each file and of each odd row."""
    from shoal.errands import lobwife_import

    if url := os.environ.get("SHOAL_URL"):
        raise Refused(
            f"lobwife is imported where the home is, not over {url}; run it there, or unset SHOAL_URL and say --home"
        )
    report = lobwife_import.run(session.home, folder, dry_run=dry_run)
    failed = any(one.problem is not None for one in report.files)
    refused = sum(one.refused for one in report.files)

    def show() -> None:
        for row in report.told:
            click.echo(f"{row.file}: {row.name}: {WORDS[row.outcome.value]}: {row.reason}", err=True)
        click.echo(f"{'file':<18}{'rows':>7}{'taken':>8}{'there':>8}{'refused':>9}  now")
        for one in report.files:
            now = one.problem or one.renamed or one.file
            click.echo(f"{one.file:<18}{one.rows:>7}{one.taken:>8}{one.existing:>8}{one.refused:>9}  {now}")
        if dry_run:
            click.echo("nothing was changed: this was a dry run")
        elif refused:
            click.echo("what was refused stands above, and in the renamed files")

    session.answer(report, show, ids=[one.file for one in report.files if one.problem is None])
    if failed or refused:
        session.close()
        sys.exit(2)
