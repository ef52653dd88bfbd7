"""Accounts: every model call is on one, of a task, of a work item, of a check, or of what prioritises a project."""

from __future__ import annotations

from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, NotFound
from shoal.ledger.embedded import EmbeddedEngine

CALL = {"provider": "anthropic", "model": "claude-haiku-4-5"}
DAY = 86_400_000


def call(key: str, micros: int | None = 1000, **fields: Any) -> dict[str, Any]:
    return CALL | {"request_key": key, "cost_usd_micros": micros, "input_tokens": 10} | fields


@pytest.fixture
def spent(ledger: Ledger) -> Ledger:
    """An item that was scoped and became two tasks, an item that was scoped, and calls for neither."""
    for text in ("Mend the login", "Paint the door"):
        ledger.items.create(text=text, accepted=True)
    ledger.items.assess(1, model="m", sub_tasks=["Find it", "Mend it"], calls=[call("s1"), call("s2", 500)])
    ledger.items.assess(2, model="m", error="no answer", calls=[call("s3", 70)])
    ledger.items.run(1)
    ledger.tasks.create(title="Of no item")
    ledger.costs.record(
        costs=[
            call("w1", 20_000, task=1),
            call("w2", 30_000, task=2),
            call("w3", 7, task=3),
            call("c1", 400, purpose="check", check="code-scrutiny", project="web"),
            call("p1", 60, purpose="prioritise", project="web"),
            call("p2", 5, purpose="prioritise"),
        ]
    )
    return ledger


def sums(ledger: Ledger, **given: Any) -> dict[str, int]:
    return {one.key: one.cost_usd_micros for one in ledger.costs.sums(**given)}


@pytest.mark.parametrize("since", [0, 1])
def test_every_call_is_on_one_account(spent: Ledger, since: int) -> None:
    assert sums(spent, since=since) == {
        "W1": 1500,
        "W2": 70,
        "T1": 20_000,
        "T2": 30_000,
        "T3": 7,
        "check code-scrutiny of web": 400,
        "prioritise web": 60,
        "prioritise": 5,
    }
    assert sums(spent, by="purpose", since=since) == {"work": 50_007, "scope": 1570, "check": 400, "prioritise": 65}
    assert sums(spent, by="task", since=since) == {"T1": 20_000, "T2": 30_000, "T3": 7}
    assert sums(spent, by="provider", since=since) == {"anthropic": 52_042}


def test_sums_of_accounts_begin_at_any_moment(spent: Ledger) -> None:
    at = [one.at for one in spent.costs.list()]
    assert sums(spent, since=min(at)) == sums(spent)
    assert sums(spent, by="purpose", item="W1", since=min(at)) == {"work": 50_000, "scope": 1500}
    assert sums(spent, since=max(at) + 1) == {}


def test_item_is_told_with_its_tasks(spent: Ledger) -> None:
    assert sums(spent, by="purpose", item="W1") == {"work": 50_000, "scope": 1500}
    assert sums(spent, item=1) == {"T2": 30_000, "T1": 20_000, "W1": 1500}
    assert sums(spent, item=1, task=2) == {"T2": 30_000}
    first = spent.costs.list(item="W1", limit=1)
    rest = spent.costs.list(item="W1", limit=3, cursor=first.next)
    assert [one.request_key for one in [*first, *rest]] == ["s1", "s2"]
    assert {(one.task_id, one.item_id, one.assessment, one.purpose) for one in rest} == {(None, "W1", 1, "scope")}
    with pytest.raises(NotFound):
        spent.costs.sums(item="W9")


def test_call_is_told_by_an_event_of_its_account(spent: Ledger) -> None:
    [told] = spent.events.list(kind="cost.recorded", item=2)
    assert told.task_id is None
    assert told.data is not None
    assert (told.data["purpose"], told.data["cost_usd_micros"]) == ("scope", 70)
    of_check = [one.data for one in spent.events.list(kind="cost.recorded") if "check" in (one.data or {})]
    assert [(one["check"], one["project"]) for one in of_check if one] == [("code-scrutiny", "web")]


def test_sums_are_those_of_the_calls(spent: Ledger) -> None:
    assert isinstance(spent.engine, EmbeddedEngine)
    assert spent.engine.read(lambda tx: tx.all("costs.recount", limit=10, prefix="T")) == []


def test_call_that_is_sent_again_is_counted_once(spent: Ledger) -> None:
    before = sums(spent)
    again = [call("c1", 9, purpose="check", check="other", project="web"), call("s1", 9, purpose="scope", item="W2")]
    outcome = spent.costs.record(costs=again)
    assert (outcome.counted, outcome.known, sums(spent)) == (0, 2, before)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "task"),
        ({"item": 1}, "task"),
        ({"task": 1, "item": 1}, "item"),
        ({"purpose": "scope"}, "item"),
        ({"purpose": "scope", "item": 1, "task": 1}, "task"),
        ({"purpose": "check", "project": "web"}, "check"),
        ({"purpose": "check", "check": "a"}, "project"),
        ({"purpose": "prioritise", "check": "a"}, "check"),
        ({"purpose": "prioritise", "attempt": 1}, "attempt"),
        ({"purpose": "prioritise", "session": 1}, "session"),
    ],
)
def test_call_that_names_no_account_or_two_is_refused(spent: Ledger, wrong: dict[str, Any], field: str) -> None:
    before = sums(spent)
    with pytest.raises(BadInput) as refused:
        spent.costs.record(costs=[call("x", task=1), call("y", **wrong)])
    assert refused.value.field == f"costs[1].{field}"
    assert sums(spent) == before
