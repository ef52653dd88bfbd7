"""Items follow their tasks: each end and each reopening is taken once, also when nobody looked for long."""

from __future__ import annotations

from shoal import Ledger
from shoal.services import item_following
from tests.services.test_decomposition import finish, follow


def test_end_before_the_first_look_is_seen(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.run(1)
    ledger.tasks.complete(1)
    assert ledger.engine.read(item_following.waiting)[1]  # type: ignore[attr-defined]
    assert follow(ledger) == ["W1: done"]
    assert follow(ledger) == []
    assert not ledger.engine.read(item_following.waiting)[1]  # type: ignore[attr-defined]


def test_failed_task_puts_the_item_back_with_the_reason(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.run(1)
    ledger.tasks.claim(worker="w")
    ledger.tasks.fail(1, attempt=1, error="no", permanent=True)
    assert follow(ledger) == ["W1: triaged again, T1 failed"]
    assert ledger.events.list(item=1)[0].data == {"reason": "T1 failed"}


def test_reopened_task_brings_its_item_back(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.run(1)
    assert finish(ledger, 1) == ["W1: done"]
    ledger.tasks.reopen(1)
    assert follow(ledger) == ["W1: in progress again"]
    found = ledger.items.get(1)
    assert (found.status, found.done_at) == ("in_progress", None)
    assert finish(ledger, 1) == ["W1: done"]


def test_item_above_comes_back_with_the_one_below(ledger: Ledger) -> None:
    ledger.items.create(text="above", accepted=True)
    ledger.items.create(text="below", parent=1, accepted=True)
    ledger.items.run(1)
    assert finish(ledger, 1) == ["W2: done", "W1: done"]
    ledger.tasks.reopen(1)
    assert follow(ledger) == ["W2: in progress again", "W1: in progress again"]


def test_tasks_of_no_item_are_none_of_its_business(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.run(1)
    ledger.tasks.create(title="b")
    assert finish(ledger, 2) == []
    assert ledger.items.get(1).status == "in_progress"
