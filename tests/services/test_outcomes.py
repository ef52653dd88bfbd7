"""How work ends, and that a terminal status is entered once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger
from shoal.errors import BadInput, LeaseLost, Refused, TooLarge, WrongStatus
from tests.conftest import FakeClock


@pytest.fixture
def claimed(ledger: Ledger) -> Ledger:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w1")
    return ledger


def test_complete_keeps_summary_result_and_time(claimed: Ledger, clock: FakeClock) -> None:
    clock.advance(150)
    done = claimed.tasks.complete("T1", attempt=1, summary="merged", result={"pr": 7, "é": [None, 1.5]})
    assert (done.status, done.summary, done.result) == ("completed", "merged", {"pr": 7, "é": [None, 1.5]})
    assert (done.completed_at, done.actual_minutes, done.leased_until) == (clock.now, 2, None)
    assert claimed.tasks.get(1) == done


def test_repeated_completion_of_the_same_attempt_is_answered(
    claimed: Ledger, events_of: Callable[..., list[str]]
) -> None:
    first = claimed.tasks.complete(1, attempt=1)
    assert claimed.tasks.complete(1, attempt=1) == first
    assert events_of(1).count("task.completed") == 1
    with pytest.raises(LeaseLost):
        claimed.tasks.fail(1, attempt=1, error="after all")


def test_person_completes_what_nobody_holds(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    assert ledger.tasks.complete(1, summary="did it by hand").status == "completed"


def test_person_cannot_complete_what_a_worker_holds(claimed: Ledger) -> None:
    with pytest.raises(Refused, match="held by w1 in attempt 1"):
        claimed.tasks.complete(1)


def test_result_that_is_too_large_is_refused(claimed: Ledger) -> None:
    with pytest.raises(TooLarge, match="the limit is 65536"):
        claimed.tasks.complete(1, attempt=1, result="x" * 70_000)
    assert claimed.tasks.get(1).status == "active"


def test_result_that_is_no_json_is_refused(claimed: Ledger) -> None:
    deep: list[object] = []
    for _ in range(70):
        deep = [deep]
    for result in (object(), "nul \x00", deep):
        with pytest.raises(BadInput):
            claimed.tasks.complete(1, attempt=1, result=result)


def test_batch_completion_refuses_the_stale_alone(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(3)])
    ledger.tasks.claim(worker="w", limit=3)
    outcomes = ledger.tasks.complete_many(
        completions=[
            {"task": "T1", "attempt": 1, "summary": "one"},
            {"task": "T2", "attempt": 5},
            {"task": 3, "attempt": 1, "result": {"n": 3}},
            {"task": 99, "attempt": 1},
        ]
    )
    assert [(one.task, one.status, one.code) for one in outcomes] == [
        ("T1", "completed", None),
        ("T2", None, "lease_lost"),
        ("T3", "completed", None),
        ("T99", None, "not_found"),
    ]
    assert ledger.tasks.get("T3").result == {"n": 3}
    assert ledger.tasks.get("T2").status == "active"


def test_handover_completes_and_claims_the_next(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}])
    ledger.tasks.claim(worker="w")
    handed = ledger.tasks.handover(1, attempt=1, worker="w", summary="ok")
    assert (handed.completed.status, handed.next.claims[0].task.id) == ("completed", 2)
    assert ledger.tasks.handover(2, attempt=1, worker="w").next.outcome == "none"


def test_failure_is_retried_after_a_growing_wait(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a", max_attempts=4)
    waits = []
    for attempt in range(1, 4):
        ledger.tasks.claim(worker="w")
        failed = ledger.tasks.fail(1, attempt=attempt, error=f"try {attempt}")
        assert (failed.status, failed.last_error, failed.failures) == ("scheduled", f"try {attempt}", attempt)
        waits.append(failed.run_at - clock.now)
        clock.advance(3600)
    for wait, base in zip(waits, (10_000, 20_000, 40_000), strict=True):
        assert base / 2 <= wait <= base
    ledger.tasks.claim(worker="w")
    assert ledger.tasks.fail(1, attempt=4, error="the last").status == "failed"


def test_wait_is_capped_however_often_it_failed(open_at: Callable[..., Ledger], clock: FakeClock) -> None:
    ledger = open_at(retry_cap_seconds=60)
    ledger.tasks.create(title="a", max_attempts=1000)
    for attempt in range(1, 41):
        ledger.tasks.claim(worker="w")
        assert ledger.tasks.fail(1, attempt=attempt, error="x").run_at - clock.now <= 60_000
        clock.advance(61)


def test_permanent_failure_is_not_retried(claimed: Ledger) -> None:
    assert claimed.tasks.fail(1, attempt=1, error="no such repository", permanent=True).status == "failed"


def test_failure_can_name_its_wait(claimed: Ledger, clock: FakeClock) -> None:
    assert claimed.tasks.fail(1, attempt=1, error="x", retry_after_seconds=7).run_at == clock.now + 7000


def test_person_gives_up_a_waiting_task(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    assert ledger.tasks.fail(1, error="cannot be done").status == "failed"


def test_review_stands_between_the_work_and_its_completion(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="a", requires_qa=True)
    ledger.tasks.create(title="child", depends_on=["T1"])
    ledger.tasks.claim(worker="w")
    assert ledger.tasks.complete(1, attempt=1).status == "review"
    assert ledger.tasks.get(2).status == "blocked"

    with pytest.raises(BadInput, match="needs notes"):
        ledger.tasks.review(1, approve=False)
    assert ledger.tasks.review(1, approve=False, notes="no tests").status == "queued"
    ledger.tasks.claim(worker="w")
    ledger.tasks.complete(1, attempt=2)
    assert ledger.tasks.review(1, approve=True).status == "completed"
    assert ledger.tasks.get(2).status == "queued"
    assert events_of(1)[-4:] == ["task.rejected", "task.claimed", "task.submitted", "task.approved"]
    with pytest.raises(WrongStatus):
        ledger.tasks.review(1, approve=True)


def test_feedback_is_kept(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    rated = ledger.tasks.feedback(1, quality=4, timeliness=5, notes="clean")
    assert (rated.feedback.quality, rated.feedback.timeliness, rated.feedback.notes) == (4, 5, "clean")
    with pytest.raises(BadInput):
        ledger.tasks.feedback(1, quality=6)


def test_submitted_work_awaits_a_verdict(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    task = ledger.tasks.submit(1, attempt=1, summary="see for yourself", result={"a": 1})
    assert (task.status, task.summary, task.result) == ("review", "see for yourself", {"a": 1})
    assert task.leased_until is None
    assert ledger.tasks.submit(1, attempt=1) == task, "a second time changes nothing"
    assert ledger.tasks.review(1, approve=True).status == "completed"


def test_only_the_attempt_that_holds_the_task_submits_it(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    with pytest.raises(BadInput):
        ledger.tasks.submit(1, attempt=1, result="\x00")
    ledger.tasks.release(1, attempt=1)
    with pytest.raises(LeaseLost):
        ledger.tasks.submit(1, attempt=1)
