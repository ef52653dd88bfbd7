"""Queues: paused, resumed, limited. A claim looks at one queue only, so none can hold up another."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.model.event import Kind
from shoal.model.fields import Name, Text
from shoal.model.queue import Queue
from shoal.services import stats
from shoal.services.transaction import Tx
from shoal.services.verb import verb

Concurrency = Annotated[int, Meta(ge=1, le=1_000_000, description="Most tasks active at once, over the whole fleet.")]


@verb("GET /queues", writes=True)
def list_(tx: Tx) -> list[Queue]:
    """All queues that have live tasks or settings of their own."""
    counts = stats.counts(tx)
    settings = {row[0]: row for row in tx.all("queues.list")}
    names = sorted({*settings, *(name for name, by_status in counts.items() if stats.has_live(by_status))})
    return [_queue(name, settings.get(name), counts.get(name, {})) for name in names]


@verb("GET /queues/{queue}")
def get(tx: Tx, *, queue: Name) -> Queue:
    """One queue's settings; its counts are in the list of queues."""
    return _queue(queue, tx.one("queues.get", name=queue), {})


@verb("POST /queues/{queue}/pause", repeatable=True)
def pause(tx: Tx, *, queue: Name, reason: Text | None = None) -> Queue:
    """Stop claims from a queue; tasks already claimed go on."""
    return _set(tx, queue, Kind.QUEUE_PAUSED, paused=1, pause_reason=reason)


@verb("POST /queues/{queue}/resume", repeatable=True)
def resume(tx: Tx, *, queue: Name) -> Queue:
    """Open a paused queue again."""
    return _set(tx, queue, Kind.QUEUE_RESUMED, paused=0, pause_reason=None)


@verb("POST /queues/{queue}/limit", repeatable=True)
def limit(tx: Tx, *, queue: Name, concurrency: Concurrency | None = None) -> Queue:
    """Let at most so many tasks of a queue be active at once, over the whole fleet; null lifts the limit."""
    return _set(tx, queue, Kind.QUEUE_LIMITED, concurrency=concurrency)


def room(tx: Tx, queue: str) -> int | None:
    """How many more tasks a queue may have active: 0 when paused or full, None without a limit."""
    row = tx.one("queues.get", name=queue)
    if row is None:
        return None
    _, paused, _, concurrency, _ = row
    if paused:
        return 0
    if concurrency is None:
        return None
    left = tx.one("leases.room", queue=queue)
    return max(0, left[0]) if left else None


def _set(tx: Tx, name: str, kind: Kind, **fields: Any) -> Queue:
    row = tx.one("queues.lock", name=name)
    known = {"paused": 0, "pause_reason": None, "concurrency": None}
    if row is not None:
        known = dict(zip(("paused", "pause_reason", "concurrency"), row[1:4], strict=True))
    new = known | fields
    if row is None or new != known:
        tx.all("queues.put", name=name, now=tx.now, **new)
        changes = {field: [known[field], new[field]] for field in new if known[field] != new[field]}
        tx.emit(kind, queue=name, changes=changes)
    return get(tx, queue=name)


def _queue(name: str, row: tuple[Any, ...] | None, counts: dict[str, int]) -> Queue:
    _, paused, reason, concurrency, _ = row or (name, 0, None, None, 0)
    return Queue(
        name=name,
        paused=bool(paused),
        pause_reason=reason,
        concurrency=concurrency,
        queued=counts.get("queued", 0),
        active=counts.get("active", 0),
    )
