"""Slots become runs: once each, by their policy, on either database."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal import Ledger
from shoal.model.job import CATCH_UP_LIMIT
from shoal.services import firing
from tests.conftest import START_MS, FakeClock
from tests.services.conftest import ECHO

MINUTE = 60_000
Fire = Callable[[], firing.Fired]


def rows(ledger: Ledger, job: str = "sweep") -> list[tuple[int, str, str]]:
    """Minutes since the start, cause and status of a job's runs, oldest first."""
    found = reversed(ledger.jobs.runs(job, limit=1000))
    return [((run.slot - START_MS) // MINUTE, run.cause.value, run.status.value) for run in found]


def missed(ledger: Ledger) -> list[tuple[int, int, int]]:
    events = ledger.events.list(after=0, kind="job.missed", limit=1000)
    minutes = [[event.data["count"], *(event.data[name] - START_MS for name in ("from", "to"))] for event in events]
    return [(count, first // MINUTE, last // MINUTE) for count, first, last in minutes]


def test_slot_fires_once_when_it_comes(ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire) -> None:
    job = make_job()
    assert job.next_fire_at == START_MS + MINUTE
    clock.advance(59)
    assert fire().jobs == 0
    clock.advance(1)
    assert (fire().runs, fire().runs) == (1, 0)
    assert rows(ledger) == [(1, "schedule", "waiting")]
    again = ledger.jobs.get("sweep")
    assert (again.last_slot, again.next_fire_at) == (START_MS + MINUTE, START_MS + 2 * MINUTE)


def test_slots_come_from_slots_however_late_one_looks(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire
) -> None:
    make_job(overlap="allow")
    for seconds in (67, 61, 62):
        clock.advance(seconds)
        fire()
    assert rows(ledger) == [(number, "schedule", "waiting") for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("catch_up", "made", "given_up"),
    [
        ("none", [], [(10, 1, 10)]),
        ("last", [(10, "catch_up", "waiting")], [(9, 1, 9)]),
        ("all", [(number, "catch_up", "waiting") for number in range(1, 11)], []),
    ],
)
def test_missed_slots_are_made_up_for_as_the_job_says(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire, catch_up: str, made: Any, given_up: Any
) -> None:
    make_job(catch_up=catch_up, grace_seconds=10)
    clock.advance(10 * 60 + 30)
    fire()
    assert rows(ledger) == made
    assert missed(ledger) == given_up


def test_newest_slot_is_on_time_and_those_before_were_missed(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire
) -> None:
    make_job()
    clock.advance(3 * 60)
    fire()
    assert rows(ledger) == [(3, "schedule", "waiting")]
    assert missed(ledger) == [(2, 1, 2)]


def test_catching_up_has_an_end(ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire) -> None:
    make_job(catch_up="all")
    clock.advance(60 * 200)
    fire()
    made = rows(ledger)
    assert [number for number, *_ in made] == list(range(200 - CATCH_UP_LIMIT, 201))
    assert made[-1] == (200, "schedule", "waiting")
    assert missed(ledger) == [(199 - CATCH_UP_LIMIT, 1, 199 - CATCH_UP_LIMIT)]


def test_clock_that_goes_back_fires_nothing_again(ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire) -> None:
    make_job(overlap="allow")
    clock.advance(120)
    fire()
    clock.advance(-3600)
    assert fire().runs == 0
    ledger.jobs.update("sweep", schedule="every 30s")
    ledger.jobs.disable("sweep")
    assert ledger.jobs.enable("sweep").next_fire_at == START_MS + 2 * MINUTE + 30_000
    clock.advance(3600 + 30)
    fire()
    assert [run.slot - START_MS for run in ledger.jobs.runs("sweep")] == [150_000, 120_000]


def test_job_made_anew_has_no_slot_a_second_time(ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire) -> None:
    make_job(schedule="@hourly")
    slot = ledger.jobs.get("sweep").next_fire_at
    assert slot is not None
    clock.now = slot
    fire()
    ledger.jobs.remove("sweep")
    clock.advance(-10)
    assert make_job(schedule="@hourly").next_fire_at == slot + 60 * MINUTE


@pytest.mark.parametrize("overlap", ["forbid", "allow", "replace"])
def test_slot_that_comes_while_another_runs(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire, claim: Any, end: Any, overlap: str
) -> None:
    make_job(overlap=overlap)
    clock.advance(60)
    fire()
    [first] = claim()
    clock.advance(60)
    fire()
    second = ledger.jobs.runs("sweep")[0]
    if overlap == "forbid":
        assert (second.status, second.reason) == ("skipped", f"{first.run.run_id} is running")
        assert claim() == []
        assert ledger.events.list(after=0, kind="run.skipped")[0].data["run"] == second.run_id
    elif overlap == "allow":
        assert [one.run.id for one in claim()] == [second.id]
    else:
        assert ledger.runs.get(first.run.id).cancelled_by == "shoal"
        assert claim() == [], "it waits until the other has ended"
        end(first.run.id, "cancelled")
        assert [one.run.id for one in claim()] == [second.id]


def test_replacing_calls_off_what_still_waits(ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire) -> None:
    make_job(overlap="replace")
    for _ in range(2):
        clock.advance(60)
        fire()
    assert rows(ledger) == [(1, "schedule", "cancelled"), (2, "schedule", "waiting")]


def test_made_up_slots_wait_for_each_other_in_order(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire, claim: Any, end: Any
) -> None:
    make_job(catch_up="all")
    clock.advance(4 * 60)
    fire()
    done = []
    while claimed := claim():
        [one] = claimed
        done.append((one.run.slot - START_MS) // MINUTE)
        end(one.run.id)
    assert done == [1, 2, 3, 4]


def test_jitter_is_the_same_everywhere_and_below_its_limit(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire, claim: Any
) -> None:
    make_job(jitter_seconds=20)
    clock.advance(60)
    fire()
    run = ledger.jobs.runs("sweep")[0]
    late = run.due_at - run.slot
    assert 0 < late < 20_000
    assert late == firing.jitter_ms("sweep", run.slot, 20)
    assert claim() == []
    clock.advance(late / 1000)
    assert len(claim()) == 1
    assert len({firing.jitter_ms("sweep", START_MS + n, 20) for n in range(100)}) > 90


def test_template_makes_its_task_once_in_the_same_transaction(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire
) -> None:
    make_job(action={"kind": "task", "task": {"title": "{job} of {slot}", "labels": ["cron"], "body": "for {slot}"}})
    clock.advance(60)
    fire()
    run = ledger.jobs.runs("sweep")[0]
    assert (run.status, run.cause) == ("success", "schedule")
    assert run.task is not None
    assert ledger.tasks.get(run.task).title == "sweep of 2027-01-15T08:01:00+00:00"
    assert ledger.jobs.get("sweep").run_count == 1
    triggered = ledger.jobs.trigger("sweep")
    assert triggered.task not in {None, run.task}


def test_template_that_is_refused_ends_in_error_and_holds_nobody_up(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire
) -> None:
    make_job("a", action={"kind": "task", "task": {"title": "x", "slug": "daily"}})
    make_job("b")
    for _ in range(2):
        clock.advance(60)
        fire()
    assert [run.status for run in ledger.jobs.runs("a")] == ["error", "success"]
    assert "daily" in str(ledger.jobs.runs("a")[0].reason)
    assert len(ledger.jobs.runs("b")) == 2
    assert len(ledger.tasks.list()) == 1


def test_many_servers_make_each_run_once(open_at: Callable[..., Ledger], clock: FakeClock) -> None:
    ledgers = [open_at() for _ in range(4)]
    for number in range(30):
        ledgers[0].jobs.create(name=f"j{number}", schedule="every 1s", action=ECHO, overlap="allow", grace_seconds=0)
    for _ in range(5):
        clock.advance(1)
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda ledger: ledger.engine.write(firing.fire).runs, ledgers))  # type: ignore
        while fired := ledgers[0].engine.write(firing.fire).runs:  # type: ignore[attr-defined]
            made.append(fired)
        assert sum(made) == 30
    slots = [(run.job, run.slot) for run in ledgers[0].runs.list(limit=1000)]
    assert len(slots) == len(set(slots)) == 150


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("catch_up", ["none", "last", "all"])
def test_never_twice_never_earlier_whatever_happens(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire, seed: int, catch_up: str
) -> None:
    chance = random.Random(seed * 10 + len(catch_up))
    make_job(catch_up=catch_up, overlap="allow", timezone="Europe/Berlin", schedule="*/5 * * * *")
    clock.now = START_MS
    entered = 0
    for _ in range(60):
        step = chance.random()
        if step < 0.5:
            clock.advance(chance.choice([1, 60, 300, 301, 3600, 90_000]))
        elif step < 0.65:
            clock.advance(-chance.choice([1, 60, 300, 3600, 86_400]))
        elif step < 0.75:
            ledger.jobs.update("sweep", schedule=chance.choice(["*/5 * * * *", "7 * * * *", "every 90s"]))
        elif step < 0.85:
            ledger.jobs.update("sweep", enabled=chance.random() < 0.5)
        before = ledger.jobs.get("sweep").next_fire_at
        fire()
        job = ledger.jobs.get("sweep")
        assert job.next_fire_at is None or job.next_fire_at > max(
            job.last_slot or 0, clock.now if before != job.next_fire_at else 0
        )
        for run in reversed([run for run in ledger.jobs.runs("sweep", limit=1000) if run.id > entered]):
            assert run.slot <= clock.now
            entered = run.id
    slots = [run.slot for run in ledger.jobs.runs("sweep", limit=1000)]
    assert slots == sorted(set(slots), reverse=True), "each later than the one before"
    given_up = [event.data for event in ledger.events.list(after=0, kind="job.missed", limit=1000)]
    assert not [slot for slot in slots for one in given_up if one["from"] <= slot <= one["to"]]


@pytest.mark.parametrize("mend", ["enable", "schedule", "make anew"])
def test_clock_that_was_far_ahead_for_a_moment_is_mended_by_whoever_enables_the_job(
    ledger: Ledger, clock: FakeClock, make_job: Any, fire: Fire, mend: str
) -> None:
    make_job(overlap="allow")
    clock.advance(365 * 86_400)
    fire()
    clock.advance(-365 * 86_400)
    assert ledger.jobs.get("sweep").next_fire_at > clock.now + 300 * 86_400_000
    if mend == "enable":
        ledger.jobs.disable("sweep")
        ledger.jobs.enable("sweep")
    elif mend == "schedule":
        ledger.jobs.update("sweep", schedule="*/1 * * * *")
    else:
        ledger.jobs.remove("sweep")
        make_job(overlap="allow")
    before = len(ledger.jobs.runs("sweep"))
    for _ in range(3):
        clock.advance(60)
        fire()
    assert len(ledger.jobs.runs("sweep")) == before + 3
