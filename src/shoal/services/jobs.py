"""Jobs: made, read, changed, taken away, triggered; and a manifest of them compared with what there is.

When they fire: firing.py; what becomes of a firing: runs.py.
"""

from __future__ import annotations

from collections import Counter

import msgspec
from msgspec import UNSET

from shoal.clock import DAY_MS
from shoal.errors import BadInput, Duplicate, NotFound, NoVault, Refused
from shoal.model.built_in import options_of
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name
from shoal.model.job import (
    Applied,
    BuiltIn,
    Cause,
    Definition,
    Job,
    JobChanges,
    JobDetail,
    Overlap,
    Run,
    RunStatus,
    Template,
    columns,
    job_from_row,
)
from shoal.model.manifest import JobChange
from shoal.model.page import Page
from shoal.services import runs as services_runs
from shoal.services.firing import enter, filled, slot_of
from shoal.services.slots import first_slot, timetable
from shoal.services.transaction import Tx
from shoal.services.verb import verb

BY_API = "api"
FIRE_TIMES = 5
AHEAD_MS = 7 * DAY_MS  # clocks are set back by less, and no slot is entered twice for that
LAST_RUNS = 10
_TIMES = frozenset({"schedule", "timezone"})
ROUTES = frozenset({"sync"})  # POST /jobs/sync


@verb("POST /jobs", status=201)
def create(tx: Tx, new: Definition) -> Job:
    """Make a job. Raises Duplicate when its name is taken."""
    check(tx, new)
    job = _insert(tx, new, BY_API)
    if job is None:
        taken = _get(tx, new.name)
        raise Duplicate(f"there is a job {new.name} already, of {taken.source}; choose another name", field="name")
    return job


@verb("GET /jobs/{job}")
def get(tx: Tx, *, job: Name) -> JobDetail:
    """One job, with its next five slots and its last runs."""
    found = _get(tx, job)
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    return JobDetail(
        **fields, fire_times=fire_times(found), runs=list(services_runs.list_(tx, job=job, limit=LAST_RUNS))
    )


@verb("GET /jobs")
def list_(tx: Tx, *, enabled: bool | None = None, cursor: Name | None = None, limit: Limit = 100) -> Page[Job]:
    """A page of jobs in the order of their names."""
    filters = {} if enabled is None else {"enabled": int(enabled)}
    rows = tx.all("jobs.list", after=cursor or "", limit=limit + 1, **filters)
    page = [job_from_row(row) for row in rows[:limit]]
    return Page(page, next=page[-1].definition.name if len(rows) > limit else None)


@verb("PATCH /jobs/{job}", repeatable=True)
def update(tx: Tx, changes: JobChanges, *, job: Name) -> Job:
    """Change a job; what is left out stays. Runs under way go on as they began.

    A new schedule counts from now. What a manifest defines is put back by the next sync.
    """
    found = _lock(tx, job)
    given = {name: value for name in changes.__struct_fields__ if (value := getattr(changes, name)) is not UNSET}
    return _change(tx, found, msgspec.structs.replace(found.definition, **given))


@verb("DELETE /jobs/{job}")
def remove(tx: Tx, *, job: Name) -> Job:
    """Take a job away. What runs goes on to its end, what waits is called off, and the history stays."""
    found = _lock(tx, job)
    _remove(tx, found)
    return found


@verb("POST /jobs/{job}/enable", repeatable=True)
def enable(tx: Tx, *, job: Name) -> Job:
    """Let a job fire again, from now on."""
    found = _lock(tx, job)
    return _change(tx, found, msgspec.structs.replace(found.definition, enabled=True))


@verb("POST /jobs/{job}/disable", repeatable=True)
def disable(tx: Tx, *, job: Name) -> Job:
    """Let a job fire no more. What runs goes on to its end, and slots that wait are called off."""
    found = _lock(tx, job)
    return _change(tx, found, msgspec.structs.replace(found.definition, enabled=False))


@verb("POST /jobs/{job}/trigger")
def trigger(tx: Tx, *, job: Name) -> Run:
    """Run a job now, disabled or not. Refused while it runs, if it lets no run overlap."""
    found = _lock(tx, job)
    others = services_runs.under_way(tx, job)
    if found.definition.overlap is Overlap.FORBID:
        for other in others:
            if other.status is RunStatus.RUNNING or other.due_at <= tx.now:
                raise Refused(
                    f"job {job} is under way: {other.run_id} is {other.status.value}; wait for it, or cancel it",
                    field="job",
                )
        others = []  # a later attempt of another slot is no reason to skip this
    made = enter(tx, found, slot_of(tx, job, Cause.TRIGGER), Cause.TRIGGER, under_way=others)
    assert made is not None  # noqa: S101 - the job is locked, and no one else has this slot
    return made


@verb("GET /jobs/{job}/runs")
def runs(tx: Tx, *, job: Name, cursor: Name | None = None, limit: Limit = 50) -> Page[Run]:
    """A page of a job's runs, newest first and without their output; also of one that was taken away."""
    page = services_runs.list_(tx, job=job, cursor=cursor, limit=limit)
    if not page and cursor is None:
        _get(tx, job)
    return page


def apply(tx: Tx, source: str, definitions: list[Definition]) -> Applied:
    """Make the jobs of a manifest what it says, and take away those that it no longer has.

    All of it or nothing: raises BadInput for one that cannot be, Duplicate for a name that others have.
    """
    there = {job.definition.name: job for job in map(job_from_row, tx.all("jobs.lock_of_source", source=source))}
    applied = Applied([], [], [], [])
    for name, new, different in _differences(tx, there, definitions):
        if new is None:
            _remove(tx, there[name])
            applied.removed.append(name)
        elif name not in there:
            if _insert(tx, new, source) is None:
                raise _taken(tx, name)
            applied.added.append(name)
        else:
            _change(tx, there[name], new)
            _sort_in(applied, name, different)
    return applied


def compare(tx: Tx, source: str, definitions: list[Definition]) -> tuple[Applied, list[JobChange]]:
    """What `apply` would do, and each change in full. It only reads, and raises the same errors."""
    there = {job.definition.name: job for job in map(job_from_row, tx.all("jobs.of_source", source=source))}
    applied = Applied([], [], [], [])
    changes = []
    for name, new, different in _differences(tx, there, definitions):
        if new is None:
            applied.removed.append(name)
            changes.append(JobChange(name, "removed"))
        elif name not in there:
            applied.added.append(name)
            changes.append(JobChange(name, "added"))
        else:
            _sort_in(applied, name, different)
            old = there[name].definition
            changed = {field: [getattr(old, field), getattr(new, field)] for field in sorted(different)}
            changes.append(JobChange(name, "changed", changed))
    return applied, changes


def _differences(
    tx: Tx, there: dict[str, Job], definitions: list[Definition]
) -> list[tuple[str, Definition | None, set[str]]]:
    """What is to become of each job whose definition is another one; None takes it away."""
    for name, count in Counter(one.name for one in definitions).items():
        if count > 1:
            raise BadInput(f"job {name} is defined {count} times", field=name)
    for one in definitions:
        try:
            check(tx, one)
        except BadInput as error:
            raise BadInput(f"job {one.name}: {error.message}", field=f"{one.name}.{error.field}") from None
        except NoVault as error:
            raise NoVault(f"job {one.name}: {error.message}", field=f"{one.name}.action") from None
    wanted = {one.name: one for one in definitions}
    found: list[tuple[str, Definition | None, set[str]]] = [
        (name, None, set()) for name in sorted(there.keys() - wanted)
    ]
    for name in sorted(wanted):
        if name not in there and tx.one("jobs.get", name=name) is not None:
            raise _taken(tx, name)
        different = _different(there[name].definition, wanted[name]) if name in there else set()
        if name not in there or different:
            found.append((name, wanted[name], different))
    return found


def _sort_in(applied: Applied, name: str, different: set[str]) -> None:
    if different & _TIMES:
        applied.rescheduled.append(name)
    if different - _TIMES:
        applied.changed.append(name)


def _taken(tx: Tx, name: str) -> Duplicate:
    other = _get(tx, name).source
    return Duplicate(f"there is a job {name} already, of {other}; remove or rename one", field=name)


def check(tx: Tx, definition: Definition) -> None:
    """Refuse what could not fire or run. Raises BadInput, and NoVault for a template with a body where none is kept."""
    if definition.name in ROUTES:
        raise BadInput(f"no job can be called {definition.name}: that is a route; choose another name", field="name")
    first_slot(definition.schedule, definition.timezone, now=tx.now, last_slot=None)
    for name in definition.environment:
        if "=" in name:
            raise BadInput(f"{name!r} cannot name a variable of the environment", field="environment")
    if isinstance(definition.action, BuiltIn):
        options_of(definition.action)
    if isinstance(definition.action, Template):
        new = filled(definition.name, definition.action, tx.now)
        if new.body is not None:
            tx.require_vault()


def fire_times(job: Job, count: int = FIRE_TIMES) -> list[int]:
    """The next slots of a job."""
    definition = job.definition
    found: list[int] = []
    plan, slot = timetable(definition.schedule, definition.timezone), job.next_fire_at
    while slot is not None and len(found) < count:
        found.append(slot)
        slot = plan.after(slot)
    return found


def _insert(tx: Tx, definition: Definition, source: str) -> Job | None:
    # One of this name may have been there before: what it has had is not had again.
    row = tx.one("runs.last_slot", job=definition.name)
    last_slot = _believable(tx, None if row is None else row[0])
    row = tx.one(
        "jobs.insert",
        **columns(definition),
        source=source,
        next_fire_at=_first(tx, definition, last_slot),
        last_slot=last_slot,
        now=tx.now,
    )
    if row is None:
        return None
    job = job_from_row(row)
    tx.emit(Kind.JOB_CREATED, data={"job": definition.name, "source": source})
    return job


def _change(tx: Tx, job: Job, definition: Definition) -> Job:
    different = _different(job.definition, definition)
    if not different:
        return job
    check(tx, definition)
    next_fire_at, last_slot = job.next_fire_at, job.last_slot
    if not definition.enabled:
        next_fire_at = None
    elif different & _TIMES or "enabled" in different:
        last_slot = _believable(tx, job.last_slot)
        next_fire_at = _first(tx, definition, last_slot)
    given = columns(definition)
    row = tx.one("jobs.change", id=job.id, **given, next_fire_at=next_fire_at, last_slot=last_slot, now=tx.now)
    assert row is not None  # noqa: S101 - the job is locked
    if "enabled" in different and not definition.enabled:
        _call_off(tx, job, "the job was disabled", triggered=False)
    tx.emit(Kind.JOB_CHANGED, data={"job": definition.name, "changed": sorted(different)})
    return job_from_row(row)


def _remove(tx: Tx, job: Job) -> None:
    _call_off(tx, job, "the job was removed", triggered=True)
    tx.all("jobs.remove", id=job.id)
    tx.emit(Kind.JOB_REMOVED, data={"job": job.definition.name, "source": job.source})


def _call_off(tx: Tx, job: Job, reason: str, *, triggered: bool) -> None:
    for run in services_runs.under_way(tx, job.definition.name):
        if run.status is RunStatus.WAITING and (triggered or run.cause is not Cause.TRIGGER):
            services_runs.stop(tx, run, reason=reason)


def _first(tx: Tx, definition: Definition, last_slot: int | None) -> int | None:
    if not definition.enabled:
        return None
    return first_slot(definition.schedule, definition.timezone, now=tx.now, last_slot=last_slot)


def _believable(tx: Tx, last_slot: int | None) -> int | None:
    """The last slot that a job has had, unless a clock was far ahead: whoever enables the job means from now on."""
    return last_slot if last_slot is None or last_slot <= tx.now + AHEAD_MS else tx.now


def _different(old: Definition, new: Definition) -> set[str]:
    return {name for name in new.__struct_fields__ if getattr(old, name) != getattr(new, name)}


def _get(tx: Tx, name: str) -> Job:
    row = tx.one("jobs.get", name=name)
    if row is None:
        raise _unknown(name)
    return job_from_row(row)


def _lock(tx: Tx, name: str) -> Job:
    row = tx.one("jobs.lock", name=name)
    if row is None:
        raise _unknown(name)
    return job_from_row(row)


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no job {name!r}; `shoal job list` shows what there is", field="job")
