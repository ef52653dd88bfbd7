"""The command that shows what an agent would be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shoal.cli.session import Session, command, given

if TYPE_CHECKING:
    from shoal.model.prompt import Prompt


@click.command(epilog="Examples: shoal prompt T42; shoal prompt T42 --way continuation --raw | less")
@click.argument("task")
@click.option("--agent", help="The agent that is told, as the settings name it.")
@click.option("--workflow", help="The workflow; the task's own when left out.")
@click.option(
    "--way",
    type=click.Choice(["first", "continuation", "batch"]),
    help="First run, going on, or several things at once; when left out, what the next run is.",
)
@click.option(
    "--cause",
    type=click.Choice(["verification", "rejection", "interrupt", "crash", "failure"]),
    help="What a continuation comes after; found out when left out.",
)
@click.option("--session", "session_id", type=int, help="The session that goes on; the newest when left out.")
@click.option("--raw", is_flag=True, help="Only the text, as an agent gets it.")
@command
def prompt(
    session: Session,
    task: str,
    agent: str | None,
    workflow: str | None,
    way: str | None,
    cause: str | None,
    session_id: int | None,
    raw: bool,
) -> None:
    """Show what an agent would be told about a task, with sizes. Nothing is changed."""
    asked = given(agent=agent, workflow=workflow, way=way, cause=cause, session=session_id)
    found = session.ledger.tasks.prompt(task, **asked)
    for warning in found.warnings:
        click.echo(f"note: {warning}", err=True)
    session.answer(found, lambda: _show(found, raw), ids=[found.stable_hash])


def _show(found: Prompt, raw: bool) -> None:
    text = "\n\n".join(message.text for message in found.messages)
    if not raw:
        from shoal.cli import output

        output.sentence(f"{found.task_id}: {found.cause or found.way}, workflow {found.workflow}")
        output.sentence(f"stable text {found.stable_hash}; memory looks for: {', '.join(found.query) or 'nothing'}")
        rows = [
            ("  " + one.section if one.section else one.part.value, f"{one.characters:,}", f"{one.tokens:,}")
            for one in found.sizes
        ]
        output.table(["Part", "Characters", "Tokens (about)"], rows, empty="")
        click.echo()
    click.echo(text)
