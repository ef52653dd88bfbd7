"""What a queue is: a name that tasks are claimed under, and its settings."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from shoal.model.task import Status

OPEN = (Status.QUEUED, Status.SCHEDULED, Status.ACTIVE)


class Queue(Struct, frozen=True):
    """A queue's settings and how many tasks it has. A queue exists as soon as something names it."""

    name: str
    paused: bool
    pause_reason: str | None
    concurrency: int | None
    queued: int = 0
    active: int = 0


class Stats(Struct, frozen=True):
    """How the ledger stands.

    `completed_per_hour` and `failed_per_hour` are over the last hour; `oldest_ready_ms` is how long the longest
    waiting claimable task has been waiting, None when there is none.
    """

    counts: dict[str, int]
    queues: dict[str, dict[str, int]]
    oldest_ready_ms: int | None
    oldest_ready_by_queue: dict[str, int]
    completed_per_hour: int
    failed_per_hour: int
    last_event: int

    def is_drained(self, queues: Iterable[str]) -> bool:
        """Whether nothing in these queues can become claimable by itself: it is queued, scheduled or active."""
        return not any(self.queues.get(queue, {}).get(status) for queue in queues for status in OPEN)
