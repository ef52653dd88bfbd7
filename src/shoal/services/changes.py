"""How a verb changes a task: check the status, write the fields, keep the label table in step, tell the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shoal.errors import WrongStatus
from shoal.model.event import Kind
from shoal.model.task import TRANSITIONS, Status, Task, waiting_status
from shoal.services.transaction import Tx

_json = msgspec.json.Encoder().encode
_ENCODED = frozenset({"labels", "repos", "success_criteria", "result", "feedback", "participants"})
_PLACE = frozenset({"status", "queue", "priority", "run_at", "labels"})
_UNTOLD = frozenset({"queued_at", "claimed_at", "started_at", "completed_at", "worker", "leased_until", "blockers"})


def require(task: Task, verb: str, next_step: str = "") -> None:
    """Refuse a verb that the task's status does not allow."""
    allowed, _ = TRANSITIONS[verb]
    if task.status not in allowed:
        wanted = ", ".join(status.value for status in Status if status in allowed)
        hint = f"; {next_step}" if next_step else ""
        raise WrongStatus(f"{task.task_id} is {task.status.value}; {verb} needs {wanted}{hint}", field="task")


def change(
    tx: Tx,
    task: Task,
    kind: Kind,
    fields: Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    attempt: int | None = None,
) -> Task:
    """Write new values to a task that the transaction has locked, and tell old and new in an event."""
    stored = {name: _stored(name, value) for name, value in fields.items()}
    row = tx.one("tasks.change", id=task.id, now=tx.now, **stored)
    assert row is not None  # noqa: S101 - the task is locked and tasks are never deleted
    changed = tx.task(row)
    told = {
        name: [getattr(task, name), getattr(changed, name)]
        for name in fields
        if name not in _UNTOLD and name not in {"status", "queue"} and getattr(task, name) != getattr(changed, name)
    }
    moved = task.queue != changed.queue
    tx.emit(
        kind,
        changed,
        was=task.status.value,
        old_queue=task.queue if moved else None,
        changes=told,
        data=data,
        attempt=attempt,
    )
    if not _PLACE.isdisjoint(fields):
        if task.labels != changed.labels:
            write_labels(tx, changed)
        else:
            follow_labels(tx, changed)
    return changed


def place(task: Task, now: int, **new: Any) -> dict[str, Any]:
    """The fields that put a task where it waits: queued, scheduled or blocked."""
    terms = {"blockers": task.blockers, "hold_reason": task.hold_reason, "run_at": task.run_at} | new
    status = waiting_status(**terms, now=now)
    queued_at = now if status is Status.QUEUED and task.status is not Status.QUEUED else task.queued_at
    return {"status": status, "queued_at": queued_at}


def write_labels(tx: Tx, task: Task) -> None:
    """Write the label table anew for one task."""
    tx.all("tasks.drop_labels", task_id=task.id)
    add_labels(tx, [task])


def add_labels(tx: Tx, tasks: list[Task]) -> None:
    """The label rows of tasks that have none yet."""
    rows = [{"label": label} | _claim_place(task) for task in tasks for label in task.labels]
    if rows:
        tx.many("tasks.add_label", rows)


def follow_labels(tx: Tx, *tasks: Task) -> None:
    """Bring the label table in step after tasks changed their place in the queue."""
    rows = [_claim_place(task) for task in tasks if task.labels]
    if rows:
        tx.many("tasks.follow_labels", rows)


def encoded(value: Any) -> str | None:
    """JSON text as it is stored: nothing for an empty value."""
    return _json(value).decode() if value is not None and value != [] else None


def _claim_place(task: Task) -> dict[str, Any]:
    """Where a task stands in the order of claims, as its label rows repeat it."""
    return {
        "task_id": task.id,
        "queue": task.queue,
        "priority": task.priority,
        "run_at": task.run_at,
        "queued": int(task.status is Status.QUEUED),
    }


def _stored(name: str, value: Any) -> Any:
    if name in _ENCODED:
        return encoded(value)
    return int(value) if isinstance(value, bool) else value
