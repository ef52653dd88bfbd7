"""Verdicts by agents: one QA task per submission, whose result decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal import Ledger
from shoal.services import qa


@pytest.fixture
def judged(open_at: Callable[..., Ledger]) -> Ledger:
    """A ledger with QA tasks, followed from here on."""
    ledger = open_at(qa_tasks=True)
    follow(ledger)
    return ledger


def follow(ledger: Ledger) -> None:
    ledger.engine.write(qa.follow)  # type: ignore[attr-defined]


def submit(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", requires_qa=True, repos=["o/r"], queue="q", priority="high")
    ledger.tasks.claim(worker="w", queue="q")
    ledger.tasks.complete(1, attempt=1, summary="done")


def conclude(ledger: Ledger, result: Any) -> None:
    ledger.tasks.claim(worker="w2", queue="q", agent="judge")
    ledger.tasks.complete(2, attempt=1, result=result)
    follow(ledger)


def test_submitted_work_gets_one_qa_task(judged: Ledger) -> None:
    submit(judged)
    follow(judged)
    follow(judged)
    first, second = judged.tasks.list(limit=10)[::-1]
    assert (second.type, second.queue, second.repos, second.priority) == ("qa", "q", ["o/r"], 1)
    assert second.external_key == "qa-T1-1"
    assert "Judge the work on T1" in judged.tasks.body(2).text
    assert [edge.kind for edge in judged.tasks.dependencies(2)] == ["related"]
    assert first.status == "review"


def test_verdict_of_the_qa_task_decides(judged: Ledger) -> None:
    submit(judged)
    follow(judged)
    conclude(judged, {"verdict": "approve", "notes": "well done"})
    assert judged.tasks.get(1).status == "completed"
    approved = judged.events.list(after=0, task=1)[-1]
    assert (approved.kind, approved.actor, approved.data) == ("task.approved", "judge", {"notes": "well done"})


def test_rejected_work_is_done_again_and_judged_again(judged: Ledger) -> None:
    submit(judged)
    follow(judged)
    conclude(judged, {"verdict": "reject", "notes": "no tests"})
    assert judged.tasks.get(1).status == "queued"
    assert judged.tasks.get(1).last_error == "rejected: no tests"
    judged.tasks.claim(worker="w", queue="q")
    judged.tasks.complete(1, attempt=2)
    follow(judged)
    assert [task.external_key for task in judged.tasks.list(type="qa", limit=10)] == ["qa-T1-2", "qa-T1-1"]


@pytest.mark.parametrize("result", [None, {}, {"verdict": "maybe"}, {"verdict": 1}, ["approve"]])
def test_no_verdict_leaves_it_to_people(judged: Ledger, result: Any) -> None:
    submit(judged)
    follow(judged)
    conclude(judged, result)
    assert judged.tasks.get(1).status == "review"
    assert "gave no verdict" in judged.events.list(after=0, task=1)[-1].data["message"]


def test_person_may_be_first(judged: Ledger) -> None:
    submit(judged)
    follow(judged)
    judged.tasks.review(1, approve=True)
    conclude(judged, {"verdict": "reject", "notes": "too late"})
    assert judged.tasks.get(1).status == "completed"


def test_nothing_happens_unless_it_is_wanted(ledger: Ledger) -> None:
    follow(ledger)
    submit(ledger)
    follow(ledger)
    assert len(ledger.tasks.list(limit=10)) == 1


def test_qa_task_that_needs_qa_itself_does_not_go_round(judged: Ledger) -> None:
    judged.tasks.create(title="x", type="qa", requires_qa=True)
    judged.tasks.claim(worker="w")
    judged.tasks.complete(1, attempt=1)
    follow(judged)
    assert len(judged.tasks.list(limit=10)) == 1
