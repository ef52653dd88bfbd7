"""Tasks: made, read, changed, held, called off, reopened. Who has one: leases.py; how one ends: outcomes.py."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from shoal.errors import BadInput, Duplicate, Refused, WrongStatus
from shoal.model.content import ContentKind
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name, TaskRef, Text
from shoal.model.page import Page, position, positions
from shoal.model.repository import check_repositories
from shoal.model.task import (
    LIVE,
    NewTask,
    Status,
    Task,
    TaskChanges,
    UpdatedTask,
    priority_of,
    waiting_status,
)
from shoal.services import dependencies
from shoal.services.changes import add_labels, change, encoded, follow_labels, place, require
from shoal.services.refs import get_task, lock_task, task_number
from shoal.services.transaction import Tx
from shoal.services.verb import Call, verb
from shoal.store.database import Row

NEWEST = 2**63 - 1
_json = msgspec.json.Encoder().encode
# A path such as GET /tasks/ready must not hide a task.
RESERVED_NAMES = frozenset({"ready", "graph", "export", "search"})


def _joins(new: NewTask) -> tuple[()] | None:
    return None if new.depends_on or new.parent is not None else ()


def create_each(tx: Tx, calls: list[Call]) -> Callable[[], list[Task]]:
    """Several creates by one statement, where that is faster. Refused as a whole when one meets a taken name."""
    rows = [_row(tx, call.input, 0, call.actor) for call in calls]
    inserted: Callable[[], Iterable[Row]]
    if tx.store.round_trips:
        inserted = tx.later("tasks.insert_many", rows=_json(rows).decode(), now=tx.now)
    else:
        inserted = partial(chain.from_iterable, tx.many("tasks.insert", rows))

    def created() -> list[Task]:
        tasks = sorted(map(tx.task, inserted()), key=lambda task: task.id)
        if len(tasks) != len(rows):
            raise Refused("a unique name is taken; each by itself finds out which")
        for task, call in zip(tasks, calls, strict=True):
            assert task.title == call.input.title  # noqa: S101 - rows are numbered in the order of the array
            tx.emit(Kind.TASK_CREATED, task, data=_told(tx, task, call.input, call.actor), actor=call.actor)
        add_labels(tx, [task for task in tasks if task.labels])
        return tasks

    return created


@verb("POST /tasks", status=201, joins=_joins, joined=create_each)
def create(tx: Tx, new: NewTask) -> Task:
    """Add a task to the ledger.

    It is queued, or scheduled when `run_at` lies ahead, or blocked while it depends on unfinished tasks or is held.
    The same `request_id` again answers with the first task, and a `unique_key` with the live task that has it;
    nothing is made then. Raises Duplicate when a slug or external key is taken.
    """
    [(task, _)] = insert(tx, [new])
    return task


@verb("POST /tasks/batch", status=201)
def create_many(
    tx: Tx, *, tasks: Annotated[list[NewTask], Meta(max_length=10_000)], request_id: Name | None = None
) -> list[Task]:
    """Add many tasks in one transaction: all of them, or none when one is refused.

    A task may depend on, or have for parent, an earlier one of the same list by its slug or external key.
    The same `request_id` again answers with the first tasks.
    """
    if request_id is not None:
        tasks = [
            msgspec.structs.replace(new, request_id=_request_id(request_id, index)) for index, new in enumerate(tasks)
        ]
    made: list[Task] = []
    batch: list[NewTask] = []
    for new in tasks:
        if batch and (new.depends_on or new.parent is not None):
            made += [task for task, _ in insert(tx, batch)]
            batch = []
        batch.append(new)
    if batch:
        made += [task for task, _ in insert(tx, batch)]
    return made


@verb("GET /tasks/{task}")
def get(tx: Tx, *, task: TaskRef) -> Task:
    """One task, whole."""
    return get_task(tx, task)


@verb("GET /tasks")
def list_(
    tx: Tx,
    *,
    status: Status | None = None,
    type: Name | None = None,
    queue: Name | None = None,
    label: Name | None = None,
    assignee: Name | None = None,
    parent: TaskRef | None = None,
    text: Annotated[Name | None, Meta(description="Part of the title; case does not matter.")] = None,
    order: Annotated[
        Literal["newest", "claim"], Meta(description="newest first, or the order in which a queue is claimed")
    ] = "newest",
    cursor: Annotated[Name | None, Meta(description="Where the page begins: `next` of the page before.")] = None,
    limit: Limit = 50,
) -> Page[Task]:
    """A page of tasks, newest first or as they would be claimed; stable while tasks come and go."""
    filters: dict[str, Any] = {"type": type, "label": label, "assignee": assignee}
    if parent is not None:
        filters["parent"] = task_number(tx, parent)
    if text is not None:
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        filters["text"] = f"%{escaped}%"
    if order == "claim":
        if status not in {None, Status.QUEUED}:
            raise BadInput("only queued tasks have an order of claim; leave status out", field="status")
        if cursor:
            filters |= dict(zip(("after_priority", "after_run_at", "after_id"), positions(cursor, 3), strict=True))
        filters |= {"queue": queue or "default"}
    else:
        filters |= {"status": status and status.value, "queue": queue}
        filters["before"] = position(cursor) if cursor else NEWEST
    given = {name: value for name, value in filters.items() if value is not None}
    rows = tx.all("tasks.newest" if order == "newest" else "tasks.in_claim_order", limit=limit + 1, **given)
    page = [tx.task(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(page)
    last = page[-1]
    return Page(page, next=str(last.id) if order == "newest" else f"{last.priority}.{last.run_at}.{last.id}")


@verb("PATCH /tasks/{task}", repeatable=True)
def update(tx: Tx, changes: TaskChanges, *, task: TaskRef) -> UpdatedTask:
    """Change fields of a task; what is left out stays, null clears.

    A new `run_at` moves a waiting task between scheduled and queued. The answer names what was `updated`.
    """
    found = lock_task(tx, task)
    given = {name: value for name in changes.__struct_fields__ if (value := getattr(changes, name)) is not UNSET}
    fields = _checked_changes(tx, found, given)
    fields = {name: value for name, value in fields.items() if value != getattr(found, name)}
    if not fields:
        return _updated(found, [])
    _check_reach(tx, found, fields)
    updated = sorted(fields)
    if "run_at" in fields and found.status in {Status.QUEUED, Status.SCHEDULED}:
        fields |= place(found, tx.now, run_at=fields["run_at"])
    attempt = found.attempt if found.status is Status.ACTIVE else None  # during which it was changed, by whomever
    return _updated(change(tx, found, Kind.TASK_UPDATED, fields, attempt=attempt), updated)


@verb("POST /tasks/{task}/cancel", repeatable=True)
def cancel(tx: Tx, *, task: TaskRef, reason: Text | None = None) -> Task:
    """Call a task off, whatever it is doing. Its worker hears of it at the next beat; repeating it changes nothing."""
    found = lock_task(tx, task)
    if found.status is Status.CANCELLED:
        return found
    require(found, "cancel", f"`shoal reopen {found.task_id}` puts it back to work")
    fields = {"status": Status.CANCELLED, "completed_at": tx.now, "leased_until": None}
    return change(tx, found, Kind.TASK_CANCELLED, fields, data={"reason": reason} if reason else None)


@verb("POST /tasks/{task}/hold")
def hold(tx: Tx, *, task: TaskRef, reason: Annotated[Text, Meta(min_length=1)]) -> Task:
    """Keep a waiting task from being claimed, for a reason, until `unhold`."""
    found = lock_task(tx, task)
    require(found, "hold", f"release or cancel {found.task_id} first")
    fields = {"status": Status.BLOCKED, "hold_reason": reason}
    return change(tx, found, Kind.TASK_HELD, fields)


@verb("POST /tasks/{task}/unhold")
def unhold(tx: Tx, *, task: TaskRef) -> Task:
    """Lift a hold; the task goes on waiting for whatever else it waits for."""
    found = lock_task(tx, task)
    if found.hold_reason is None:
        raise WrongStatus(f"{found.task_id} is not held", field="task")
    fields = {"hold_reason": None}
    if found.status is Status.BLOCKED:
        fields |= place(found, tx.now, hold_reason=None)
    return change(tx, found, Kind.TASK_UNHELD, fields)


@verb("POST /tasks/{task}/reopen")
def reopen(tx: Tx, *, task: TaskRef, reason: Text | None = None) -> Task:
    """Put a finished task back to work with all its attempts before it.

    Tasks that it unblocked when it completed stay unblocked.
    """
    found = lock_task(tx, task)
    require(found, "reopen")
    if found.unique_key is not None:
        row = tx.one("tasks.by_unique_key", unique_key=found.unique_key)
        if row is not None:
            raise Duplicate(
                f"{tx.task(row).task_id} is live with the same unique_key; finish it first", field="unique_key"
            )
    fields = {"failures": 0, "releases": 0, "completed_at": None, "worker": None, "last_error": None}
    fields |= place(found, tx.now)
    data = {"reason": reason} if reason else {}
    if tx.has_vault and tx.vault.archived(found.task_id) is not None:
        data["content"] = tx.lay_down(found.id, ContentKind.RESTORE)
    return change(tx, found, Kind.TASK_REOPENED, fields, data=data or None)


def make_due(tx: Tx, *, limit: int = 500) -> list[Task]:
    """Queue the scheduled tasks whose time has come."""
    due = [tx.task(row) for row in tx.all("tasks.due", now=tx.now, limit=limit)]
    for task in due:
        tx.emit(Kind.TASK_DUE, task, was=Status.SCHEDULED)
    follow_labels(tx, *due)
    return due


def insert(tx: Tx, batch: list[NewTask]) -> list[tuple[Task, bool]]:
    """Insert tasks; each with whether it is new. One that exists under its request_id or unique_key is answered."""
    if tx.store.round_trips and len(batch) > 1 and not any(map(_may_be_there, batch)):
        return [(task, True) for task in create_each(tx, [Call(tx.actor, new) for new in batch])()]
    waits = [_lean_on(tx, new) if new.depends_on else ([], 0) for new in batch]
    rows = [_row(tx, new, open_blockers, tx.actor) for new, (_, open_blockers) in zip(batch, waits, strict=True)]
    answers: list[tuple[Task, bool]] = []
    labelled: list[Task] = []
    for new, (blockers, _), inserted in zip(batch, waits, tx.many("tasks.insert", rows), strict=True):
        if not inserted:
            answers.append((_existing(tx, new), False))
            dependencies.lean_off(tx, blockers)
            continue
        task = tx.task(inserted[0])
        answers.append((task, True))
        tx.emit(Kind.TASK_CREATED, task, data=_told(tx, task, new, tx.actor))
        if task.labels:
            labelled.append(task)
        if blockers:
            dependencies.attach(tx, task, blockers)
    if labelled:
        add_labels(tx, labelled)
    return answers


def _told(tx: Tx, task: Task, new: NewTask, actor: str) -> dict[str, str]:
    if new.body is None:
        return {"title": task.title}
    return {"title": task.title, "content": tx.lay_down(task.id, ContentKind.BODY, new.body, actor=actor, base="")}


def by_numbers(tx: Tx, numbers: list[int]) -> list[Task]:
    """The tasks with these numbers, as far as there are any."""
    rows = tx.many("tasks.get", [{"id": number} for number in numbers])
    return [tx.task(row[0]) for row in rows if row]


def after(tx: Tx, number: int, limit: int) -> list[Task]:
    """The next tasks in the order of their numbers."""
    return [tx.task(row) for row in tx.all("tasks.after", after=number, limit=limit)]


def named(tx: Tx, names: list[str]) -> list[Task]:
    """The tasks that have one of these slugs or external keys."""
    found = tx.many("tasks.find", [{"name": name} for name in names])
    return by_numbers(tx, [rows[0][0] for rows in found if len(rows) == 1])


def _may_be_there(new: NewTask) -> bool:
    """Whether an insert of it may find it there already, or has more to do than one row."""
    names = (new.request_id, new.unique_key, new.slug, new.external_key)
    return bool(new.depends_on) or any(name is not None for name in names)


def _lean_on(tx: Tx, new: NewTask) -> tuple[list[int], int]:
    """The numbers of what a new task depends on, and how many of them are still open."""
    blockers = list(dict.fromkeys(task_number(tx, ref) for ref in new.depends_on))
    return blockers, len(dependencies.lean_on(tx, blockers))


def _row(tx: Tx, new: NewTask, blockers: int, actor: str) -> dict[str, Any]:
    run_at = tx.now if new.run_at is None else new.run_at
    status = waiting_status(blockers=blockers, hold_reason=new.hold_reason, run_at=run_at, now=tx.now)
    for name in (new.slug, new.external_key):
        if name is not None:
            check_name(tx, name)
    check_repositories(new.repos)
    return {
        "title": new.title,
        "type": new.type,
        "status": status.value,
        "priority": priority_of(new.priority),
        "queue": new.queue,
        "labels": encoded(list(dict.fromkeys(new.labels))) if new.labels else None,
        "parent": None if new.parent is None else get_task(tx, new.parent).id,
        "assignee": new.assignee,
        "created_by": actor,
        "repos": encoded(new.repos) if new.repos else None,
        "model": new.model,
        "workflow": new.workflow,
        "estimate_minutes": new.estimate_minutes,
        "deadline": new.deadline,
        "requires_qa": int(new.requires_qa),
        "max_attempts": new.max_attempts,
        "timeout_seconds": new.timeout_seconds,
        "run_at": run_at,
        "unique_key": new.unique_key,
        "success_criteria": encoded(new.success_criteria) if new.success_criteria else None,
        "slug": new.slug,
        "external_key": new.external_key,
        "discord_thread_id": new.discord_thread_id,
        "hold_reason": new.hold_reason,
        "blockers": blockers,
        "request_id": new.request_id,
        "now": tx.now,
        "queued_at": tx.now if status is Status.QUEUED else None,
    }


def _existing(tx: Tx, new: NewTask) -> Task:
    """The task that stood in the way of an insert, when that is an answer."""
    if new.request_id is not None:
        row = tx.one("tasks.by_request", request_id=new.request_id)
        if row is not None:
            return tx.task(row)
    if new.unique_key is not None:
        row = tx.one("tasks.by_unique_key", unique_key=new.unique_key)
        if row is not None:
            return tx.task(row)
    for field, name in (("slug", new.slug), ("external_key", new.external_key)):
        for id, slug, external_key in tx.all("tasks.find", name=name) if name is not None else []:
            if name == (slug if field == "slug" else external_key):
                raise Duplicate(f"{tx.shown(id)} has the {field} {name!r} already; choose another one", field=field)
    raise Refused("another task took one of these unique names at the same moment; try again")


def check_name(tx: Tx, name: str) -> None:
    """Refuse a slug or external key that would be read as a number or a route."""
    prefix = tx.identity.prefix.lower()
    lowered = name.lower()
    if lowered in RESERVED_NAMES or (lowered.startswith(prefix) and lowered[len(prefix) :].isdigit()):
        raise BadInput(f"{name!r} cannot name a task: it would be read as something else", field="slug")


def _checked_changes(tx: Tx, task: Task, given: dict[str, Any]) -> dict[str, Any]:
    fields = dict(given)
    if "priority" in fields:
        fields["priority"] = priority_of(fields["priority"])
    if "labels" in fields:
        fields["labels"] = list(dict.fromkeys(fields["labels"]))
    for name in ("slug", "external_key"):
        if fields.get(name) is not None:
            check_name(tx, fields[name])
    check_repositories(fields.get("repos", []))
    if fields.get("parent") is not None:
        fields["parent"] = dependencies.checked_parent(tx, task, fields["parent"])
    if "queue" in fields and task.status not in LIVE:
        raise WrongStatus(f"{task.task_id} is {task.status.value}; its queue no longer matters", field="queue")
    return fields


def _check_reach(tx: Tx, task: Task, fields: dict[str, Any]) -> None:
    """Refuse what could let an attempt at work have tokens for more than it began with."""
    broker = tx.settings.broker
    if task.status is not Status.ACTIVE or broker.app_id is None:
        return
    more = sorted(set(fields.get("repos", [])) - set(task.repos))
    field = "repos" if more else "type" if broker.types and "type" in fields else None
    if field is not None:
        raise WrongStatus(
            f"{task.task_id} is active, and by its {field} attempt {task.attempt} gets its tokens; "
            f"`shoal release {task.task_id}` first, then change it",
            field=field,
        )


def _updated(task: Task, updated: list[str]) -> UpdatedTask:
    return UpdatedTask(**{name: getattr(task, name) for name in task.__struct_fields__}, updated=updated)


def _request_id(of_batch: str, index: int) -> str:
    return hashlib.sha256(f"{of_batch}#{index}".encode()).hexdigest()
