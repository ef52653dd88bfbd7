"""How the ledger stands at a moment: what the status report tells. Every read is bounded, whatever the ledger holds."""

from __future__ import annotations

from msgspec import Struct

from shoal.clock import DAY_MS, MINUTE_MS
from shoal.daemon.views.reads import SCANNED, active, found, long_queued
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.cost import CostSum
from shoal.model.job import RunStatus
from shoal.model.task import Status, Task
from shoal.services import costs, job_summaries, stats, sync
from shoal.services.job_summaries import Summary
from shoal.services.transaction import Tx

SHOWN = 5
ENDED = 100_000  # reading so many takes some 100 ms
LATE_MS = 5 * MINUTE_MS
BAD = frozenset({RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.ERROR})


class Snapshot(Struct, frozen=True, kw_only=True):
    """The facts of one moment, `now` in epoch milliseconds. Lists hold the first few, the most pressing first."""

    now: int
    by_queue: dict[str, dict[str, int]]
    totals: dict[str, int]
    workers: int
    queued: list[Task]
    active: list[Task]
    review: list[Task]
    held: list[Task]
    ended: dict[str, int]
    failed: list[Task]
    today: CostSum
    spent: CostSum
    days: int
    agents: list[CostSum]
    jobs: list[Summary]
    troubles: list[str]

    @property
    def ended_in_part(self) -> bool:
        """Whether so much ended in the last 24 hours that not all of it was counted."""
        return sum(self.ended.values()) >= ENDED

    @property
    def held_in_part(self) -> bool:
        """Whether there are more blocked tasks than were looked through for held ones."""
        return self.totals[Status.BLOCKED] > SCANNED


def read(engine: EmbeddedEngine, *, days: int) -> Snapshot:
    """How the ledger stands now; money of today and of so many days with it, in UTC."""
    # Alone in a transaction that writes: the rest takes longer, and nobody should wait for it.
    by_queue = engine.write(stats.counts)
    found: Snapshot = engine.read(lambda tx: _read(tx, by_queue, days, _waiting(engine, tx.now)))
    return found


def _read(tx: Tx, by_queue: dict[str, dict[str, int]], days: int, waiting: list[str]) -> Snapshot:
    row = tx.one("views.count_workers")
    yesterday = tx.now - DAY_MS
    today = tx.now // DAY_MS
    first = DAY_MS * (today - days + 1)
    return Snapshot(
        now=tx.now,
        by_queue=by_queue,
        totals=stats.totals(by_queue),
        workers=row[0] if row else 0,
        queued=long_queued(tx, by_queue, tx.now + 1, SHOWN),
        active=active(tx, SHOWN),
        review=found(
            tx, "views.unchanged", status=Status.REVIEW.value, before=tx.now + 1, scanned=SCANNED, limit=SHOWN
        ),
        held=found(tx, "views.held", status=Status.BLOCKED.value, scanned=SCANNED, limit=SHOWN),
        ended={status: int(number) for status, number in tx.all("views.ended_since", since=yesterday, scanned=ENDED)},
        failed=found(tx, "views.failed_since", since=yesterday, scanned=SCANNED, limit=SHOWN),
        today=_total(costs.sums(tx, by="day", since=DAY_MS * today, limit=1)),
        spent=_total(costs.sums(tx, by="day", since=first, limit=days)),
        days=days,
        agents=costs.sums(tx, by="agent", since=first, limit=SHOWN),
        jobs=[one for one in job_summaries.of_all(tx) if _is_failing(one)],
        troubles=_sync_trouble(tx) + waiting,
    )


def _total(sums: list[CostSum]) -> CostSum:
    return sum(sums, CostSum("", 0, 0, 0, 0, 0, 0, 0))


def _sync_trouble(tx: Tx) -> list[str]:
    error = sync.recall(tx).last_error if tx.has_vault else None
    return [] if error is None else [f"the last sync of the vault failed: {error}"]


def _waiting(engine: EmbeddedEngine, now: int) -> list[str]:
    late = [] if engine.settler is None else engine.settler.late(now - LATE_MS)
    more = [f"and {len(late) - SHOWN} more texts wait for their files"] if len(late) > SHOWN else []
    return late[:SHOWN] + more


def _is_failing(one: Summary) -> bool:
    """Whether the last run of a job that fires was bad."""
    return one.job.definition.enabled and one.ended is not None and one.ended.status in BAD
