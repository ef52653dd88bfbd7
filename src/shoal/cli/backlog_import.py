"""`shoal backlog import`: the backlogs of other tools and ledgers, taken in."""

from __future__ import annotations

import sys

import click

from shoal.cli.output import remark
from shoal.cli.session import Session, command
from shoal.model.item_import import RowOutcome, System


@click.command(
    "import",
    epilog="Examples: shoal backlog import queue.yaml; shoal backlog import ~/web --from backlog-md --project web; "
    "shoal backlog import acme/web --from github --dry-run",
)
@click.argument("source", metavar="FILE|FOLDER|OWNER/NAME")
@click.option(
    "--from",
    "system",
    type=click.Choice([one.value for one in System]),
    help="What it is; else guessed where that is clear.",
)
@click.option("--project", help="What the items belong to that do not say it.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@command
def import_(session: Session, source: str, system: str | None, project: str | None, dry_run: bool) -> None:
    """Import another tool's backlog as work items, again to follow it; or what `export` wrote as JSON Lines.

    Nothing is added twice. What changed there is taken over, except where it was edited here. OWNER/NAME are the issues
    of a GitHub repository, asked for with the token in $SHOAL_GITHUB_TOKEN; - is an export on standard input.
    """
    project = project or "default"
    from shoal.errands import item_import
    from shoal.live_settings import LiveSettings

    came = item_import.run(
        session.ledger,
        source,
        system=None if system is None else System(system),
        project=project,
        settings=LiveSettings(session.home)(),
        dry_run=dry_run,
    )

    def show() -> None:
        for row in came.told:
            word = "not taken" if row.outcome is RowOutcome.REFUSED else row.item or row.outcome.value
            remark(f"{row.place}: {word}: {row.reason}")
        if came.waiting:
            some = ", ".join(came.waiting[:10]) + (" …" if len(came.waiting) > 10 else "")
            remark(f"links to {len(came.waiting)} that were not imported wait for them: {some}")
        click.echo(
            f"{came.rows} items of {came.system}: {came.taken} taken, {came.updated} updated, {came.same} the same, "
            f"{came.refused} refused"
        )
        if dry_run:
            click.echo("nothing was changed: this was a dry run")
        elif came.taken:
            of = "" if came.system is System.SHOAL else f" --project {project}"
            click.echo(f"decide about them: shoal backlog list -s new --origin import{of}")

    session.answer(came, show, ids=came.items)
    if came.refused:
        session.close()
        sys.exit(2)
