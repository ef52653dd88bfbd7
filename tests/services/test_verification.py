"""What is told of success criteria, and work that a person must judge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger
from shoal.errors import BadInput, LeaseLost


def test_checked_criteria_are_told_of(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    ledger.tasks.verified(1, attempt=1, failed=["tests pass: exit 1"], manual=["looks right"])
    event = ledger.events.list(after=0, task=1)[-1]
    assert (event.kind, event.attempt) == ("task.verified", 1)
    assert event.data == {"failed": ["tests pass: exit 1"], "manual": ["looks right"]}
    assert ledger.tasks.get(1).status == "active"
    with pytest.raises(LeaseLost):
        ledger.tasks.verified(1, attempt=2, failed=[])


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
