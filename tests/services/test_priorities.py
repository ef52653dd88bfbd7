"""What comes first: by rules that explain themselves, by a model, by a person whose word stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import Refused
from shoal.settings import ProjectSettings
from tests.rows import execute


@pytest.fixture
def assessed(ledger: Ledger, address: str) -> Callable[..., int]:
    """Makes an accepted item that is assessed."""

    def make(text: str = "x", **fields: Any) -> int:
        number = ledger.items.create(text=text, accepted=True, **fields).id
        execute(address, "UPDATE items SET assessed_at = 1, status = 'assessed' WHERE id = ?", number)
        return number

    return make


def given(ledger: Ledger, **options: Any) -> dict[str, int]:
    return {one.item_id: one.priority for one in ledger.items.prioritise(**options).rated}


def test_only_what_is_assessed_or_has_a_severity_gets_a_priority(ledger: Ledger, assessed: Callable[..., int]) -> None:
    ledger.items.create(text="unknown", accepted=True)
    ledger.items.create(text="finding", severity="critical")
    assessed()
    assert given(ledger) == {"W2": 0, "W3": 2}
    assert ledger.items.get(1).priority is None
    with pytest.raises(Refused, match="W1 is not assessed"):
        ledger.items.set_priorities(priorities=[{"item": 1, "priority": 1}], by="model:m")


def test_rules_say_why(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed("plain")
    assessed("easy", effort="small", risk="low")
    assessed("hard", effort="large", risk="high")
    assessed("bad", severity="warning")
    assessed("terrible", severity="critical", effort="large", risk="high")
    for number in (1, 3):
        ledger.items.depend(number, on=assessed("base") if number == 1 else 6)
    came = ledger.items.prioritise()
    assert {one.item_id: (one.priority, one.reason) for one in came.rated} == {
        "W1": (2, "P2 to begin with"),
        "W2": (1, "P2 to begin with; small and of low risk: up"),
        "W3": (3, "P2 to begin with; large and of high risk: down"),
        "W4": (1, "warning: P1"),
        "W5": (0, "critical: P0; large and of high risk: down"),
        "W6": (1, "P2 to begin with; 2 items wait for it: up"),
    }
    assert [one.id for one in ledger.items.next()] == [5, 6, 2, 4, 1, 3]
    event = ledger.events.list(item=6)[0]
    assert (event.kind, event.data["by"]) == ("item.prioritised", "rules")
    assert event.data["reason"].endswith("2 items wait for it: up")


def test_same_items_get_the_same_priorities(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed()
    assert ledger.items.prioritise().changed == 1
    again = ledger.items.prioritise()
    assert (again.changed, len(ledger.events.list(item=1, kind="item.prioritised"))) == (0, 1)


def test_what_an_urgent_item_waits_for_is_as_urgent(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed("bad", severity="critical")
    assessed("middle")
    assessed("base")
    ledger.items.depend(1, on=2)
    ledger.items.depend(2, on=3)
    came = ledger.items.prioritise()
    assert [(one.item_id, one.priority) for one in came.rated] == [("W3", 0), ("W2", 0), ("W1", 0)]
    assert came.rated[1].reason == "P2 to begin with; W1 (P0) waits for it: P0"


def test_goals_of_the_project_raise_a_priority(open_at: Callable[..., Ledger], address: str) -> None:
    ledger = open_at(projects={"web": ProjectSettings(path="/x", goals=["Checkout "])})
    for project in ("web", "other"):
        ledger.items.create(text="faster checkout", project=project, severity="info")
    assert given(ledger) == {"W1": 2, "W2": 3}
    assert given(ledger, project="other") == {"W2": 3}
    assert given(ledger, items=["W1"]) == {"W1": 2}


def test_persons_own_priority_stands_unless_told_otherwise(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed(priority=3)
    kept = ledger.items.prioritise()
    assert [(one.kept, one.priority) for one in kept.rated] == [(True, 3)]
    assert ledger.items.prioritise(all=True, dry_run=True).changed == 1
    assert ledger.items.get(1).priority == 3
    ledger.items.prioritise(all=True)
    found = ledger.items.get(1)
    assert (found.priority, found.prioritised_by) == (2, "rules")
    ledger.items.update(1, priority=2)
    assert ledger.items.get(1).prioritised_by is None
    assert ledger.items.prioritise().rated[0].kept


def test_model_may_say_what_comes_first(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed("a")
    assessed("b")
    ledger.items.prioritise()
    new = [{"item": "W1", "priority": 1, "sort_order": 2, "reason": "x"}, {"item": "W2", "priority": 1}]
    came = ledger.items.set_priorities(priorities=new, by="model:m")
    assert [one.item_id for one in came.rated] == ["W2", "W1"]
    assert ledger.items.get(1).prioritised_by == "model:m"
    assert ledger.events.list(item=1)[0].data == {"by": "model:m", "reason": "x"}
    ledger.items.reject(2)
    with pytest.raises(Refused, match="W2 is wontfix"):
        ledger.items.set_priorities(priorities=new, by="model:m")
