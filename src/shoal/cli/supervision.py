"""`shoal supervision`."""

from __future__ import annotations

import click

from shoal.cli.moments import shown
from shoal.cli.session import Session, command


@click.command()
@click.option("-n", "--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@command
def supervision(session: Session, limit: int) -> None:
    """Show what supervision would do to attempts and tasks now."""
    found = session.ledger.supervision.get(limit=limit)

    def show() -> None:
        from shoal.cli import output

        rows = [(one.task_id, one.rule, one.action, shown(one.since), one.message) for one in found]
        output.table(["Task", "Rule", "Action", "Due since", ""], rows, empty="Nothing is due.", grows="")

    session.answer(found, show, ids=[one.task_id for one in found])
