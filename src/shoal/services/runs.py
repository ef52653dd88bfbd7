"""Runs: who has one, until when, how it ends, and that it is tried again. When one is made: firing.py.

The fence is (run, server): what a server says about a run that was taken from it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from shoal.errors import NotFound, WrongStatus
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name
from shoal.model.job import (
    BAD,
    OUTPUT_LIMIT,
    OUTPUT_LINES,
    Cause,
    Claimed,
    Held,
    Job,
    Run,
    RunRef,
    RunStatus,
    job_from_row,
    run_from_row,
)
from shoal.model.page import Page, position
from shoal.services.refs import LARGEST_ID
from shoal.services.transaction import Tx
from shoal.services.verb import verb

GONE = "its server is gone"
_json = msgspec.json.Encoder().encode
REASON_LIMIT = 4000
PRUNED_PER_LOOK = 500
BROUGHT = "import-"  # a page that begins among the runs that came from elsewhere
LAST = 10**18 - 1


class Pulse(Struct, frozen=True):
    """What became of a server's runs: those that it has, and those of them that are to end. The rest is lost."""

    held: list[int]
    stop: list[int]


@verb("GET /runs/{run}")
def get(tx: Tx, *, run: RunRef) -> Run:
    """One run of a job, with the last lines of its output."""
    row = tx.one("runs.get", id=_number(run))
    if row is None:
        raise _unknown(run)
    return run_from_row(row)


@verb("GET /runs")
def list_(
    tx: Tx, *, job: Name | None = None, status: RunStatus | None = None, cursor: Name | None = None, limit: Limit = 50
) -> Page[Run]:
    """A page of runs, newest first and without their output; what a job did before it came here is older than all."""
    filters: dict[str, Any] = {} if job is None else {"job": job}
    if status is not None:
        filters[status.value] = True
    brought = cursor is not None and cursor.startswith(BROUGHT)
    before = position(cursor.removeprefix(BROUGHT)) if cursor else LARGEST_ID
    rows: list[Any] = []
    if not brought:
        rows += tx.all("runs.newest", before=before, limit=limit + 1, own=True, **filters)
        before = LARGEST_ID
    if (left := limit + 1 - len(rows)) > 0:
        rows += tx.all("runs.newest", before=before, limit=left, brought=True, **filters)
    found = [run_from_row(row) for row in rows]
    page, last = found[:limit], found[-1:]
    if len(found) <= limit:
        return Page(page, next=None)
    if last[0].cause is Cause.IMPORT:
        return Page(page, next=f"{BROUGHT}{page[-1].id if page[-1].cause is Cause.IMPORT else LAST}")
    return Page(page, next=str(page[-1].id))


@verb("POST /runs/{run}/cancel", repeatable=True)
def cancel(tx: Tx, *, run: RunRef) -> Run:
    """Call a waiting run off, or ask a running one to end: its server hears of it in a moment."""
    found = get(tx, run=run)
    tx.one("jobs.lock", name=found.job)
    stop(tx, found, reason=f"cancelled by {tx.actor}")
    found = get(tx, run=run)
    if found.cancelled_by is None:
        raise WrongStatus(f"{found.run_id} of {found.job} has ended: {found.status.value}", field="run")
    return found


def stop(tx: Tx, run: Run, *, reason: str) -> None:
    """The same for one whose job is locked; nothing happens to one that has ended."""
    row = tx.one("runs.call_off", id=run.id, actor=tx.actor, reason=reason, now=tx.now)
    if row is not None:
        _tell(tx, Kind.RUN_ENDED, run_from_row(row))
    elif (row := tx.one("runs.stop", id=run.id, actor=tx.actor, reason=reason)) is not None:
        _tell(tx, Kind.RUN_STOPPED, run_from_row(row))


def under_way(tx: Tx, job: str) -> list[Run]:
    """The runs of a job that wait or run."""
    return [run_from_row(row) for row in tx.all("runs.under_way", job=job)]


def insert(
    tx: Tx,
    job: str,
    *,
    slot: int,
    cause: Cause,
    status: RunStatus = RunStatus.WAITING,
    attempt: int = 1,
    due_at: int | None = None,
    actor: str | None = None,
    reason: str | None = None,
    task: int | None = None,
) -> Run | None:
    """Make a run of a slot; None when there is one. What is not `waiting` has begun and ended now."""
    ended = None if status is RunStatus.WAITING else tx.now
    row = tx.one(
        "runs.insert",
        job=job,
        slot=slot,
        cause=cause.value,
        attempt=attempt,
        status=status.value,
        due_at=slot if due_at is None else due_at,
        actor=actor or tx.actor,
        started_at=None if status is RunStatus.SKIPPED else ended,
        finished_at=ended,
        reason=reason,
        task=task,
    )
    if row is None:
        return None
    run = run_from_row(row)
    if status is RunStatus.SKIPPED:
        _tell(tx, Kind.RUN_SKIPPED, run)
    elif ended is not None:
        _count(tx, run)
        _tell(tx, Kind.RUN_ENDED, run)
    elif cause is Cause.TRIGGER and attempt == 1:
        _tell(tx, Kind.RUN_REQUESTED, run)
    return run


def claim(tx: Tx, *, server: str, limit: int, logs: str) -> list[Claimed]:
    """Give a server the next runs that are due; of a job whose runs may not overlap, only while none runs.

    `logs` is the server's folder of logs. They are its own for as long as it beats.
    """
    claimed = []
    for id, *job_row in tx.all("runs.candidates", now=tx.now, limit=limit):
        job = job_from_row(tuple(job_row))
        row = tx.one(
            "runs.claim",
            id=id,
            server=server,
            now=tx.now,
            log=f"{logs}/{job.definition.name}/{id}.log",
            alone=int(job.definition.overlap.value != "allow"),
        )
        if row is not None:
            run = run_from_row(row)
            claimed.append(Claimed(run, job.definition))
            _tell(tx, Kind.RUN_STARTED, run, server=server)
    return claimed


def beat(tx: Tx, *, server: str, held: Iterable[int], outputs: dict[int, str]) -> Pulse:
    """A server says that it lives: the runs that it has are renewed, and the ends of what they have written stored.

    One that it was given and does not have, because it never heard of it, is ended as if the server were gone.
    """
    known = _json([{"id": id} for id in held]).decode()
    rows = tx.all("runs.beat", server=server, rows=known)
    if outputs:
        shown = [{"id": id, "server": server, "output": tail(text)} for id, text in sorted(outputs.items())]
        tx.many("runs.put_output", shown)
    return Pulse(sorted(id for id, _ in rows), sorted(id for id, by in rows if by is not None))


def end(
    tx: Tx,
    *,
    run: int,
    server: str,
    status: RunStatus,
    exit_code: int | None = None,
    reason: str | None = None,
    output: str | None = None,
    beats: int | None = None,
) -> Run | None:
    """A server's run has ended; None when the server no longer has it.

    After `failed`, `timeout` and `error` it is tried again, later with each attempt, while its job has some left. With
    `beats` it ends only if its server has given no sign of life since then.
    """
    row = tx.one("runs.get", id=run)
    if row is None:
        return None
    job_row = tx.one("jobs.lock", name=run_from_row(row).job)
    seen = {} if beats is None else {"beats": beats}
    row = tx.one(
        "runs.end",
        id=run,
        server=server,
        status=status.value,
        exit_code=exit_code,
        reason=reason and reason[:REASON_LIMIT].replace("\x00", ""),
        output=None if output is None else tail(output),
        now=tx.now,
        **seen,
    )
    if row is None:
        return None
    ended = run_from_row(row)
    _count(tx, ended)
    again = _retry(tx, job_from_row(job_row), ended) if job_row is not None and status in BAD else None
    told = {} if again is None else {"again_at": again.due_at}
    _tell(tx, Kind.RUN_ENDED, ended, exit_code=exit_code, attempt=ended.attempt, **told)
    return ended


def held(tx: Tx) -> list[Held]:
    """What runs, and how often its server has given a sign of life."""
    return [Held(*row) for row in tx.all("runs.held")]


def expire(tx: Tx, *, silent: list[Held]) -> int:
    """End runs whose servers were watched for longer than a lease and have given no sign of life; how many."""
    ended = 0
    for one in sorted(silent, key=lambda held: held.id):
        row = tx.one("runs.get", id=one.id)
        if row is None:
            continue
        status = RunStatus.ERROR if run_from_row(row).cancelled_by is None else RunStatus.CANCELLED
        gone = end(tx, run=one.id, server=one.server, status=status, reason=GONE, beats=one.beats)
        ended += gone is not None
    return ended


def prune(tx: Tx, *, before: int, limit: int = PRUNED_PER_LOOK) -> int:
    """Forget the oldest runs that ended before a time; how many."""
    return len(tx.all("runs.prune", before=before, limit=limit))


def tail(output: str) -> str:
    """The last lines of an output, as the ledger keeps them."""
    lines = output.replace("\x00", "").splitlines()[-OUTPUT_LINES:]
    return "\n".join(lines)[-OUTPUT_LIMIT:]


def _retry(tx: Tx, job: Job, run: Run) -> Run | None:
    definition = job.definition
    is_wanted = definition.enabled or run.cause is Cause.TRIGGER
    if run.attempt >= definition.max_attempts or run.cancelled_by is not None or not is_wanted:
        return None
    longest = max(definition.backoff_seconds, tx.settings.retry_cap_seconds)
    wait = min(longest, definition.backoff_seconds * 2 ** min(run.attempt - 1, 30))
    return insert(
        tx,
        run.job,
        slot=run.slot,
        cause=run.cause,
        attempt=run.attempt + 1,
        due_at=tx.now + 1000 * wait,
        actor=run.actor,
    )


def _count(tx: Tx, run: Run) -> None:
    tx.all("jobs.count", name=run.job, failed=int(run.status in BAD))


def _tell(tx: Tx, kind: Kind, run: Run, **more: Any) -> None:
    data: dict[str, Any] = {"job": run.job, "run": run.run_id, "slot": run.slot, "status": run.status.value}
    if run.reason is not None:
        data["reason"] = run.reason[:500]
    if run.task is not None:
        data["task"] = tx.shown(run.task)
    tx.emit(kind, data=data | {name: value for name, value in more.items() if value is not None})


def _number(ref: str | int) -> int:
    digits = str(ref).removeprefix("R").removeprefix("r")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19 and 0 < int(digits) <= LARGEST_ID):
        raise _unknown(ref)
    return int(digits)


def _unknown(ref: str | int) -> NotFound:
    return NotFound(f"there is no run {ref!r}; `shoal job runs NAME` shows those of a job", field="run")
