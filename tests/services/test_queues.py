"""Queues: paused, resumed, limited."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import BadInput


def test_paused_queue_gives_nothing_and_holds_up_no_other(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.create(title="b", queue="side")
    paused = ledger.queues.pause("default", reason="deploy")
    assert (paused.paused, paused.pause_reason) == (True, "deploy")
    outcome = ledger.tasks.claim(worker="w")
    assert (outcome.outcome, outcome.reason) == ("none", "queue default is paused")
    assert ledger.tasks.claim(worker="w", task="T1").outcome == "none"
    assert ledger.tasks.claim(worker="w", queue="side").outcome == "claimed"

    ledger.queues.resume("default")
    assert ledger.tasks.claim(worker="w").outcome == "claimed"


def test_limited_queue_never_has_more_active(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(6)])
    ledger.queues.limit("default", concurrency=2)
    assert len(ledger.tasks.claim(worker="w", limit=5).claims) == 2
    full = ledger.tasks.claim(worker="w")
    assert (full.outcome, full.reason) == ("none", "queue default has its 2 tasks active")
    assert ledger.tasks.claim(worker="w", task="T6").outcome == "none"
    assert [one.reason for one in ledger.tasks.explain(6).obstacles] == ["full"]

    ledger.tasks.complete(1, attempt=1)
    assert len(ledger.tasks.claim(worker="w", limit=5).claims) == 1
    ledger.queues.limit("default", concurrency=None)
    assert len(ledger.tasks.claim(worker="w", limit=5).claims) == 3


def test_limit_counts_over_all_types_and_labels(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", type="qa")
    ledger.tasks.create(title="b", labels=["x"])
    ledger.queues.limit("default", concurrency=1)
    assert ledger.tasks.claim(worker="w", type="qa").outcome == "claimed"
    assert ledger.tasks.claim(worker="w", label="x").outcome == "none"


def test_list_shows_counts_and_settings(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.create(title="b", queue="side")
    ledger.tasks.claim(worker="w", queue="side")
    ledger.queues.limit("idle", concurrency=3)
    shown = {queue.name: (queue.queued, queue.active, queue.concurrency) for queue in ledger.queues.list()}
    assert shown == {"default": (1, 0, None), "side": (0, 1, None), "idle": (0, 0, 3)}


def test_changes_are_told_once(ledger: Ledger) -> None:
    ledger.queues.pause("default")
    ledger.queues.pause("default")
    kinds = [event.kind for event in ledger.events.list(after=0)]
    assert kinds == ["queue.paused"]


def test_limit_below_one_is_bad_input(ledger: Ledger) -> None:
    with pytest.raises(BadInput):
        ledger.queues.limit("default", concurrency=0)
