"""The words of lobwife, the service before this one: what its requests ask for, as verbs of this ledger.

It let anybody set a status; here each one is what brings a task there. Its routes: api/lobwife/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from shoal.errors import AmbiguousRef, BadInput, Forbidden, NotFound, Refused, WrongStatus
from shoal.model.event import Event, Kind
from shoal.model.grant import GrantAction, GrantLine, Registration, registration_from_row
from shoal.model.task import FINISHED, LIVE, NewTask, Status, Task, TaskChanges
from shoal.services import leases, outcomes, tasks
from shoal.services.changes import change
from shoal.services.refs import get_task, lock_task, unknown
from shoal.services.transaction import Tx
from shoal.services.verb import bad_input

STATUSES = ("queued", "active", "completed", "failed", "cancelled", "blocked")
BROKER_FIELDS = frozenset({"broker_repos", "broker_status", "token_count", "broker_registered_at"})
MOMENTS = frozenset({"assigned_at", "completed_at"})  # the ledger knows these itself
WORDS = frozenset({"name", "assigned_to", "status", "actor"}) | BROKER_FIELDS | MOMENTS
HOLDER = "lobwife:"  # how the worker of a task is called that was made active by a PATCH
LEASE_SECONDS = 86_400  # such a worker never beats; lobwife gave a task up after a day
ACTIONS = {
    GrantAction.REGISTERED: "task_registered",
    GrantAction.DEREGISTERED: "task_deregistered",
    GrantAction.ISSUED: "token_issued",
    GrantAction.RENEWED: "token_issued",
    GrantAction.REUSED: "token_issued",
}


class Named(Struct, frozen=True):
    """The words that stand beside the fields of a task."""

    name: str | None = None
    assigned_to: str | None = None
    status: str | None = None
    actor: str | None = None


def find(tx: Tx, ref: str) -> Task:
    """The task that a ref means: T-id, number, slug or external key, else its whole name. Raises NotFound."""
    try:
        return get_task(tx, ref)
    except NotFound:
        found = [int(row[0]) for row in tx.all("tasks.titled", title=ref)]
    if not found:
        raise unknown(ref)
    if len(found) > 1:
        shown = ", ".join(tx.shown(number) for number in found)
        raise AmbiguousRef(f"{ref!r} names {shown}; use one of these numbers", field="task")
    return get_task(tx, found[0])


def create(tx: Tx, given: Mapping[str, Any]) -> Task:
    """Make a task from old words; one that is to be active, or over, becomes so at once."""
    words, fields = _parted(given)
    if BROKER_FIELDS & given.keys():
        raise _broker_fields()
    if "title" in given:
        raise BadInput("name is the old word for title; give one of them", field="name")
    if words.name is None:
        raise BadInput("name is required", field="name")
    fields |= {"title": words.name.strip()}
    if words.assigned_to is not None:
        fields["assignee"] = words.assigned_to
    if words.status == "blocked":
        fields.setdefault("hold_reason", "made as blocked")
    tx = _as(tx, words)
    try:
        new = msgspec.convert(fields, NewTask)
    except msgspec.ValidationError as error:
        raise bad_input(error, NewTask) from None
    made = tasks.create(tx, new)
    return made if words.status in (None, "queued", "blocked") else _move(tx, made, words)


def update(tx: Tx, ref: str, given: Mapping[str, Any]) -> tuple[Task, list[str]]:
    """Change a task by old words; the task, and the old names of what was given."""
    if BROKER_FIELDS & given.keys():
        raise _broker_fields()
    words, fields = _parted(given)
    updated = [name for name in given if name != "actor"]
    if not updated:
        raise BadInput("no valid fields to update")
    tx = _as(tx, words)
    if words.name is not None:
        fields["title"] = words.name.strip()
    if "assigned_to" in given:
        fields["assignee"] = words.assigned_to
    try:
        changes = msgspec.convert(fields, TaskChanges)
    except msgspec.ValidationError as error:
        raise bad_input(error, TaskChanges) from None
    task = lock_task(tx, ref)
    tasks.update(tx, changes, task=task.id)
    task = lock_task(tx, task.id)
    return (task if words.status is None else _move(tx, task, words)), updated


def cancel(tx: Tx, ref: str) -> Task:
    """Call a task off. Raises WrongStatus when it is finished."""
    task = lock_task(tx, ref)
    if task.status in FINISHED:
        raise WrongStatus(f"Task {task.task_id} is already {task.status.value}", field="task")
    return tasks.cancel(tx, task=task.id)


def log_event(tx: Tx, ref: str, *, event_type: str, detail: str | None, actor: str | None) -> Task:
    """Write an event of somebody's own kind into the log of a task."""
    task = lock_task(tx, ref)
    said = f"{event_type}: {detail}" if detail else event_type
    told = {"message": said, "event_type": event_type, "detail": detail}
    return change(tx.acting_as(actor) if actor else tx, task, Kind.TASK_COMMENTED, {}, data=told)


def registrations(tx: Tx) -> dict[str, dict[str, Any]]:
    """Every registration that holds, by the task's number."""
    found: dict[str, dict[str, Any]] = {}
    after = 0
    while rows := tx.all("registrations.list", after=after, now=tx.now, limit=1000):
        for row in rows:
            one = registration_from_row(row, tx.identity.prefix)
            found[one.task_id] = {
                "repos": one.repositories,
                "lobster_type": get_task(tx, one.task).type,
                "registered_at": iso(one.registered_at),
                "status": one.status,
                "token_count": one.token_count,
            }
        after = rows[-1][0]
    return found


def task_fields(task: Task) -> dict[str, Any]:
    """The fields of a task under their old names, where these differ."""
    return {
        "name": task.title,
        "assigned_to": task.assignee,
        "assigned_at": None if task.claimed_at is None else iso(task.claimed_at),
    }


def broker_fields(registration: Registration | None) -> dict[str, Any]:
    """What lobwife kept of a registration beside its task."""
    if registration is None:
        return dict.fromkeys(("broker_repos", "broker_status", "broker_registered_at")) | {"token_count": 0}
    return {
        "broker_repos": registration.repositories,
        "broker_status": registration.status,
        "broker_registered_at": iso(registration.registered_at),
        "token_count": registration.token_count,
    }


def event_fields(event: Event) -> dict[str, Any]:
    """An event as lobwife told of it, with what it is here besides."""
    data = event.data
    kind = str(event.kind)
    detail = data.get("detail") if "event_type" in data else data.get("message")
    if detail is None and event.kind == Kind.TASK_UPDATED:
        detail = f"Updated: {', '.join(event.changes)}"
    elif detail is None and "status" in event.changes:
        detail = f"status={event.changes['status'][1]}"
    return {
        "id": event.id,
        "task_id": event.task,
        "event_type": data.get("event_type") or kind.removeprefix("task."),
        "detail": detail,
        "actor": event.actor,
        "created_at": iso(data.get("at") or event.at),
        "kind": kind,
    }


def audit_fields(line: GrantLine, shown: Callable[[int], str]) -> dict[str, Any]:
    """A line of the audit as lobwife told it."""
    return {
        "timestamp": iso(line.at),
        "task_id": shown(line.task) if line.task is not None else line.reference or line.service,
        "repos": line.repositories,
        "action": ACTIONS.get(line.action, f"token_{line.action.value}"),
    }


def counts(tx: Tx) -> tuple[int, int, int, int]:
    """Registrations that hold, tokens that were made, lines of the audit, runs of jobs that are running."""
    row = tx.one("grants.sums", now=tx.now)
    assert row is not None  # noqa: S101 - it has no FROM
    active, issued, lines, running = row
    return int(active), int(issued), int(lines), int(running)


def iso(moment: int) -> str:
    """Milliseconds as lobwife and GitHub write a time."""
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _parted(given: Mapping[str, Any]) -> tuple[Named, dict[str, Any]]:
    """The old words, and the fields that are called the same; what was null was not given."""
    named = {name: value for name, value in given.items() if name in WORDS}
    try:
        words = msgspec.convert(named, Named)
    except msgspec.ValidationError as error:
        raise bad_input(error, Named) from None
    if words.status is not None and words.status not in STATUSES:
        raise BadInput(f"invalid status: {words.status}", field="status")
    return words, {name: value for name, value in given.items() if name not in WORDS and value is not None}


def _as(tx: Tx, words: Named) -> Tx:
    actor = (words.actor or "").strip()[:200]
    return tx.acting_as(actor) if actor and actor.isprintable() else tx


def _broker_fields() -> Forbidden:
    return Forbidden(
        "what a task may have tokens for is not a field of it; register it: POST /api/v1/tasks/{task}/register",
        field="broker_repos",
    )


def _move(tx: Tx, task: Task, words: Named) -> Task:
    """Bring a locked task to the status that the words name, by the verb that leads there."""
    wanted = words.status
    if wanted == task.status.value or (wanted == "queued" and task.status is Status.SCHEDULED):
        return task
    if wanted == "cancelled":
        return tasks.cancel(tx, task=task.id)
    if task.status is Status.REVIEW:
        raise WrongStatus(f"{task.task_id} awaits a verdict: `shoal review {task.task_id}`", field="status")
    if task.status is Status.ACTIVE and not (task.worker or "").startswith(HOLDER):
        raise WrongStatus(
            f"{task.task_id} is held by {task.worker} in attempt {task.attempt}, and its worker says how that ends; "
            f"`shoal release {task.task_id}` takes it back",
            field="status",
        )
    attempt = task.attempt if task.status is Status.ACTIVE else None
    if wanted == "completed":
        return outcomes.complete(tx, task=task.id, attempt=attempt)
    if wanted == "failed":
        return outcomes.fail(tx, task=task.id, error="said to have failed", attempt=attempt, permanent=True)
    waiting = _back(tx, task)
    if wanted == "blocked":
        return tasks.hold(tx, task=task.id, reason="said to be blocked")
    if wanted == "queued":
        if waiting.status is Status.BLOCKED:
            raise Refused(f"{task.task_id} waits for {waiting.blockers} other tasks", field="status")
        return waiting
    who = words.assigned_to or task.assignee or tx.actor
    outcome = leases.claim(tx, worker=f"{HOLDER}{who}"[:200], agent=who, task=task.id, lease_seconds=LEASE_SECONDS)
    if not outcome.claims:
        raise Refused(outcome.reason or f"{task.task_id} cannot be active now", field="status")
    return outcome.claims[0].task


def _back(tx: Tx, task: Task) -> Task:
    """A task among those that wait, without a hold."""
    if task.status is Status.ACTIVE:
        task = leases.release(tx, task=task.id, attempt=task.attempt)
    elif task.status not in LIVE:
        task = tasks.reopen(tx, task=task.id)
    return tasks.unhold(tx, task=task.id) if task.hold_reason is not None else task
