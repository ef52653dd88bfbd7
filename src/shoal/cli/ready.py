"""What can be claimed, and why something cannot."""

from __future__ import annotations

from typing import Any

import click

from shoal.cli.moments import shown
from shoal.cli.session import Session, command, given


@click.command(epilog="Examples: shoal ready --queue review; shoal ready --explain T42")
@click.option("--queue", default="default", show_default=True, help="The queue.")
@click.option("-t", "--type", help="Only this type.")
@click.option("-l", "--label", help="Only with this label.")
@click.option("-n", "--limit", type=int, default=20, show_default=True, help="How many.")
@click.option("--explain", metavar="TASK", help="Why this task is not among them.")
@command
def ready(session: Session, explain: str | None, limit: int, **filters: Any) -> None:
    """Show what a claim would give, or explain why a task is not among it."""
    if explain is not None:
        _explain(session, explain)
        return
    found = session.ledger.tasks.ready(limit=limit, **given(**filters))

    def show() -> None:
        from shoal.cli import output

        output.tasks(
            found, empty=f"Nothing is ready in queue {filters['queue']}. `shoal list -s blocked` shows what waits."
        )

    session.answer(found, show, ids=[one.task_id for one in found])


def _explain(session: Session, task: str) -> None:
    explanation = session.ledger.tasks.explain(task)

    def show() -> None:
        from shoal.cli import output

        if explanation.claimable:
            output.sentence(f"{explanation.task_id} can be claimed now.")
            return
        output.sentence(f"{explanation.task_id} cannot be claimed now:")
        for obstacle in explanation.obstacles:
            until = f" until {shown(obstacle.until)}" if obstacle.until else ""
            output.sentence(f"  - {obstacle.message}{until}")

    session.answer(explanation, show, ids=[explanation.task_id] if explanation.claimable else [])


@click.command("next", epilog="Example: shoal next --claim --worker laptop -q")
@click.option("--queue", default="default", show_default=True, help="The queue.")
@click.option("-t", "--type", help="Only this type.")
@click.option("-l", "--label", help="Only with this label.")
@click.option("--claim", "take", is_flag=True, help="Claim it.")
@click.option("--worker", help="The worker that claims; else who you are.")
@command
def next_(session: Session, take: bool, worker: str | None, **filters: Any) -> None:
    """Show the next task, or claim it."""
    from shoal.cli import attempts

    if take:
        attempts.take(session, worker=worker, **filters)
        return
    found = session.ledger.tasks.ready(limit=1, **given(**filters))

    def show() -> None:
        from shoal.cli import output

        if found:
            output.task(found[0])
        else:
            output.sentence(f"Nothing is ready in queue {filters['queue']}.")

    session.answer(found[0] if found else None, show, ids=[one.task_id for one in found])
