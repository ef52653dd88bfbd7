"""Tasks whose worker is gone: sent to review, queued again, or failed and investigated, each once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import LeaseLost
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.session import Branch
from shoal.services import leases, orphans
from shoal.services.orphans import Remains
from tests import rows
from tests.conftest import FakeClock

URL = "https://github.com/acme/web/pull/7"


@pytest.fixture
def write(ledger: Ledger) -> Callable[..., Any]:
    """Runs a service function in a transaction of its own."""
    engine = ledger.engine
    assert isinstance(engine, EmbeddedEngine)
    return lambda work, **given: engine.write(partial(work, **given))


def session(ledger: Ledger, task: int, *branches: str, repository: str = "acme/web", attempt: int = 1) -> int:
    """A session that works on these branches."""
    made = [Branch(repository=repository, branch=branch, base="0" * 40, head="0" * 40) for branch in branches]
    return ledger.tasks.begin_session(task, attempt=attempt, agent="claude-1", kind="claude", branches=made).id


def orphan(ledger: Ledger, clock: FakeClock, **given: Any) -> None:
    ledger.tasks.create(**{"title": "Build it", "repos": ["acme/web"]} | given)
    ledger.tasks.claim(worker="w1", lease_seconds=60)
    clock.advance(61)


def test_orphan_with_a_pull_request_goes_to_review(ledger: Ledger, clock: FakeClock, write: Callable[..., Any]) -> None:
    orphan(ledger, clock)
    left = Remains(pull_requests=[URL], message=f"Its pull request {URL} is open.")
    write(orphans.take_back, task=1, attempt=1, gone=False, left=left)

    task = ledger.tasks.get(1)
    assert (task.status, task.failures, task.worker, task.leased_until) == ("review", 0, None, None)
    event = ledger.events.list(task=1)[0]
    assert (event.kind, event.attempt, event.changes["status"]) == ("task.orphaned", 1, ["active", "review"])
    assert event.data["pull_requests"] == [URL]
    assert URL in ledger.tasks.body(1).text
    with pytest.raises(LeaseLost):
        ledger.tasks.complete(1, attempt=1)
    assert ledger.tasks.review(1, approve=True).status == "completed"


def test_pull_request_that_was_opened_is_told_once(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any], events_of: Callable[..., list[str]]
) -> None:
    orphan(ledger, clock)
    left = Remains(pull_requests=[URL], opened=[{"url": URL}], message="Opened.")
    write(orphans.take_back, task=1, attempt=1, gone=False, left=left)
    assert events_of(1)[2:] == ["pull_request.opened", "task.orphaned"]


def test_orphan_without_anything_is_queued_again(ledger: Ledger, clock: FakeClock, write: Callable[..., Any]) -> None:
    orphan(ledger, clock)
    write(orphans.take_back, task=1, attempt=1, gone=False, left=Remains())
    task = ledger.tasks.get(1)
    assert (task.status, task.failures, task.last_error) == ("queued", 1, "attempt 1 by w1 ended without a word")
    assert ledger.events.list(task=1)[0].kind == "task.expired"
    assert ledger.tasks.claim(worker="w2").claims[0].attempt == 2


def test_remark_is_noted_where_nothing_can_be_reviewed(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any], events_of: Callable[..., list[str]]
) -> None:
    orphan(ledger, clock)
    write(orphans.take_back, task=1, attempt=1, gone=False, left=Remains(message="The branch x is ahead of main."))
    assert ledger.tasks.get(1).status == "queued"
    assert events_of(1)[2:] == ["task.orphaned", "task.expired"]
    assert "The branch x is ahead of main." in ledger.tasks.body(1).text


def test_worker_that_came_back_keeps_its_task(ledger: Ledger, clock: FakeClock, write: Callable[..., Any]) -> None:
    orphan(ledger, clock)
    ledger.tasks.beat(worker="w1", lease_seconds=60)
    left = Remains(pull_requests=[URL], opened=[{"url": URL}])
    assert write(orphans.take_back, task=1, attempt=1, gone=False, left=left) is None
    assert ledger.tasks.get(1).status == "active"
    assert ledger.events.list(task=1)[0].kind == "pull_request.opened", "it is open, and that is told"


def test_task_that_somebody_claimed_meanwhile_is_left_to_them(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any]
) -> None:
    orphan(ledger, clock)
    ledger.tasks.claim(worker="w2", lease_seconds=1)
    clock.advance(2)
    before = ledger.events.list(task=1)
    assert write(orphans.take_back, task=1, attempt=1, gone=True, left=Remains(pull_requests=[URL])) is None
    assert ledger.events.list(task=1) == before


def test_gone_process_is_taken_back_before_its_lease_ends(ledger: Ledger, write: Callable[..., Any]) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w1", lease_seconds=600)
    assert write(orphans.take_back, task=1, attempt=1, gone=False, left=Remains()) is None
    assert write(orphans.take_back, task=1, attempt=1, gone=True, left=Remains()).status == "queued"
    assert ledger.tasks.get(1).last_error == "attempt 1 by w1 is gone"


def test_reaper_leaves_to_a_promise_what_may_have_left_something(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any]
) -> None:
    ledger.tasks.create_many(tasks=[{"title": "plain"}, {"title": "repo", "repos": ["a/b"]}, {"title": "session"}])
    ledger.tasks.claim(worker="w", limit=3, lease_seconds=60)
    session(ledger, 3, "shoal/T3-x")
    clock.advance(61)
    write(orphans.promise, seconds=100)

    assert [task.id for task in write(leases.expire)] == [1]
    assert [task.id for task in write(orphans.expired)] == [2, 3]
    clock.advance(100)
    assert [task.id for task in write(leases.expire)] == [2, 3], "whoever promised is gone as well"


def test_promise_that_is_taken_back_keeps_nobody_waiting(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any]
) -> None:
    write(orphans.promise, seconds=3600)
    orphan(ledger, clock)
    assert ledger.tasks.claim(worker="w2").outcome == "none"
    write(orphans.promise, seconds=0)
    assert ledger.tasks.claim(worker="w2").claims[0].attempt == 2


def test_newest_word_about_each_branch_counts(ledger: Ledger, write: Callable[..., Any]) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    session(ledger, 1, "shoal/T1-a", "shoal/T1-b")
    session(ledger, 1, "shoal/T1-a", repository="acme/api")
    session(ledger, 1)
    found = {(one.repository, one.branch) for one in write(orphans.branches, task=1)}
    assert found == {("acme/api", "shoal/T1-a"), ("acme/web", "shoal/T1-a"), ("acme/web", "shoal/T1-b")}


def failed_orphan(ledger: Ledger, clock: FakeClock, write: Callable[..., Any], **given: Any) -> None:
    orphan(ledger, clock, max_attempts=1, **given)
    write(leases.expire)


def test_failed_orphan_is_investigated_once_for_ever(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any], events_of: Callable[..., list[str]]
) -> None:
    write(orphans.investigate)
    failed_orphan(ledger, clock, write, queue="default", priority="low")
    assert write(orphans.investigate) == (1, False)

    task = ledger.tasks.get("investigate-T1")
    assert (task.type, task.priority, task.status, task.labels) == ("system", 1, "queued", ["investigation"])
    assert (task.title, task.repos, task.created_by) == ("Investigate why T1 failed: Build it", ["acme/web"], "shoal")
    assert "attempt 1 by w1 ended without a word" in ledger.tasks.body(task.id).text
    [edge] = ledger.tasks.dependencies(task.id)
    assert (edge.blocked, edge.blocker, edge.kind) == ("T2", "T1", "discovered-from")
    assert write(orphans.investigate) == (0, False)

    ledger.tasks.complete("T2")
    ledger.tasks.reopen("T1")
    ledger.tasks.claim(worker="w1", lease_seconds=60)
    clock.advance(61)
    write(leases.expire)
    assert ledger.tasks.get(1).status == "failed"
    assert write(orphans.investigate) == (0, False)
    assert len(ledger.tasks.list()) == 2


def test_investigation_that_fails_is_not_investigated(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any]
) -> None:
    write(orphans.investigate)
    failed_orphan(ledger, clock, write)
    write(orphans.investigate)
    for _ in range(3):
        assert ledger.tasks.claim(worker="w", lease_seconds=1).claims[0].task.task_id == "T2"
        clock.advance(2)
        write(leases.expire)
    assert ledger.tasks.get(2).status == "failed"
    assert write(orphans.investigate) == (0, False)


def test_only_lost_tasks_are_investigated_and_none_of_the_past(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any]
) -> None:
    failed_orphan(ledger, clock, write)
    assert write(orphans.investigate) == (0, False)
    ledger.tasks.create(title="fails by itself", max_attempts=1)
    ledger.tasks.claim(worker="w")
    ledger.tasks.fail(2, attempt=1, error="no")
    orphan(ledger, clock)
    write(leases.expire)
    assert write(orphans.investigate) == (0, False), "one that has attempts left is queued again"
    assert len(ledger.tasks.list()) == 3


def test_investigation_that_somebody_has_made_by_hand_is_enough(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any]
) -> None:
    write(orphans.investigate)
    failed_orphan(ledger, clock, write)
    ledger.tasks.create(title="mine", external_key="investigate-T1")
    assert write(orphans.investigate) == (0, False)


def test_long_log_is_read_in_stretches(
    ledger: Ledger, clock: FakeClock, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "EVENTS_PER_LOOK", 3)
    write(orphans.investigate)
    failed_orphan(ledger, clock, write)
    for _ in range(5):
        ledger.tasks.comment(1, message="x")
    found = []
    while (answer := write(orphans.investigate))[1]:
        found.append(answer[0])
    assert sum(found) + answer[0] == 1


def test_session_that_nobody_ended_is_lost_after_a_while(
    ledger: Ledger, address: str, clock: FakeClock, write: Callable[..., Any]
) -> None:
    ledger.tasks.create_many(tasks=[{"title": "orphan"}, {"title": "at work"}, {"title": "retried"}])
    ledger.tasks.claim(worker="w", limit=3, lease_seconds=3600)
    lost, live, old = (session(ledger, task) for task in (1, 2, 3))
    ledger.tasks.release(3, attempt=1)
    ledger.tasks.cancel(1)
    ledger.tasks.claim(worker="w2", lease_seconds=3600)
    new = session(ledger, 3, attempt=2)
    assert write(orphans.lose_sessions) == 0, "its worker may still say how it ended"
    clock.advance(301)
    assert write(orphans.lose_sessions) == 2
    assert write(orphans.lose_sessions) == 0

    ended = dict(rows.execute(address, "SELECT id, outcome FROM sessions WHERE ended_at = ?", clock.now))
    assert ended == {lost: "lost", old: "lost"}
    assert [row[0] for row in rows.execute(address, "SELECT id FROM sessions WHERE ended_at IS NULL ORDER BY id")] == [
        live,
        new,
    ]
    [event] = ledger.events.list(task=1, kind="session.ended")
    assert (event.attempt, event.data["session"], event.data["outcome"]) == (1, lost, "lost")


def test_servers_that_take_back_the_same_orphans_do_each_once(open_at: Callable[..., Ledger], clock: FakeClock) -> None:
    ledgers = [open_at(), open_at()]
    engines = [ledger.engine for ledger in ledgers]
    engines[0].write(orphans.investigate)  # type: ignore[attr-defined]
    ledgers[0].tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 1, "repos": ["a/b"]} for n in range(20)])
    ledgers[0].tasks.claim(worker="w", limit=20, lease_seconds=60)
    clock.advance(61)
    barrier = threading.Barrier(4)

    def one(number: int) -> int:
        engine: Any = engines[number % 2]
        barrier.wait()
        taken = 0
        for task in range(1, 21):
            left = Remains(pull_requests=[URL]) if task % 2 else Remains()
            work = partial(orphans.take_back, task=task, attempt=1, gone=False, left=left)
            taken += engine.write(work) is not None
        engine.write(orphans.investigate)
        return taken

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(one, range(4))) == 20
    counts = ledgers[0].stats.get().counts
    assert (counts["review"], counts["failed"], counts["queued"]) == (10, 10, 10)
    assert all(task.external_key for task in ledgers[0].tasks.list(status="queued"))
