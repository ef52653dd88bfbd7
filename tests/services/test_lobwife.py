"""What lobwife's words mean here, on both databases; its routes are in tests/api/test_lobwife.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import AmbiguousRef, BadInput, NotFound, Refused, WrongStatus
from shoal.model.task import Task
from shoal.services import lobwife

Say = Callable[..., Any]


@pytest.fixture
def say(ledger: Ledger) -> Say:
    def say(function: Callable[..., Any], *given: Any) -> Any:
        return ledger.engine.write(lambda tx: function(tx, *given), "ana")  # type: ignore[attr-defined]

    return say


def test_ref_is_a_number_a_slug_a_key_or_a_whole_name(ledger: Ledger, say: Say) -> None:
    task = ledger.tasks.create(title="Unity UI", slug="2026-02-15-ui", external_key="gh-7")
    other = ledger.tasks.create(title="2026-02-15-ui")
    for ref in ("T1", "t1", "1", "2026-02-15-ui", "gh-7", "Unity UI"):
        assert say(lobwife.find, ref).id == task.id, ref
    for ref in ("Unity", "unity ui", "T9", "Unity%", ""):
        with pytest.raises(NotFound):
            say(lobwife.find, ref)
    ledger.tasks.update(other.id, title="Unity UI")
    with pytest.raises(AmbiguousRef, match="T1, T2"):
        say(lobwife.find, "Unity UI")


@pytest.mark.parametrize("status", lobwife.STATUSES)
def test_task_is_made_in_any_status(say: Say, status: str) -> None:
    made: Task = say(lobwife.create, {"name": "x", "status": status, "assigned_to": "lobster-1", "model": None})
    assert (made.status.value, made.assignee, made.title) == (status, "lobster-1", "x")


@pytest.mark.parametrize("before", lobwife.STATUSES)
@pytest.mark.parametrize("after", lobwife.STATUSES)
def test_status_leads_to_another_or_is_refused_and_changes_nothing(
    ledger: Ledger, say: Say, before: str, after: str
) -> None:
    made: Task = say(lobwife.create, {"name": "x", "status": before})
    over = {"completed", "failed", "cancelled"}
    if before in over and after in over and before != after:
        with pytest.raises(WrongStatus):
            say(lobwife.update, "1", {"status": after, "name": "y"})
        assert ledger.tasks.get(1) == made
        return
    task, updated = say(lobwife.update, "1", {"status": after, "name": "y"})
    assert (task.status.value, task.title, updated) == (after, "y", ["status", "name"])


def test_task_that_waits_for_others_is_not_queued_by_a_word(ledger: Ledger, say: Say) -> None:
    ledger.tasks.create(title="first")
    ledger.tasks.create(title="second", depends_on=["T1"])
    for status in ("queued", "active"):
        with pytest.raises(Refused):
            say(lobwife.update, "2", {"status": status})


def test_words_of_the_wrong_kind_are_refused(ledger: Ledger, say: Say) -> None:
    ledger.tasks.create(title="x")
    for given in ({"name": 7}, {"status": "odd"}, {"name": ""}, {"assigned_to": ["a"]}, {"colour": "red", "name": "y"}):
        with pytest.raises(BadInput):
            say(lobwife.update, "1", given)
