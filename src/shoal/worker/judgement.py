"""What an attempt's work is judged by, and whether its own agent had a hand in that."""

from __future__ import annotations

from typing import Any

from shoal.ledger import Ledger
from shoal.model.event import Kind
from shoal.model.task import Claim, Task

CHECKED = ("success_criteria", "type", "repos")
TERMS = (*CHECKED, "requires_qa")


def checked(task: Task) -> tuple[Any, ...]:
    """What the checks of a task depend on."""
    return tuple(getattr(task, name) for name in CHECKED)


def own_changes(ledger: Ledger, claim: Claim, task: Task, *, actor: str) -> list[str]:
    """The terms of a task, as it is now, that an actor was the last to change, while somebody worked on it."""
    if claim.attempt == 1 and all(getattr(task, name) == getattr(claim.task, name) for name in TERMS):
        return []
    last: dict[str, bool] = {}
    cursor = None
    while True:
        page = ledger.events.list(task=task.id, kind=Kind.TASK_UPDATED, cursor=cursor)
        for event in page:
            own = event.actor == actor and event.attempt is not None
            for name in TERMS:
                if name in event.changes:
                    last.setdefault(name, own)
        cursor = page.next
        if cursor is None:
            return [name for name in TERMS if last.get(name)]
