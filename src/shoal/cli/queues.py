"""`shoal queue`: pause, resume and limit queues."""

from __future__ import annotations

from typing import Any

import click

from shoal.cli.session import Session, command


@click.group()
def queue() -> None:
    """Pause, resume and limit queues."""


@queue.command("list")
@command
def list_(session: Session) -> None:
    """List the queues that have live tasks or settings."""
    found = session.ledger.queues.list()

    def show() -> None:
        from shoal.cli import output

        rows = [
            (
                q.name,
                q.queued,
                q.active,
                q.concurrency or "",
                f"paused: {q.pause_reason or 'no reason given'}" if q.paused else "",
            )
            for q in found
        ]
        output.table(["Queue", "Queued", "Active", "Limit", ""], rows, empty="No queues yet.", grows="")

    session.answer(found, show, ids=[one.name for one in found])


@queue.command()
@click.argument("name")
@click.option("--reason", help="Why.")
@command
def pause(session: Session, name: str, reason: str | None) -> None:
    """Stop claims from a queue; tasks already claimed go on."""
    _after(session, session.ledger.queues.pause(name, reason=reason))


@queue.command()
@click.argument("name")
@command
def resume(session: Session, name: str) -> None:
    """Open a paused queue again."""
    _after(session, session.ledger.queues.resume(name))


@queue.command(epilog="Examples: shoal queue limit deploy 1; shoal queue limit deploy none")
@click.argument("name")
@click.argument("concurrency")
@command
def limit(session: Session, name: str, concurrency: str) -> None:
    """Let at most CONCURRENCY tasks of a queue be active at once, over the whole fleet; 'none' lifts the limit."""
    if concurrency != "none" and not concurrency.isdecimal():
        raise click.BadParameter("a number, or none", param_hint="CONCURRENCY")
    number = None if concurrency == "none" else int(concurrency)
    _after(session, session.ledger.queues.limit(name, concurrency=number))


def _after(session: Session, found: Any) -> None:
    def show() -> None:
        from shoal.cli import output

        state = "paused" if found.paused else "open"
        bound = f", at most {found.concurrency} at once" if found.concurrency else ""
        output.sentence(f"queue {found.name} is {state}{bound}")

    session.answer(found, show, ids=[found.name])
