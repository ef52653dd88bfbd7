"""What several views read. Each read is bounded: it looks at no more than `SCANNED` rows, whatever the ledger holds."""

from __future__ import annotations

from itertools import chain
from typing import Any

from shoal.model.task import Status, Task
from shoal.services.transaction import Tx

SCANNED = 1000
QUEUES = 50


def found(tx: Tx, query: str, **parameters: Any) -> list[Task]:
    """The tasks that a query gives."""
    return [tx.task(row) for row in tx.all(query, **parameters)]


def by_number(tx: Tx, ids: list[int]) -> list[Task]:
    """Tasks by their numbers, in that order."""
    return [tx.task(row) for [row] in tx.many("tasks.get", [{"id": id} for id in ids])]


def active(tx: Tx, limit: int) -> list[Task]:
    """What is being worked on, the longest held first."""
    return found(tx, "views.active", status=Status.ACTIVE.value, scanned=SCANNED, limit=limit)


def crowded(by_queue: dict[str, dict[str, int]]) -> list[str]:
    """The queues with tasks to claim, by name; of very many, those with the most."""
    waiting = sorted((-counts[Status.QUEUED], name) for name, counts in by_queue.items() if counts.get(Status.QUEUED))
    return sorted(name for _, name in waiting[:QUEUES])


def long_queued(tx: Tx, by_queue: dict[str, dict[str, int]], before: int, limit: int) -> list[Task]:
    """What has been ready since before a moment, the longest first."""
    asked = [
        {"queue": queue, "priority": priority, "before": before, "scanned": SCANNED, "limit": limit}
        for queue in crowded(by_queue)
        for priority in range(4)
    ]
    longest = sorted(chain.from_iterable(tx.many("views.long_queued", asked)))[:limit]
    return by_number(tx, [id for _, id in longest])
