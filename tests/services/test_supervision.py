"""What takes too long is warned of, then ended; what nobody touches is reported; each once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import LeaseLost
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import supervision
from shoal.settings import Settings
from tests.conftest import FakeClock

MINUTE, HOUR, DAY = 60, 3600, 86_400


def engine_of(ledger: Ledger) -> EmbeddedEngine:
    assert isinstance(ledger.engine, EmbeddedEngine)
    return ledger.engine


def act(ledger: Ledger) -> list[str | None]:
    """What a round without a forge does about overdue attempts."""
    engine = engine_of(ledger)
    found = engine.read(supervision.overdue)
    return [
        engine.write(partial(supervision.act_on_overdue, task=one.task.id, attempt=one.task.attempt)) for one in found
    ]


def report(ledger: Ledger) -> int:
    return len(engine_of(ledger).write(supervision.report_stale))


def claimed(ledger: Ledger, **given: Any) -> None:
    ledger.tasks.create(title="Build it", **given)
    ledger.tasks.claim(worker="w1", lease_seconds=30 * DAY)


def last(ledger: Ledger, task: int = 1) -> Any:
    return ledger.events.list(task=task)[0]


@pytest.mark.parametrize(
    ("estimate", "settings", "warn", "fail"),
    [
        (None, {}, 45, 90),
        (60, {}, 75, 120),
        (20, {}, 35, 40),
        (16, {}, 31, 32),
        (15, {}, 30, 45),
        (5, {}, 20, 35),
        (0, {}, 15, 30),
        (60, {"fail_factor": 1.0}, 75, 90),
        (None, {"warn_unestimated_minutes": 100}, 100, 115),
        (10, {"warn_minutes": 1, "fail_factor": 1.5}, 11, 15),
    ],
)
def test_warning_comes_before_the_end_whatever_the_estimate(
    estimate: int | None, settings: dict[str, Any], warn: int, fail: int
) -> None:
    found = supervision.limits_ms(Settings(**settings), estimate)
    assert found == (warn * 60_000, fail * 60_000)


def test_attempt_is_warned_of_once_and_ended_once(
    ledger: Ledger, clock: FakeClock, events_of: Callable[..., list[str]]
) -> None:
    claimed(ledger, estimate_minutes=60)
    clock.advance(75 * MINUTE - 1)
    assert act(ledger) == []
    clock.advance(1)
    assert act(ledger) == ["warn"]
    assert act(ledger) == [None]
    clock.advance(45 * MINUTE - 1)
    assert act(ledger) == [None]
    clock.advance(1)
    assert act(ledger) == ["fail"]
    assert act(ledger) == []

    task = ledger.tasks.get(1)
    assert (task.status, task.failures, task.worker, task.leased_until) == ("scheduled", 1, None, None)
    assert task.last_error == "attempt 1 runs for 120 min, 60 min were thought enough; it may take 120 min"
    assert events_of(1) == ["task.created", "task.claimed", "task.warned", "task.retried"]
    warned, ended = ledger.events.list(task=1)[1::-1]
    assert (warned.attempt, warned.data["rule"], warned.data["fails_at"]) == (1, "timeout", clock.now)
    assert (ended.attempt, ended.data["rule"], ended.actor) == (1, "timeout", "shoal")


def test_worker_of_an_ended_attempt_hears_that_it_has_lost_it(ledger: Ledger, clock: FakeClock) -> None:
    claimed(ledger, max_attempts=1)
    clock.advance(45 * MINUTE)
    act(ledger)
    clock.advance(45 * MINUTE)
    act(ledger)

    assert ledger.tasks.get(1).status == "failed"
    assert (last(ledger).kind, last(ledger).data["rule"]) == ("task.failed", "timeout")
    assert ledger.tasks.beat(worker="w1", tasks={"T1": 1}).lost == ["T1"]
    with pytest.raises(LeaseLost):
        ledger.tasks.complete(1, attempt=1)


def test_who_looks_late_warns_first_and_ends_a_round_later(ledger: Ledger, clock: FakeClock) -> None:
    claimed(ledger, estimate_minutes=1)
    clock.advance(10 * HOUR)
    assert act(ledger) == ["warn"]
    assert last(ledger).data["fails_at"] == clock.now + 30_000
    clock.advance(29)
    assert act(ledger) == [None]
    clock.advance(1)
    assert act(ledger) == ["fail"]


def test_every_attempt_has_its_own_time_and_warning(ledger: Ledger, clock: FakeClock) -> None:
    claimed(ledger)
    clock.advance(45 * MINUTE)
    assert act(ledger) == ["warn"]
    ledger.tasks.release(1, attempt=1)
    clock.advance(HOUR)
    ledger.tasks.claim(worker="w2", lease_seconds=DAY)
    assert act(ledger) == []
    clock.advance(45 * MINUTE)
    assert act(ledger) == ["warn"]
    assert [event.attempt for event in ledger.events.list(task=1, kind="task.warned")] == [2, 1]


def test_time_counts_from_the_start_of_the_work_which_is_said_once(ledger: Ledger, clock: FakeClock) -> None:
    claimed(ledger)
    clock.advance(HOUR)
    ledger.tasks.start(1, attempt=1)
    assert act(ledger) == []
    clock.advance(40 * MINUTE)
    ledger.tasks.start(1, attempt=1)
    clock.advance(5 * MINUTE)
    assert act(ledger) == ["warn"]


def test_attempt_that_is_over_is_left_alone(ledger: Ledger, clock: FakeClock) -> None:
    claimed(ledger)
    clock.advance(45 * MINUTE)
    [seen] = engine_of(ledger).read(supervision.overdue)
    ledger.tasks.complete(1, attempt=1)
    assert engine_of(ledger).write(partial(supervision.act_on_overdue, task=1, attempt=1)) is None
    assert seen.task.id == 1
    assert last(ledger).kind == "task.completed"


def test_many_overdue_attempts_are_read_in_pages(
    ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tasks.create_many(tasks=[{"title": "t"}] * 7)
    ledger.tasks.claim(worker="w", limit=7, lease_seconds=DAY)
    clock.advance(HOUR)
    page = engine_of(ledger).read(partial(supervision.overdue, after=3, limit=2))
    assert [one.task.id for one in page] == [4, 5]


def test_task_queued_for_a_week_is_reported_once(
    ledger: Ledger, clock: FakeClock, events_of: Callable[..., list[str]]
) -> None:
    ledger.tasks.create(title="forgotten")
    clock.advance(7 * DAY)
    assert report(ledger) == 0
    clock.advance(1)
    assert report(ledger) == 1
    clock.advance(30 * DAY)
    assert report(ledger) == 0

    assert events_of(1) == ["task.created", "task.stale"]
    assert last(ledger).data["rule"] == "stale"
    assert last(ledger).data["message"] == "queued for 7 days and not claimed"


def test_stale_task_is_reported_again_only_after_something_happened(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="forgotten")
    clock.advance(8 * DAY)
    assert report(ledger) == 1
    clock.advance(8 * DAY)
    ledger.tasks.comment(1, message="soon")
    assert report(ledger) == 0
    clock.advance(7 * DAY + 1)
    assert report(ledger) == 1
    clock.advance(8 * DAY)
    assert report(ledger) == 0


def test_task_that_was_queued_again_waits_anew(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a")
    clock.advance(8 * DAY)
    assert report(ledger) == 1
    ledger.tasks.claim(worker="w")
    ledger.tasks.release(1, attempt=1)
    clock.advance(6 * DAY)
    assert report(ledger) == 0
    clock.advance(2 * DAY)
    assert report(ledger) == 1


def test_active_task_is_stale_when_nothing_is_heard_of_it(ledger: Ledger, clock: FakeClock) -> None:
    claimed(ledger)
    clock.advance(40 * HOUR)
    ledger.tasks.beat(worker="w1", lease_seconds=30 * DAY)
    ledger.tasks.comment(1, message="still at it")
    clock.advance(47 * HOUR)
    assert report(ledger) == 0
    clock.advance(HOUR + 1)
    assert report(ledger) == 1
    assert (last(ledger).kind, last(ledger).attempt) == ("task.stale", 1)
    clock.advance(100 * HOUR)
    assert report(ledger) == 0
    ledger.tasks.progress(1, attempt=1, progress=1)
    clock.advance(48 * HOUR + 1)
    assert report(ledger) == 1


def test_long_queue_is_looked_at_in_turns(ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "QUEUED_PER_LOOK", 3)
    monkeypatch.setattr(supervision, "PAGE", 2)
    ledger.tasks.create_many(tasks=[{"title": "t"}] * 8)
    clock.advance(8 * DAY)
    rounds = [report(ledger) for _ in range(8)]
    assert sum(rounds) == 8
    assert max(rounds) <= 2
    clock.advance(1)
    ledger.tasks.comment(8, message="x")
    clock.advance(8 * DAY)
    assert sum(report(ledger) for _ in range(4)) == 1


def test_person_sees_what_the_next_round_will_do(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="forgotten", queue="other")
    clock.advance(8 * DAY)
    ledger.tasks.create(title="slow")
    ledger.tasks.create(title="orphan", repos=["acme/web"])
    ledger.tasks.claim(worker="w1", lease_seconds=DAY)
    ledger.tasks.claim(worker="w2", lease_seconds=60)
    assert [one.rule for one in ledger.supervision.get()] == ["stale"]
    clock.advance(45 * MINUTE)

    due = {(one.task_id, one.rule): one for one in ledger.supervision.get()}

    assert {key: one.action for key, one in due.items()} == {
        ("T2", "timeout"): "warn",
        ("T3", "timeout"): "warn",
        ("T3", "orphan"): "take_back",
        ("T1", "stale"): "report",
    }
    assert due["T2", "timeout"].message == "attempt 1 runs for 45 min, it has no estimate; it may take 90 min"
    assert due["T1", "stale"].message == "queued for 8 days and not claimed"
    assert len(ledger.supervision.get(limit=2)) == 2
    assert ledger.tasks.get(2).status == "active", "to look does nothing"


def test_two_servers_at_once_do_each_thing_once(open_at: Callable[..., Ledger], clock: FakeClock) -> None:
    ledgers = [open_at(), open_at()]
    ledgers[0].tasks.create_many(tasks=[{"title": "t", "max_attempts": 1}] * 20 + [{"title": "q", "queue": "q"}] * 20)
    ledgers[0].tasks.claim(worker="w", limit=20, lease_seconds=90 * DAY)
    done: Counter[str | None] = Counter()
    lock = threading.Lock()

    def race(work: Callable[[Ledger], Any]) -> None:
        barrier = threading.Barrier(4)

        def one(number: int) -> None:
            barrier.wait()
            found = work(ledgers[number % 2])
            with lock:
                done.update(found if isinstance(found, list) else {"reported": found})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(4)))

    clock.advance(45 * MINUTE)
    race(act)
    clock.advance(45 * MINUTE)
    race(act)
    clock.advance(8 * DAY)
    race(report)

    assert (done["warn"], done["fail"], done["reported"]) == (20, 20, 20)
    kinds = Counter(event.kind for event in ledgers[0].events.list(after=0, limit=1000))
    assert (kinds["task.warned"], kinds["task.failed"], kinds["task.stale"]) == (20, 20, 20)
