"""What several views read. Each read is bounded: it looks at no more than `SCANNED` rows, whatever the ledger holds."""

from __future__ import annotations

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
