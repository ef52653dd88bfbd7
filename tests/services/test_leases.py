"""Leases: claims, fences, beats, releases, and what is taken back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger
from shoal.errors import BadInput, LeaseLost, NotFound
from tests.conftest import FakeClock


def claim_one(ledger: Ledger, **given: object) -> tuple[int, int]:
    claim = ledger.tasks.claim(**{"worker": "w1"} | given).claims[0]
    return claim.task.id, claim.attempt


def test_claim_gives_all_that_the_work_needs(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="Do it")
    outcome = ledger.tasks.claim(worker="w1", agent="claude-1", lease_seconds=90)

    [claim] = outcome.claims
    assert outcome.outcome == "claimed"
    assert (claim.task.status, claim.task.assignee, claim.task.worker) == ("active", "claude-1", "w1")
    assert (claim.attempt, claim.leased_until) == (1, clock.now + 90_000)
    assert len(claim.key) == 40
    event = ledger.events.list(task=1)[0]
    assert (event.kind, event.attempt, event.changes) == ("task.claimed", 1, {"status": ["queued", "active"]})


def test_key_is_another_one_for_every_attempt_and_task(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}])
    first, second = ledger.tasks.claim(worker="w", limit=2).claims
    ledger.tasks.release(first.task.id, attempt=1)
    again = ledger.tasks.claim(worker="w").claims[0]
    assert len({first.key, second.key, again.key}) == 3


def test_claims_go_by_priority_then_time_then_number(ledger: Ledger, clock: FakeClock) -> None:
    for title, priority in (("late", 2), ("low", 3), ("urgent", 0), ("later", 2)):
        ledger.tasks.create(title=title, priority=priority)
        clock.advance(1)
    titles = [claim.task.title for claim in ledger.tasks.claim(worker="w", limit=9).claims]
    assert titles == ["urgent", "late", "later", "low"]


def test_claim_never_gives_more_than_the_limit(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(20)])
    assert len(ledger.tasks.claim(worker="w", limit=7).claims) == 7


def test_claim_filters_by_type_and_label(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.create(title="b", type="qa")
    ledger.tasks.create(title="c", labels=["gpu"])
    ledger.tasks.create(title="d", type="qa", labels=["gpu"])
    assert claim_one(ledger, type="qa", label="gpu")[0] == 4
    assert claim_one(ledger, type="qa")[0] == 2
    assert claim_one(ledger, label="gpu")[0] == 3
    assert ledger.tasks.claim(worker="w", label="gpu").outcome == "none"


def test_labelled_task_stays_findable_through_its_whole_life(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a", labels=["gpu"], run_at=clock.now + 1000)
    assert ledger.tasks.claim(worker="w", label="gpu").outcome == "none"
    clock.advance(2)
    task, attempt = claim_one(ledger, label="gpu", lease_seconds=10)
    ledger.tasks.release(task, attempt=attempt)
    task, attempt = claim_one(ledger, label="gpu", lease_seconds=10)
    clock.advance(11)
    assert claim_one(ledger, label="gpu") == (task, attempt + 1)


def test_named_claim_says_who_holds_it_and_until_when(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a")
    assert claim_one(ledger, task="T1", lease_seconds=60) == (1, 1)
    clock.advance(20)
    outcome = ledger.tasks.claim(worker="w2", task="T1")
    assert (outcome.outcome, outcome.claims, outcome.retry_after_ms) == ("held", [], 40_000)
    with pytest.raises(NotFound):
        ledger.tasks.claim(worker="w2", task="T9")


def test_empty_queue_says_when_to_come_back(ledger: Ledger, clock: FakeClock) -> None:
    assert ledger.tasks.claim(worker="w").reason == "nothing is ready in queue default"
    ledger.tasks.create(title="later", run_at=clock.now + 5000)
    assert ledger.tasks.claim(worker="w").retry_after_ms == 5000


def test_beat_renews_every_lease_and_names_the_lost(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}, {"title": "c"}])
    ledger.tasks.claim(worker="w1", limit=3, lease_seconds=60)
    ledger.tasks.cancel("T2")
    clock.advance(30)

    beat = ledger.tasks.beat(worker="w1", tasks={"T1": 1, "T2": 1, "T3": 9}, lease_seconds=60)

    assert beat.held == {"T1": 1, "T3": 1}
    assert beat.lost == ["T2", "T3"]
    assert beat.leased_until == clock.now + 60_000
    assert ledger.tasks.get("T1").leased_until == clock.now + 60_000


def test_beat_never_shortens_a_lease(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a")
    claim_one(ledger, lease_seconds=600)
    until = ledger.tasks.get(1).leased_until
    ledger.tasks.beat(worker="w1", lease_seconds=5)
    assert ledger.tasks.get(1).leased_until == until


def test_expired_lease_returns_task_to_queue(
    ledger: Ledger, clock: FakeClock, events_of: Callable[..., list[str]]
) -> None:
    ledger.tasks.create(title="a")
    claim_one(ledger, lease_seconds=60)
    clock.advance(61)

    assert claim_one(ledger, worker="w2") == (1, 2)

    task = ledger.tasks.get(1)
    assert (task.failures, task.last_error) == (1, "attempt 1 by w1 ended without a word")
    assert events_of(1) == ["task.created", "task.claimed", "task.expired", "task.claimed"]


def test_beat_after_the_end_still_counts_until_the_task_is_taken_back(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a")
    claim_one(ledger, lease_seconds=60)
    clock.advance(120)
    assert ledger.tasks.beat(worker="w1", tasks={"T1": 1}, lease_seconds=60).lost == []
    assert ledger.tasks.claim(worker="w2").outcome == "none"


def test_poison_task_fails_after_its_attempts(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="kills its worker", max_attempts=2)
    for _ in range(2):
        claim_one(ledger, lease_seconds=1)
        clock.advance(2)
    assert ledger.tasks.claim(worker="w").outcome == "none"
    assert (ledger.tasks.get(1).status, ledger.tasks.get(1).failures) == ("failed", 2)


def late_writes() -> list[tuple[str, dict[str, object]]]:
    return [
        ("complete", {"summary": "late"}),
        ("fail", {"error": "late"}),
        ("release", {}),
        ("start", {}),
        ("progress", {"progress": 50}),
        ("handover", {"worker": "w1"}),
    ]


@pytest.mark.parametrize(("verb", "given"), late_writes(), ids=[verb for verb, _ in late_writes()])
def test_every_late_write_is_refused_and_changes_nothing(
    ledger: Ledger, clock: FakeClock, verb: str, given: dict[str, object]
) -> None:
    ledger.tasks.create(title="a")
    claim_one(ledger, lease_seconds=1)
    clock.advance(2)
    claim_one(ledger, worker="w2")
    before, events = ledger.tasks.get(1), ledger.events.list(after=0)

    with pytest.raises(LeaseLost, match="T1 is held by w2 in attempt 2, not 1"):
        getattr(ledger.tasks, verb)(1, attempt=1, **given)

    assert ledger.tasks.get(1) == before
    assert ledger.events.list(after=0) == events


@pytest.mark.parametrize(("verb", "given"), late_writes(), ids=[verb for verb, _ in late_writes()])
def test_cancelled_task_refuses_its_worker(ledger: Ledger, verb: str, given: dict[str, object]) -> None:
    ledger.tasks.create(title="a")
    claim_one(ledger)
    ledger.tasks.cancel(1)
    with pytest.raises(LeaseLost, match="T1 is cancelled"):
        getattr(ledger.tasks, verb)(1, attempt=1, **given)
    assert ledger.tasks.get(1).status == "cancelled"


def test_release_gives_back_and_does_not_count(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a", max_attempts=1)
    claim_one(ledger)
    released = ledger.tasks.release(1, attempt=1, delay_seconds=30, reason="busy")
    assert (released.status, released.failures, released.worker, released.run_at) == (
        "scheduled",
        0,
        None,
        clock.now + 30_000,
    )
    clock.advance(31)
    assert claim_one(ledger) == (1, 2)


def test_release_does_not_go_round_for_ever(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(release_limit=3)
    ledger.tasks.create(title="a", max_attempts=2)
    for _ in range(8):
        task, attempt = claim_one(ledger)
        ledger.tasks.release(task, attempt=attempt)
        if ledger.tasks.get(1).status == "failed":
            break
    assert (ledger.tasks.get(1).status, ledger.tasks.get(1).attempt) == ("failed", 8)


def test_releases_before_a_lost_attempt_are_not_in_a_row_with_those_after(
    open_at: Callable[..., Ledger], clock: FakeClock
) -> None:
    ledger = open_at(release_limit=2)
    ledger.tasks.create(title="a", max_attempts=9)
    for _ in range(2):
        task, attempt = claim_one(ledger, lease_seconds=60)
        ledger.tasks.release(task, attempt=attempt)
    claim_one(ledger, lease_seconds=60)
    clock.advance(61)
    task, attempt = claim_one(ledger, worker="w2")

    released = ledger.tasks.release(task, attempt=attempt)

    assert (released.failures, released.releases) == (1, 1)


def test_reason_of_the_release_that_fails_a_task_is_told(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(release_limit=1)
    ledger.tasks.create(title="a", max_attempts=1)
    for reason in ("no disk", "still no disk"):
        task, attempt = claim_one(ledger)
        ledger.tasks.release(task, attempt=attempt, reason=reason)
    event = ledger.events.list(task=1)[0]
    assert (event.kind, event.data) == ("task.failed", {"reason": "still no disk"})


def test_person_takes_a_task_from_its_worker(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    claim_one(ledger)
    assert ledger.tasks.release("T1").status == "queued"
    with pytest.raises(LeaseLost, match="nobody has it"):
        ledger.tasks.release("T1")


def test_start_and_progress_are_kept_and_told(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="a")
    claim_one(ledger)
    ledger.tasks.start(1, attempt=1)
    task = ledger.tasks.progress(1, attempt=1, progress=40, message="half of the tests")
    assert (task.progress, task.progress_message) == (40, "half of the tests")
    assert events_of(1)[-2:] == ["task.started", "task.progressed"]
    with pytest.raises(BadInput):
        ledger.tasks.progress(1, attempt=1, progress=101)
