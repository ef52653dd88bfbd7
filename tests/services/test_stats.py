"""Numbers about the ledger, kept by reading the log."""

from __future__ import annotations

from shoal import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from tests.conftest import FakeClock


def test_counts_follow_every_change(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(5)])
    ledger.tasks.create(title="side", queue="side")
    ledger.tasks.claim(worker="w", limit=3, lease_seconds=1)
    ledger.tasks.complete(1, attempt=1)
    ledger.tasks.fail(2, attempt=1, error="x", permanent=True)
    ledger.tasks.cancel(4)
    ledger.tasks.update(6, queue="default")
    clock.advance(2)
    ledger.tasks.claim(worker="w2")

    engine = ledger.engine
    assert isinstance(engine, EmbeddedEngine)
    real = {(queue, status): number for queue, status, number in engine.read(lambda tx: tx.all("stats.recount"))}
    stats = ledger.stats.get()
    kept = {(queue, status): n for queue, found in stats.queues.items() for status, n in found.items()}
    assert kept == real
    assert sum(stats.counts.values()) == 6


def test_ages_and_throughput(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="old", priority="low")
    clock.advance(60)
    ledger.tasks.create(title="young", priority="urgent")
    ledger.tasks.create(title="done")
    ledger.tasks.complete(3)
    stats = ledger.stats.get()
    assert (stats.oldest_ready_ms, stats.completed_per_hour, stats.failed_per_hour) == (60_000, 1, 0)
    clock.advance(3601)
    assert ledger.stats.get().completed_per_hour == 0


def test_empty_ledger_has_numbers_too(ledger: Ledger) -> None:
    stats = ledger.stats.get()
    assert (stats.oldest_ready_ms, stats.last_event, sum(stats.counts.values())) == (None, 0, 0)
