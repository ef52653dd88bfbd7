"""`shoal stats`."""

from __future__ import annotations

import click

from shoal.cli.moments import span
from shoal.cli.session import Session, command
from shoal.model.task import Status


@click.command()
@command
def stats(session: Session) -> None:
    """Counts, ages and throughput."""
    found = session.ledger.stats.get()

    def show() -> None:
        from shoal.cli import output

        columns = [status.value for status in Status]
        rows = [
            (queue, *(by_status.get(name, 0) for name in columns), span(found.oldest_ready_by_queue.get(queue)))
            for queue, by_status in found.queues.items()
        ]
        rows.append(("all", *(found.counts[name] for name in columns), span(found.oldest_ready_ms)))
        output.table(["Queue", *columns, "oldest ready"], rows, empty="")
        output.sentence(f"Last hour: {found.completed_per_hour} completed, {found.failed_per_hour} failed")

    session.answer(found, show)
