"""Jobs: made, changed, triggered, and compared with a manifest."""

from __future__ import annotations

from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Duplicate, NotFound, Refused
from shoal.model.job import Applied, Definition, Program
from shoal.services import jobs
from tests.conftest import START_MS, FakeClock


def apply(ledger: Ledger, *given: dict[str, Any]) -> Applied:
    whole = [{"schedule": "@hourly", "action": Program(["echo"])} | one for one in given]
    definitions = [Definition(**one) for one in whole]
    return ledger.engine.write(lambda tx: jobs.apply(tx, "jobs.toml", definitions))  # type: ignore[attr-defined, no-any-return]


def test_job_is_shown_with_its_next_slots_and_last_runs(ledger: Ledger, make_job: Any) -> None:
    make_job(environment={"A": "1"}, tags=["x"])
    made = ledger.jobs.trigger("sweep")
    shown = ledger.jobs.get("sweep")
    assert [slot - START_MS for slot in shown.fire_times] == [60_000 * number for number in range(1, 6)]
    assert [run.id for run in shown.runs] == [made.id]
    assert (shown.definition.environment, shown.definition.tags, shown.source) == ({"A": "1"}, ["x"], "api")
    assert ledger.events.list(after=0, kind="job.created")[0].data == {"job": "sweep", "source": "api"}


def test_jobs_are_listed_by_name_in_pages(ledger: Ledger, make_job: Any) -> None:
    for name in ("c", "a", "b"):
        make_job(name, enabled=name != "b")
    page = ledger.jobs.list(limit=2)
    assert [job.definition.name for job in page] == ["a", "b"]
    assert [job.definition.name for job in ledger.jobs.list(cursor=page.next)] == ["c"]
    assert [job.definition.name for job in ledger.jobs.list(enabled=False)] == ["b"]


def test_name_is_unique_and_unknown_names_are_said_so(ledger: Ledger, make_job: Any) -> None:
    make_job()
    with pytest.raises(Duplicate, match="sweep"):
        make_job()
    for verb in (ledger.jobs.get, ledger.jobs.remove, ledger.jobs.trigger, ledger.jobs.enable, ledger.jobs.runs):
        with pytest.raises(NotFound, match="nothing"):
            verb("nothing")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"schedule": "nonsense"}, "'nonsense' is no schedule: write daily"),
        ({"timezone": "Nowhere/Atall"}, "timezone"),
        ({"schedule": "0 0 30 2 *"}, "day-of-month"),
        ({"environment": {"A=B": "x"}}, "A=B"),
        ({"action": {"kind": "task", "task": {"title": "{slot}" * 80}}}, "title"),
        ({"action": {"kind": "dance"}}, "dance"),
        ({"name": "../x"}, "name"),
    ],
)
def test_job_that_could_not_fire_is_refused(ledger: Ledger, make_job: Any, given: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        make_job(**given)
    assert ledger.jobs.list() == []


def test_new_schedule_counts_from_now_and_other_changes_leave_it(
    ledger: Ledger, make_job: Any, clock: FakeClock
) -> None:
    make_job()
    clock.advance(30)
    assert ledger.jobs.update("sweep", timeout_seconds=5).next_fire_at == START_MS + 60_000
    changed = ledger.jobs.update("sweep", schedule="every 10s")
    assert (changed.next_fire_at, changed.definition.timeout_seconds) == (START_MS + 40_000, 5)
    assert [event.data["changed"] for event in ledger.events.list(after=0, kind="job.changed")] == [
        ["timeout_seconds"],
        ["schedule"],
    ]
    ledger.jobs.update("sweep", schedule="every 10s")
    assert len(ledger.events.list(after=0, kind="job.changed")) == 2
    with pytest.raises(BadInput):
        ledger.jobs.update("sweep", schedule="never")


def test_disabled_job_does_not_fire_and_what_waits_is_called_off(
    ledger: Ledger, make_job: Any, clock: FakeClock, fire: Any
) -> None:
    make_job()
    clock.advance(60)
    fire()
    assert ledger.jobs.disable("sweep").next_fire_at is None
    clock.advance(600)
    assert fire().jobs == 0
    [run] = ledger.jobs.runs("sweep")
    assert (run.status, run.reason) == ("cancelled", "the job was disabled")
    assert ledger.jobs.enable("sweep").next_fire_at == clock.now + 60_000
    assert ledger.jobs.get("sweep").runs == [run]


def test_removed_job_leaves_its_history_and_lets_what_runs_end(
    ledger: Ledger, make_job: Any, claim: Any, end: Any
) -> None:
    make_job(overlap="allow", max_attempts=3)
    ledger.jobs.trigger("sweep")
    [claimed] = claim()
    ledger.jobs.trigger("sweep")
    ledger.jobs.remove("sweep")
    assert [run.status for run in ledger.jobs.runs("sweep")] == ["cancelled", "running"]
    assert end(claimed.run.id, "failed").status == "failed"
    assert len(ledger.jobs.runs("sweep")) == 2, "and no other attempt"


def test_trigger_is_refused_while_the_job_runs_and_forbids_overlap(
    ledger: Ledger, make_job: Any, claim: Any, end: Any
) -> None:
    make_job(enabled=False)
    first = ledger.jobs.trigger("sweep")
    assert (first.cause, first.actor, first.status) == ("trigger", "ana", "waiting")
    with pytest.raises(Refused, match=f"{first.run_id} is waiting"):
        ledger.jobs.trigger("sweep")
    [claimed] = claim()
    with pytest.raises(Refused, match=f"{first.run_id} is running"):
        ledger.jobs.trigger("sweep")
    end(claimed.run.id)
    assert ledger.jobs.trigger("sweep").status == "waiting"


def test_triggers_of_the_same_moment_are_runs_of_their_own(ledger: Ledger, make_job: Any) -> None:
    make_job(overlap="allow")
    assert [ledger.jobs.trigger("sweep").slot - START_MS for _ in range(3)] == [0, 1, 2]


def test_manifest_is_compared_with_what_there_is(ledger: Ledger, make_job: Any, clock: FakeClock) -> None:
    make_job("own")
    assert apply(ledger, {"name": "a"}, {"name": "b"}, {"name": "c"}).added == ["a", "b", "c"]
    clock.advance(5)
    applied = apply(
        ledger,
        {"name": "b", "schedule": "every 90s"},
        {"name": "c", "timeout_seconds": 7, "enabled": False},
        {"name": "d"},
    )
    assert applied == Applied(added=["d"], removed=["a"], rescheduled=["b"], changed=["c"])
    assert [job.definition.name for job in ledger.jobs.list()] == ["b", "c", "d", "own"]
    assert ledger.jobs.get("b").next_fire_at == clock.now + 90_000
    assert ledger.jobs.get("c").next_fire_at is None
    assert apply(
        ledger,
        {"name": "b", "schedule": "every 90s"},
        {"name": "c", "timeout_seconds": 7, "enabled": False},
        {"name": "d"},
    ) == Applied([], [], [], [])


def test_bad_manifest_changes_nothing(ledger: Ledger, make_job: Any) -> None:
    make_job("own")
    apply(ledger, {"name": "a"})
    for wrong, error, reason in [
        ({"name": "b", "schedule": "x y"}, BadInput, "job b: .*no schedule"),
        ({"name": "own"}, Duplicate, "own already, of api"),
        ({"name": "c"}, BadInput, "c is defined 2 times"),
    ]:
        with pytest.raises(error, match=reason):
            apply(ledger, {"name": "c"}, wrong)
        assert [job.definition.name for job in ledger.jobs.list()] == ["a", "own"]


def test_running_run_of_a_job_that_a_manifest_drops_goes_on(ledger: Ledger, claim: Any, end: Any) -> None:
    apply(ledger, {"name": "a", "action": Program(["echo"])})
    ledger.jobs.trigger("a")
    [claimed] = claim()
    apply(ledger)
    assert ledger.runs.get(claimed.run.id).status == "running"
    assert end(claimed.run.id).status == "success"
