"""Commands of the people around a task: verdicts, feedback, words."""

from __future__ import annotations

import click

from shoal.cli.session import Session, command
from shoal.cli.tasks import after, tell


@click.command(epilog="Examples: shoal review T42 --approve; shoal review T42 --reject -m 'no tests'")
@click.argument("task")
@click.option("--approve/--reject", "approve", default=None, required=True, help="The verdict.")
@click.option("-m", "--notes", help="What is to be done better; a rejection needs it.")
@command
def review(session: Session, task: str, approve: bool, notes: str | None) -> None:
    """Approve or reject a task in review."""
    after(session, session.ledger.tasks.review(task, approve=approve, notes=notes))


@click.command(epilog="Example: shoal feedback T42 --quality 4 --timeliness 5 -m 'clean work'")
@click.argument("task")
@click.option("--quality", type=click.IntRange(1, 5), required=True, help="1 (poor) to 5 (excellent).")
@click.option("--timeliness", type=click.IntRange(1, 5), help="1 (late) to 5 (early).")
@click.option("-m", "--notes", help="In words.")
@command
def feedback(session: Session, task: str, quality: int, timeliness: int | None, notes: str | None) -> None:
    """Say how good the work was."""
    after(session, session.ledger.tasks.feedback(task, quality=quality, timeliness=timeliness, notes=notes))


@click.command()
@click.argument("task")
@click.option("--agent", help="Who joins, when that is not you.")
@click.option("--role", help="As what.")
@command
def join(session: Session, task: str, agent: str | None, role: str | None) -> None:
    """Take part in a task and hear of its events."""
    after(session, session.ledger.tasks.join(task, agent=agent, role=role))


@click.command()
@click.argument("task")
@click.option("--agent", help="Who leaves, when that is not you.")
@command
def leave(session: Session, task: str, agent: str | None) -> None:
    """Take part no longer."""
    after(session, session.ledger.tasks.leave(task, agent=agent))


@click.command(epilog="Example: shoal comment T42 'the flaky test is known'")
@click.argument("task")
@click.argument("message")
@command
def comment(session: Session, task: str, message: str) -> None:
    """Say something about a task."""
    tell(session, "comment", task, message=message)
