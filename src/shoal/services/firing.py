"""Firing: when the slot of a job has come, its run is made. Which slots there are: slots.py; what runs do: runs.py.

There is no leader. Any number of servers look; moving a job to its next slot is a compare-and-set, and whoever does it
makes the runs in the same transaction. A slot that was entered is never entered again, whatever a clock does.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from msgspec import Struct

from shoal.errors import BadInput, ShoalError
from shoal.model.event import Kind
from shoal.model.job import CatchUp, Cause, Job, Overlap, Run, RunStatus, Template, job_from_row
from shoal.model.task import NewTask
from shoal.services import runs, tasks
from shoal.services.slots import Timetable, choose, timetable
from shoal.services.transaction import Tx

FIRED_PER_LOOK = 100


class Fired(Struct, frozen=True):
    """How many jobs went on to their next slot, how many runs that made, and which jobs cannot be read here."""

    jobs: int
    runs: int
    problems: list[str]


class Agenda(Struct, frozen=True):
    """Whether slots and waiting runs are due, and when the next of them will be; None for never."""

    slots: bool
    runs: bool
    next_at: int | None


def agenda(tx: Tx) -> Agenda:
    """What there is to do now, and when again."""
    row = tx.one("jobs.agenda", now=tx.now)
    assert row is not None  # noqa: S101 - it has no FROM
    slot, run, later = row
    slots = slot is not None and slot <= tx.now
    coming = [moment for moment in (None if slots else slot, later) if moment is not None]
    return Agenda(slots, run is not None and run <= tx.now, min(coming, default=None))


def fire(tx: Tx, *, limit: int = FIRED_PER_LOOK) -> Fired:
    """Make the runs of jobs whose slot has come, of so many jobs at most."""
    jobs, made, problems = 0, 0, []
    for row in tx.all("jobs.due", now=tx.now, limit=limit):
        job = job_from_row(row)
        try:
            plan = timetable(job.definition.schedule, job.definition.timezone)
        except BadInput as error:  # a machine that does not know the timezone leaves it to the others
            problems.append(f"job {job.definition.name}: {error.message}")
            continue
        entered = _fire(tx, job, plan)
        if entered is not None:
            jobs, made = jobs + 1, made + entered
    return Fired(jobs, made, problems)


def enter(tx: Tx, job: Job, slot: int, cause: Cause, *, under_way: list[Run]) -> Run | None:
    """Make the run of a slot as the job's overlap has it: beside those under way, in their place, or skipped.

    A template makes its task at once. None when the slot has its run already. The job must be locked.
    """
    name, definition = job.definition.name, job.definition
    if under_way and definition.overlap is Overlap.FORBID:
        first = under_way[0]
        reason = f"{first.run_id} is {first.status.value}"
        return runs.insert(tx, name, slot=slot, cause=cause, status=RunStatus.SKIPPED, reason=reason)
    if definition.overlap is Overlap.REPLACE:
        for other in under_way:
            runs.stop(tx, other, reason="replaced by a later slot")
    if isinstance(definition.action, Template):
        return _make_task(tx, job, definition.action, slot, cause)
    due_at = min(slot, tx.now)
    if cause is Cause.SCHEDULE:
        due_at = slot + jitter_ms(name, slot, definition.jitter_seconds)
    return runs.insert(tx, name, slot=slot, cause=cause, due_at=due_at)


def slot_of(tx: Tx, job: str, cause: Cause) -> int:
    """The slot of a run that is made now, and not by the clock; no other has it. The job must be locked."""
    row = tx.one("runs.last_caused", job=job, cause=cause.value, slot=tx.now)
    return tx.now if row is None or row[0] is None else int(row[0]) + 1


def jitter_ms(job: str, slot: int, jitter_seconds: int) -> int:
    """How much later a slot begins; the same wherever it is asked."""
    return zlib.crc32(f"{job} {slot}".encode()) % (1000 * jitter_seconds) if jitter_seconds else 0


def filled(job: Job | str, template: Template, slot: int, cause: Cause = Cause.SCHEDULE) -> NewTask:
    """The task that a template makes for a slot. Raises BadInput when it cannot be one."""
    from datetime import UTC, datetime

    name = job if isinstance(job, str) else job.definition.name
    words = {"{job}": name, "{slot}": datetime.fromtimestamp(slot / 1000, UTC).isoformat(timespec="seconds")}
    given: dict[str, Any] = msgspec.to_builtins(template.task)
    for field in ("title", "body"):
        for word, text in words.items():
            given[field] = given[field] and given[field].replace(word, text)
    kind = "" if cause in (Cause.SCHEDULE, Cause.CATCH_UP) else f"{cause.value}:"
    given["request_id"] = f"job:{kind}{slot}:{name}"
    try:
        return msgspec.convert(given, NewTask)
    except msgspec.ValidationError as error:
        raise BadInput(f"action.task: {error}", field="action") from None


def _fire(tx: Tx, job: Job, plan: Timetable) -> int | None:
    """Enter all slots of a job that are due; how many runs that made, None when another server was first."""
    definition, seen = job.definition, job.next_fire_at
    assert seen is not None  # noqa: S101 - it is due
    due = plan.due(seen, tx.now)
    if tx.one("jobs.advance", id=job.id, seen=seen, next=due.next, slot=due.slots[-1]) is None:
        return None
    choice = choose(due, now=tx.now, catch_up=definition.catch_up, grace_ms=1000 * definition.grace_seconds)
    if choice.missed is not None:
        missed = choice.missed
        told = {"job": definition.name, "count": missed.count, "from": missed.first, "to": missed.last}
        tx.emit(Kind.JOB_MISSED, data=told)
    before = runs.under_way(tx, definition.name)
    made = 0
    for slot in choice.made_up:
        # All that was missed is wanted, so none of it is skipped: it waits for its turn.
        others = [] if definition.catch_up is CatchUp.ALL else before
        made += enter(tx, job, slot, Cause.CATCH_UP, under_way=others) is not None
    if choice.on_time is not None:
        made += enter(tx, job, choice.on_time, Cause.SCHEDULE, under_way=before) is not None
    return made


def _make_task(tx: Tx, job: Job, template: Template, slot: int, cause: Cause) -> Run | None:
    name = job.definition.name
    try:
        new = filled(job, template, slot, cause)
        if new.body is not None:
            tx.require_vault()  # before anything is written: its refusal must leave nothing
        [(task, _)] = tasks.insert(tx, [new])
    except ShoalError as error:
        reason = f"its task cannot be made: {error.message}"
        return runs.insert(tx, name, slot=slot, cause=cause, status=RunStatus.ERROR, reason=reason)
    return runs.insert(tx, name, slot=slot, cause=cause, status=RunStatus.SUCCESS, task=task.id)
