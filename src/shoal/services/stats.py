"""Numbers about the ledger. Counting millions of rows takes 100 ms, so counts are kept by reading the log."""

from __future__ import annotations

from shoal.clock import HOUR_MS
from shoal.model.queue import Stats
from shoal.model.task import LIVE, Status
from shoal.services import events
from shoal.services.transaction import Tx
from shoal.services.verb import verb

COUNTS_CURSOR = "counts"


@verb("GET /stats", writes=True)
def get(tx: Tx) -> Stats:
    """Tasks per status and queue, how long the oldest claimable task waits, what the last hour brought."""
    by_queue = counts(tx)
    oldest: dict[str, int] = {}
    for queue, by_status in by_queue.items():
        if by_status.get(Status.QUEUED):
            row = tx.one("stats.oldest_queued", queue=queue)
            if row and row[0] is not None:
                oldest[queue] = max(0, tx.now - row[0])
    ended: dict[str, int] = dict(tx.all("stats.finished_since", since=tx.now - HOUR_MS))
    return Stats(
        counts=totals(by_queue),
        queues=by_queue,
        oldest_ready_ms=max(oldest.values(), default=None),
        oldest_ready_by_queue=oldest,
        completed_per_hour=ended.get(Status.COMPLETED, 0),
        failed_per_hour=ended.get(Status.FAILED, 0),
        last_event=tx.one("events.latest")[0],  # type: ignore[index]
    )


def counts(tx: Tx) -> dict[str, dict[str, int]]:
    """Tasks per queue and status, after folding in what the log says since the last time."""
    after = events.take_cursor(tx, COUNTS_CURSOR)
    upto = tx.horizon()
    if upto > after:
        moves = [
            {"queue": queue, "status": status, "delta": int(delta)}
            for queue, status, delta in tx.all("stats.fold", after=after, upto=upto)
            if delta
        ]
        if moves:
            tx.many("stats.add", moves)
        events.move_cursor(tx, COUNTS_CURSOR, upto)
    found: dict[str, dict[str, int]] = {}
    for queue, status, number in tx.all("stats.counts"):
        found.setdefault(queue, {})[status] = number
    return found


def totals(by_queue: dict[str, dict[str, int]]) -> dict[str, int]:
    """Tasks per status over all queues, a 0 where there are none."""
    return {status.value: sum(found.get(status, 0) for found in by_queue.values()) for status in Status}


def has_live(by_status: dict[str, int]) -> bool:
    """Whether any of these tasks is unfinished."""
    return any(by_status.get(status) for status in LIVE)
