"""Leases: who has a task, until when. How an attempt ends well: outcomes.py; badly: failures.py.

The fence is (task, attempt): every write of a worker names it, and a stale one finds no row and gets LeaseLost.
A lease that has run out still counts until someone takes the task back; after that nothing revives it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta, Struct

from shoal.errors import LeaseLost
from shoal.model.content import ContentKind
from shoal.model.event import Kind
from shoal.model.fields import Delay, Name, Percent, Positive, Seconds, TaskRef, Text
from shoal.model.task import Claim, ClaimOutcome, ClaimResult, Status, Task
from shoal.services import failures, queues, said, tasks
from shoal.services.changes import change, follow_labels, place
from shoal.services.refs import get_task, lock_task, task_number, unknown
from shoal.services.transaction import Tx
from shoal.services.verb import Call, verb

EXPIRED_PER_LOOK = 500
STOP_SECONDS = 60  # for a worker to end a session over its limits in good order
_json = msgspec.json.Encoder().encode
LEASE_LOST_HINT = "stop this work, nothing was written"


class Beat(Struct, frozen=True):
    """What became of a worker's leases: `held` maps task ids to the attempt; the rest must be stopped."""

    held: dict[str, int]
    lost: list[str]
    leased_until: int | None


def _joins(given: dict[str, Any]) -> tuple[str, str | None] | None:
    if given["limit"] > 1 or given["task"] is not None or given["label"] is not None:
        return None
    return given["queue"], given["type"]


def claim_each(tx: Tx, calls: list[Call]) -> Callable[[], list[ClaimOutcome]]:
    """Several claims of one task each from the same queue, by one statement; first come, first served."""
    first = calls[0].input
    claimers = [{"place": place} | _terms(tx, call.input, call.actor) for place, call in enumerate(calls, start=1)]
    filters = {} if first["type"] is None else {"type": first["type"]}
    rows = tx.later(
        "leases.claim_each",
        queue=first["queue"],
        limit=len(calls),
        rows=_json(claimers).decode(),
        now=tx.now,
        **filters,
    )

    def outcomes() -> list[ClaimOutcome]:
        taken = sorted(map(tx.task, rows()), key=_claim_order)
        for task, call in zip(taken, calls, strict=False):
            _tell(tx, task, actor=call.actor)
        follow_labels(tx, *taken)
        claimed = [ClaimOutcome(ClaimResult.CLAIMED, [_claimed(tx, task)]) for task in taken]
        # Those who got nothing look again one by one: the queue may be limited, or something may have come due.
        return claimed + [claim(tx.acting_as(call.actor), **call.input) for call in calls[len(taken) :]]

    return outcomes


@verb("POST /tasks/claim", joins=_joins, joined=claim_each)
def claim(
    tx: Tx,
    *,
    worker: Name,
    agent: Annotated[Name | None, Meta(description="Who does the work; the actor when left out.")] = None,
    queue: Name = "default",
    type: Name | None = None,
    label: Name | None = None,
    task: Annotated[TaskRef | None, Meta(description="One task by name, in place of the next of the queue.")] = None,
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1,
    lease_seconds: Seconds | None = None,
) -> ClaimOutcome:
    """Take the next tasks of a queue, or one named task. Exactly one worker wins each.

    The outcome is a value: `claimed`, `none` with a reason, or `held` with the time after which to ask again. A lease
    lasts `lease_seconds` (the setting, when left out) and is renewed by `beat`.
    """
    terms = _terms(tx, {"worker": worker, "agent": agent, "lease_seconds": lease_seconds}, tx.actor)
    if task is not None:
        return _claim_named(tx, task, terms)
    filters = {name: value for name, value in (("type", type), ("label", label)) if value is not None}
    taken = _take(tx, queue, filters, limit, terms)
    if not taken:
        # Nobody else may be running the reaper, so an idle claimer does.
        if make_ready(tx):
            taken = _take(tx, queue, filters, limit, terms)
        if not taken:
            return _nothing(tx, queue)
    return ClaimOutcome(ClaimResult.CLAIMED, [_claimed(tx, one) for one in taken])


@verb("POST /tasks/beat", repeatable=True)
def beat(
    tx: Tx,
    *,
    worker: Name,
    tasks: Annotated[
        dict[str, Positive],
        Meta(max_length=10_000, description="What the worker believes to hold: task id to attempt."),
    ] = {},  # noqa: B006 - never written to
    lease_seconds: Seconds | None = None,
) -> Beat:
    """Renew all leases of a worker in one call.

    `lost` names those of `tasks` that it no longer has, because they were cancelled, taken back or finished: the
    worker must stop them. An attempt whose session is over a limit and was told so a minute ago fails here for good.
    """
    leased_until = tx.now + 1000 * (lease_seconds or tx.settings.lease_seconds)
    overrun = tx.later("leases.overrun", worker=worker, before=tx.now - 1000 * STOP_SECONDS)
    renewed = tx.all("leases.beat", worker=worker, leased_until=leased_until)
    ended = {id for id, *session in overrun() if _end_overrun(tx, id, *session)}
    kept = [row for row in renewed if row[0] not in ended]
    held = {tx.shown(id): attempt for id, attempt, _ in kept}
    lost = [task for task, attempt in tasks.items() if held.get(task) != attempt]
    return Beat(held, lost, min((until for *_, until in kept), default=None))


@verb("POST /tasks/{task}/start", repeatable=True)
def start(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    report: said.Report | None = None,
    again: said.Again = False,
) -> Task:
    """Say that an attempt begins its work."""
    number = task_number(tx, task)
    row = tx.one("leases.start", id=number, attempt=attempt, now=tx.now)
    if row is None:
        lost(tx, number, attempt)
    started = tx.task(row)
    if not said.before(tx, number, Kind.TASK_STARTED, report, again=again):
        tx.emit(Kind.TASK_STARTED, started, was=started.status, attempt=attempt, data=said.told(report) or None)
    return started


@verb("POST /tasks/{task}/progress", repeatable=True)
def progress(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    progress: Percent | None = None,
    message: Text | None = None,
    report: said.Report | None = None,
    again: said.Again = False,
) -> Task:
    """Report how far an attempt is."""
    number = task_number(tx, task)
    row = tx.one("leases.progress", id=number, attempt=attempt, progress=progress, message=message, now=tx.now)
    if row is None:
        lost(tx, number, attempt)
    found = tx.task(row)
    if said.before(tx, number, Kind.TASK_PROGRESSED, report, again=again):
        return found
    data: dict[str, Any] = {
        name: value for name, value in (("progress", progress), ("message", message)) if value is not None
    }
    if tx.has_vault:
        data["content"] = tx.lay_down(number, ContentKind.PROGRESS, value=dict(data), attempt=attempt)
    tx.emit(Kind.TASK_PROGRESSED, found, was=found.status, attempt=attempt, data=data | said.told(report))
    return found


@verb("POST /tasks/{task}/release")
def release(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive | None = None,
    delay_seconds: Delay = 0,
    reason: Text | None = None,
) -> Task:
    """Give a task back; the attempt does not count against it. Without `attempt` a person takes it from its worker.

    After many releases in a row (setting release_limit) one counts as a failure, so that nothing goes round for ever.
    """
    found = lock_task(tx, task)
    held(tx, found, attempt)
    run_at = max(found.run_at, tx.now + 1000 * delay_seconds) if delay_seconds else found.run_at
    data = {"reason": reason} if reason else None
    kind = Kind.TASK_RELEASED
    if found.releases + 1 > tx.settings.release_limit:
        error = "released too many times in a row"
        return failures.end_badly(tx, found, error, attempt=found.attempt, run_at=run_at, again=kind, told=data)
    fields: dict[str, Any] = {"worker": None, "leased_until": None, "releases": found.releases + 1, "run_at": run_at}
    return change(tx, found, kind, fields | place(found, tx.now, run_at=run_at), data=data, attempt=found.attempt)


def make_ready(tx: Tx) -> int:
    """Queue what has come due and take back what was lost; how many tasks moved."""
    return len(tasks.make_due(tx)) + len(expire(tx))


def expire(tx: Tx) -> list[Task]:
    """Take back the tasks whose lease ended without a word: queued again, or failed after the last attempt."""
    taken_back = [tx.task(row) for row in tx.all("leases.expire", now=tx.now, limit=EXPIRED_PER_LOOK)]
    for task in taken_back:
        tx.emit(Kind.TASK_EXPIRED, task, was=Status.ACTIVE, attempt=task.attempt, data={"error": task.last_error})
    follow_labels(tx, *taken_back)
    return taken_back


def held(tx: Tx, task: Task, attempt: int | None) -> None:
    """Refuse when the attempt, or any at all when None, does not hold the task."""
    if task.status is not Status.ACTIVE or (attempt is not None and task.attempt != attempt):
        lost(tx, task.id, attempt)


def lost(tx: Tx, number: int, attempt: int | None) -> NoReturn:
    """Say why a write of an attempt found no row."""
    row = tx.one("tasks.get", id=number)
    if row is None:
        raise unknown(tx.shown(number))
    task = tx.task(row)
    if attempt is None:
        state = f"is {task.status.value}; nobody has it"
    elif task.status is not Status.ACTIVE:
        state = f"is {task.status.value}; attempt {attempt} no longer has it"
    else:
        state = f"is held by {task.worker} in attempt {task.attempt}, not {attempt}"
    raise LeaseLost(f"{task.task_id} {state}: {LEASE_LOST_HINT}", field="attempt" if attempt else "task")


def _end_overrun(tx: Tx, number: int, attempt: int, session: int, stop: str) -> bool:
    """Fail an attempt for good whose worker went on after its session had to stop; whether it still had the task."""
    task = lock_task(tx, number)
    if task.status is not Status.ACTIVE or task.attempt != attempt:
        return False
    error = f"{stop} in session {session}, and its worker went on"
    failures.end_badly(tx, task, error, attempt=attempt, permanent=True)
    return True


def _terms(tx: Tx, given: dict[str, Any], actor: str) -> dict[str, Any]:
    leased_until = tx.now + 1000 * (given["lease_seconds"] or tx.settings.lease_seconds)
    return {"worker": given["worker"], "agent": given["agent"] or actor, "leased_until": leased_until, "now": tx.now}


def _claim_order(task: Task) -> tuple[int, int, int]:
    return task.priority, task.run_at, task.id


def _take(tx: Tx, queue: str, filters: dict[str, Any], limit: int, terms: dict[str, Any]) -> list[Task]:
    query = "leases.claim_labelled" if "label" in filters else "leases.claim"
    rows = tx.all(query, queue=queue, limit=limit, **filters, **terms)
    if not rows:
        rows = _take_limited(tx, queue, filters, limit, terms)
    taken = [tx.task(row) for row in rows]
    if len(taken) > 1:  # no database promises the order of RETURNING
        taken.sort(key=_claim_order)
    for task in taken:
        _tell(tx, task)
    follow_labels(tx, *taken)
    return taken


def _take_limited(
    tx: Tx, queue: str, filters: dict[str, Any], limit: int, terms: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """From a queue with a limit, one claimer at a time: the lock on its row orders them."""
    row = tx.one("queues.lock", name=queue)
    if row is None or row[3] is None:
        return []
    rows: list[tuple[Any, ...]] = []
    for (id,) in tx.all("leases.candidates", queue=queue, limit=limit, **filters):
        taken = tx.all("leases.claim_one", id=id, **terms)
        if not taken and queues.room(tx, queue) == 0:
            break
        rows += taken
    return rows


def _claim_named(tx: Tx, ref: str | int, terms: dict[str, Any]) -> ClaimOutcome:
    found = get_task(tx, ref)
    if found.status is Status.SCHEDULED and found.run_at <= tx.now:
        tasks.make_due(tx)
    tx.one("queues.lock", name=found.queue)
    row = tx.one("leases.claim_one", id=found.id, **terms)
    if row is not None:
        taken = tx.task(row)
        _tell(tx, taken)
        follow_labels(tx, taken)
        return ClaimOutcome(ClaimResult.CLAIMED, [_claimed(tx, taken)])
    found = get_task(tx, found.id)
    if found.status is Status.ACTIVE and found.leased_until is not None:
        return ClaimOutcome(
            ClaimResult.HELD,
            reason=f"{found.task_id} is held by {found.worker}",
            retry_after_ms=max(0, found.leased_until - tx.now),
        )
    if found.status is Status.QUEUED:
        return ClaimOutcome(ClaimResult.NONE, reason=f"queue {found.queue} is paused or full")
    reason = f"{found.task_id} is {found.status.value}; `shoal ready --explain {found.task_id}` says why"
    wait = found.run_at - tx.now if found.status is Status.SCHEDULED else None
    return ClaimOutcome(ClaimResult.NONE, reason=reason, retry_after_ms=wait)


def _nothing(tx: Tx, queue: str) -> ClaimOutcome:
    row = tx.one("queues.get", name=queue)
    if row is not None and row[1]:
        return ClaimOutcome(ClaimResult.NONE, reason=f"queue {queue} is paused")
    if row is not None and row[3] is not None and queues.room(tx, queue) == 0:
        return ClaimOutcome(ClaimResult.NONE, reason=f"queue {queue} has its {row[3]} tasks active")
    due = tx.one("tasks.next_due")
    wait = due[0] - tx.now if due and due[0] is not None else None
    return ClaimOutcome(ClaimResult.NONE, reason=f"nothing is ready in queue {queue}", retry_after_ms=wait)


def _tell(tx: Tx, task: Task, actor: str | None = None) -> None:
    data = {"worker": task.worker, "agent": task.assignee, "leased_until": task.leased_until}
    tx.emit(Kind.TASK_CLAIMED, task, was=Status.QUEUED, attempt=task.attempt, data=data, actor=actor)


def _claimed(tx: Tx, task: Task) -> Claim:
    assert task.worker is not None and task.leased_until is not None  # noqa: S101, PT018 - just written
    return Claim(task, task.attempt, task.worker, task.leased_until, tx.identity.task_key(task.id, task.attempt))
