"""`shoal backlog import`: the backlogs of other tools, taken in."""

from __future__ import annotations

import sys

import click

from shoal.cli.session import Session, command

SYSTEMS = click.Choice(["queue-yaml", "beads", "backlog-md", "task-master", "github"])


@click.command(
    "import",
    epilog="Examples: shoal backlog import queue.yaml; shoal backlog import ~/web --from backlog-md --project web; "
    "shoal backlog import acme/web --from github --dry-run",
)
@click.argument("source", metavar="FILE|FOLDER|OWNER/NAME")
@click.option("--from", "system", type=SYSTEMS, help="What it is; else guessed where that is clear.")
@click.option("--project", default="default", show_default=True, help="What the items belong to.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@command
def import_(session: Session, source: str, system: str | None, project: str, dry_run: bool) -> None:
    """Import another tool's backlog as work items; again to follow it.

    Nothing is added twice. What changed there is taken over, except where it was edited here. OWNER/NAME are the issues
    of a GitHub repository, asked for with the token in $SHOAL_GITHUB_TOKEN.
    """
    from shoal.daemon import item_import
    from shoal.live_settings import LiveSettings
    from shoal.model.item_import import RowOutcome

    came = item_import.run(
        session.ledger,
        source,
        system=system,
        project=project,
        settings=LiveSettings(session.home)(),
        dry_run=dry_run,
    )

    def show() -> None:
        for row in came.told:
            word = "not taken" if row.outcome is RowOutcome.REFUSED else row.item or row.outcome.value
            click.echo(f"{row.place}: {word}: {row.reason}", err=True)
        if came.waiting:
            some = ", ".join(came.waiting[:10]) + (" …" if len(came.waiting) > 10 else "")
            click.echo(f"links to {len(came.waiting)} that were not imported wait for them: {some}", err=True)
        click.echo(
            f"{came.rows} items of {came.system}: {came.taken} taken, {came.updated} updated, {came.same} the same, "
            f"{came.refused} refused"
        )
        if dry_run:
            click.echo("nothing was changed: this was a dry run")
        elif came.taken:
            click.echo(f"decide about them: shoal backlog list -s new --origin import --project {project}")

    session.answer(came, show, ids=came.items)
    if came.refused:
        session.close()
        sys.exit(2)
