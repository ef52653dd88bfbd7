"""What was done to an item can be taken back, exactly, unless something came after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from shoal import Ledger
from shoal.errors import NotFound, Refused

STEPS: list[Callable[[Ledger], Any]] = [
    lambda ledger: ledger.items.accept(1),
    lambda ledger: ledger.items.reject(1, reason="no"),
    lambda ledger: ledger.items.update(1, title="Ein Tür", text="anders", priority=0, labels=["a", "ü"]),
    lambda ledger: ledger.items.update(1, refs={"a": "b"}, due_at=7, effort="small"),
]


def fields(ledger: Ledger) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(ledger.items.get(1))
    return {name: value for name, value in found.items() if name != "updated_at"}


@pytest.mark.parametrize("step", STEPS)
def test_undo_restores_every_field(ledger: Ledger, step: Callable[[Ledger], Any]) -> None:
    ledger.items.create(text="x", labels=["l"])
    before = fields(ledger)
    step(ledger)
    assert fields(ledger) != before
    ledger.items.undo(1)
    assert fields(ledger) == before
    ledger.items.undo(1)
    step(ledger)


def test_steps_are_taken_back_one_by_one(ledger: Ledger) -> None:
    ledger.items.create(text="x")
    states, events = [fields(ledger)], []
    for step in (STEPS[2], STEPS[0], STEPS[3]):
        step(ledger)
        states.append(fields(ledger))
        events.append(ledger.events.list(item=1, limit=1)[0].id)
    for event, state in zip(reversed(events), reversed(states[:-1]), strict=True):
        ledger.items.undo(1, event=event)
        assert fields(ledger) == state


def test_last_step_is_taken_back_whatever_else_happened(ledger: Ledger) -> None:
    for text in "xy":
        ledger.items.create(text=text)
    with pytest.raises(Refused, match="W1 has no decision, edit or priority to take back"):
        ledger.items.undo(1)
    ledger.items.accept(1)
    ledger.items.depend(1, on=2)
    for number in range(120):
        ledger.items.add_files(1, files=[f"{number}.py"])
    assert ledger.items.undo(1).status == "new"


def test_what_was_changed_since_is_not_taken_back(ledger: Ledger) -> None:
    ledger.items.create(text="x")
    ledger.items.accept(1)
    event = ledger.events.list(item=1, limit=1)[0].id
    ledger.items.reject(1)
    with pytest.raises(Refused, match="of W1 was changed again since"):
        ledger.items.undo(1, event=event)
    with pytest.raises(NotFound, match="W1 has no such event"):
        ledger.items.undo(1, event=10_000)
    with pytest.raises(Refused, match=r"item.created of W1 cannot be taken back"):
        ledger.items.undo(1, event=1)


def test_where_an_item_stands_by_its_tasks_is_not_taken_back(ledger: Ledger) -> None:
    from tests.services.test_decomposition import follow

    ledger.items.create(text="x", accepted=True)
    ledger.items.run(1)
    with pytest.raises(Refused):
        ledger.items.undo(1)
    ledger.tasks.cancel(1)
    follow(ledger)
    with pytest.raises(Refused, match="follows from its tasks"):
        ledger.items.undo(1)
