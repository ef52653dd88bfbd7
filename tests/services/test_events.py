"""The log and its readers."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import BadInput
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import events, stats
from tests.conftest import FakeClock


def test_pages_behind_a_cursor_are_in_order_and_complete(ledger: Ledger) -> None:
    for number in range(5):
        ledger.tasks.create(title=f"t{number}")
    first = ledger.events.list(after=0, limit=2)
    second = ledger.events.list(after=first[-1].id, limit=2)
    third = ledger.events.list(after=second[-1].id, limit=2)
    assert [event.task_id for event in [*first, *second, *third]] == ["T1", "T2", "T3", "T4", "T5"]


def test_newest_first_pages_follow_each_other(ledger: Ledger) -> None:
    for number in range(5):
        ledger.tasks.create(title=f"t{number}")
    page, found = ledger.events.list(limit=2), []
    while True:
        found += [event.task_id for event in page]
        if page.next is None:
            break
        page = ledger.events.list(limit=2, cursor=page.next)
    assert found == ["T5", "T4", "T3", "T2", "T1"]


def test_filters_by_task_and_kind(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.create(title="b")
    ledger.tasks.comment(1, message="hello")
    assert [event.kind for event in ledger.events.list(after=0, task="T1")] == ["task.created", "task.commented"]
    assert [event.task_id for event in ledger.events.list(after=0, kind="task.created")] == ["T1", "T2"]


def test_agents_read_their_inboxes_apart(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", assignee="bo")
    for number in range(14):
        ledger.tasks.comment(1, message=f"note {number}")

    first = ledger.events.watch(agent="bo", limit=10)
    assert (len(first.events), first.more) == (10, True)
    rest = ledger.events.watch(agent="bo", limit=10)
    assert (len(rest.events), rest.more) == (5, False)
    assert ledger.events.watch(agent="bo").events == []
    assert len(ledger.events.watch(agent="ana", limit=100).events) == 15
    assert ledger.events.watch(agent="stranger").events == []


def test_inbox_holds_participants_events_and_broadcasts(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.join(1, agent="cy", role="reviewer")
    ledger.events.broadcast(message="deploy at noon")
    kinds = [event.kind for event in ledger.events.watch(agent="cy").events]
    assert kinds == ["task.created", "task.joined", "broadcast"]


def test_peek_leaves_events_unread(ledger: Ledger) -> None:
    ledger.events.broadcast(message="hello")
    assert len(ledger.events.watch(agent="bo", peek=True).events) == 1
    assert len(ledger.events.watch(agent="bo").events) == 1


def test_wrong_cursor_is_bad_input(ledger: Ledger) -> None:
    with pytest.raises(BadInput) as caught:
        ledger.events.list(cursor="x")
    assert caught.value.field == "cursor"


def test_pruning_forgets_old_events_in_small_batches_and_keeps_counts(ledger: Ledger, clock: FakeClock) -> None:
    engine = ledger.engine
    assert isinstance(engine, EmbeddedEngine)
    for number in range(5):
        ledger.tasks.create(title=f"t{number}")
    clock.advance(100)
    ledger.tasks.create(title="young")
    older_than = clock.now - 50_000
    assert engine.write(lambda tx: events.prune(tx, older_than=older_than)) == 0, "nobody has counted them yet"

    engine.write(stats.counts)
    assert engine.write(lambda tx: events.prune(tx, older_than=older_than, limit=3)) == 3
    assert engine.write(lambda tx: events.prune(tx, older_than=older_than, limit=3)) == 2
    assert engine.write(lambda tx: events.prune(tx, older_than=older_than, limit=3)) == 0
    assert ledger.stats.get().counts["queued"] == 6
    assert len(ledger.events.list(after=0)) == 1


def test_follower_of_one_task_sleeps_while_others_are_busy(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.tasks.create_many(tasks=[{"title": "followed"}, {"title": "busy"}])
    waits: list[int] = []

    def wait(after: int, seconds: float) -> bool:
        waits.append(after)
        if len(waits) == 1:
            ledger.tasks.comment(2, message="noise")
        elif len(waits) == 3:
            ledger.tasks.comment(1, message="news")
        return True

    monkeypatch.setattr(ledger, "wait_for_events", wait)
    found = next(ledger.follow(after=1, task=1))
    assert found.data == {"message": "news"}
    assert waits == [1, 3, 3]  # behind all that there was, so that only what is new wakes it
