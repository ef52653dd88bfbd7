"""Commands that read the log."""

from __future__ import annotations

from typing import Any

import click

from shoal.cli.moments import shown
from shoal.cli.session import Session, command, given
from shoal.model.event import STEPS, Event


@click.command(epilog="Examples: shoal events --task T42; shoal events --follow --json | jq .kind")
@click.option("--task", help="Only of this task.")
@click.option("--kind", help="Only of this kind; `shoal reference events` lists them.")
@click.option("--after", type=int, help="Only behind this id, oldest first.")
@click.option("-n", "--limit", type=int, default=30, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="Of a task, also each thing that its agents say, call or pay.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@command
def events(session: Session, limit: int, follow: bool, after: int | None, everything: bool, **filters: Any) -> None:
    """Read or follow the log.

    Of a task, what its agents say, call and pay is left out, without --all or --kind; `shoal logs` shows it best.
    """
    chosen = given(**filters)
    ledger = session.ledger
    steps = everything or set(chosen) != {"task"}
    if after is None:
        found = list(reversed(ledger.events.list(limit=limit, steps=steps, **chosen)))
    else:
        found = list(ledger.events.list(after=after, limit=limit, steps=steps, **chosen))
    if not follow:
        session.answer(found, lambda: _table(found), ids=[one.id for one in found])
        return
    for one in found:
        _line(session, one)
    start = found[-1].id if found else (after or 0)
    try:
        for one in ledger.follow(after=start, **chosen):
            if steps or one.kind not in STEPS:
                _line(session, one)
    except KeyboardInterrupt:
        return


@click.command(epilog="Example: shoal watch --agent claude-1 --wait 30 --json")
@click.option("--agent", help="Whose inbox; else yours.")
@click.option("-n", "--limit", type=int, default=100, show_default=True, help="How many at most.")
@click.option("--wait", "wait_seconds", type=float, default=0.0, help="Seconds to wait when there is nothing.")
@click.option("--peek", is_flag=True, help="Leave them unread.")
@command
def watch(session: Session, agent: str | None, limit: int, wait_seconds: float, peek: bool) -> None:
    """Read an agent's inbox: events of its tasks, and broadcasts."""
    ledger = session.ledger
    inbox = ledger.watch(agent=agent or ledger.actor, limit=limit, wait_seconds=wait_seconds, peek=peek)
    session.answer(inbox, lambda: _table(inbox.events), ids=[one.id for one in inbox.events])


@click.command()
@click.argument("message")
@click.option("--task", help="The task that it is about.")
@command
def broadcast(session: Session, message: str, task: str | None) -> None:
    """Tell every agent something."""
    session.ledger.events.broadcast(message=message, task=task)
    session.answer({"message": message}, lambda: click.echo("told"))


def _table(found: list[Event]) -> None:
    from shoal.cli import output
    from shoal.cli.tasks import told

    rows = [(one.id, shown(one.at), one.kind, one.task_id, one.actor, told(one)) for one in found]
    output.table(["Id", "When", "What", "Task", "By", ""], rows, empty="Nothing.", grows="")


def _line(session: Session, one: Event) -> None:
    import sys

    if session.json:
        import msgspec

        click.echo(msgspec.json.encode(one).decode())
    elif session.quiet:
        click.echo(one.id)
    else:
        from shoal.cli.tasks import told

        click.echo(f"{shown(one.at)}  {one.kind:<18} {one.task_id or '':<6} {one.actor:<12} {told(one)}")
    sys.stdout.flush()
