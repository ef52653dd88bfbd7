"""Takes over what lobwife knew: tasks with their numbers, their history, jobs, registrations, the audit of tokens.

A row is taken once, however often it is brought: what was taken is remembered. No verb is here: who may do this has the
database itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from shoal.clock import HOUR_MS
from shoal.errors import Forbidden, Refused, ShoalError
from shoal.model.event import Kind
from shoal.model.grant import GrantAction
from shoal.model.job import OUTPUT_LIMIT, Definition, Program, RunStatus
from shoal.model.takeover import (
    OldEvent,
    OldGrantLine,
    OldJob,
    OldLobwifeTask,
    OldRegistration,
    OldRow,
    Outcome,
    TakenRow,
)
from shoal.services import audit, jobs, lobwife, migrations, registrations
from shoal.services.refs import LARGEST_ID, get_task
from shoal.services.transaction import Tx

FACT = "lobwife"
ACTOR = "lobwife"
SCHEDULES = {
    "task-manager": "*/5 * * * *",
    "review-prs": "*/2 * * * *",
    "status-reporter": "*/30 * * * *",
    "flush-logs": "*/30 * * * *",
}
ACTIONS = {
    "task_registered": GrantAction.REGISTERED,
    "task_deregistered": GrantAction.DEREGISTERED,
    "token_issued": GrantAction.ISSUED,
    "service_token_issued": GrantAction.ISSUED,
    "token_refused": GrantAction.REFUSED,
    "token_revoked": GrantAction.REVOKED,
}
RUNS = {one.value: one for one in (RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.ERROR)}
_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
NO_EXIT_CODE = 78  # EX_CONFIG of sysexits.h


def take(tx: Tx, rows: Iterable[OldRow]) -> list[TakenRow]:
    """Take the rows, those of tasks before what is about them; what became of each, in their order."""
    row = tx.one("facts.get", name=FACT)
    known: dict[str, None] = dict.fromkeys([] if row is None else json.loads(row[0]))
    before = len(known)
    told: list[TakenRow] = []
    for one in rows:
        outcome, reasons = Outcome.REFUSED, list(one.problems)
        if one.old is not None and one.mark in known:
            outcome = Outcome.EXISTING
        elif one.old is not None:
            try:
                outcome, more = _take(tx, one)
                reasons += more
                known[one.mark] = None
            except ShoalError as error:
                reasons.append(error.message)
        reason = "; ".join(reasons) or None
        told.append(TakenRow(file=one.file, name=one.name, outcome=outcome, reason=reason))
    if len(known) > before:
        tx.all("facts.set", name=FACT, value=json.dumps(list(known)))
    return told


def _take(tx: Tx, row: OldRow) -> tuple[Outcome, list[str]]:
    old = row.old
    if isinstance(old, OldLobwifeTask):
        return _take_task(tx, old)
    if isinstance(old, OldEvent):
        return _take_event(tx, old)
    if isinstance(old, OldJob):
        return _take_job(tx, old)
    if isinstance(old, OldRegistration):
        return _take_registration(tx, old)
    assert isinstance(old, OldGrantLine)  # noqa: S101 - the last of the kinds
    return _take_line(tx, old)


def _take_task(tx: Tx, old: OldLobwifeTask) -> tuple[Outcome, list[str]]:
    notes: list[str] = []
    outcome = Outcome.EXISTING
    number = _number(tx, old.number)
    if number is None:
        outcome = Outcome.TAKEN
        number = _from_vault(tx, old)
        if number is not None:
            notes.append(f"it came with the vault before, as {tx.shown(number)}")
            _remember(tx, old.number, number)
        else:
            number, left = _make(tx, old)
            notes += left
    if number != old.number:
        notes.append(f"T{old.number} of lobwife is {tx.shown(number)} here")
    now = get_task(tx, number).status
    if outcome is Outcome.EXISTING and now is not old.task.status:
        notes.append(f"lobwife has it as {old.task.status.value} now, and here it is {now.value}: it stays so")
    if old.registration is not None:
        try:
            notes += _take_registration(tx, old.registration)[1]
        except ShoalError as error:
            notes.append(f"its registration was not taken: {error.message}")
    return outcome, notes


def _from_vault(tx: Tx, old: OldLobwifeTask) -> int | None:
    """The number of the same task where it was brought with lobwife's vault: by its slug, or by its number and title.

    What somebody made here under that name is another one, and so is what another row of lobwife has become.
    """
    task = old.task
    rows = [] if task.slug is None else tx.all("tasks.find", name=task.slug)
    if len(rows) == 1:
        number = int(rows[0][0])
    else:
        row = tx.one("tasks.get", id=old.number)
        if row is None or tx.task(row).title != task.title:
            return None
        number = old.number
    brought = tx.all("events.newest", before=LARGEST_ID, task=number, kind=Kind.TASK_MIGRATED.value, limit=1)
    is_taken = (get_task(tx, number).request_id or "").startswith("lobwife:")
    if not brought or is_taken or tx.one("facts.get", name=f"lobwife-is:{number}") is not None:
        return None
    return number


def _make(tx: Tx, old: OldLobwifeTask) -> tuple[int, list[str]]:
    """A new task, under its number and slug where these are free; its number, and what it came without."""
    notes, task = [], old.task
    if task.slug is not None and (rows := tx.all("tasks.find", name=task.slug)):
        other = tx.task(tx.one("tasks.get", id=int(rows[0][0])) or ())
        notes.append(f"it came without its slug {task.slug}, which is that of {other.task_id}")
        if not (other.request_id or "").startswith("lobwife:"):
            # What lobwife tells of this slug is about this task, and not about the one that has it here.
            tx.all("facts.put", name=f"lobwife-slug:{task.slug}", value=str(old.number))
        task = replace(task, slug=None)
    if tx.one("tasks.get", id=old.number) is not None:
        name, tries = task.name, 1
        while task.slug is None and tx.all("tasks.find", name=name):
            tries += 1
            name = f"{task.name}-{tries}"
        task = replace(task, id=None, name=name)
    made = migrations.migrate(tx, tasks=[task])
    if not made.created:
        raise Refused("; ".join(one.reason for one in made.refused))
    return get_task(tx, made.created[0]).id, notes


def _number(tx: Tx, number: int) -> int | None:
    """The number here of a task of lobwife that was taken."""
    row = tx.one("tasks.by_request", request_id=f"lobwife:{number}")
    if row is not None:
        return tx.task(row).id
    row = tx.one("facts.get", name=f"lobwife:{number}")
    return None if row is None else int(row[0])


def _remember(tx: Tx, number: int, here: int) -> None:
    tx.all("facts.set", name=f"lobwife:{number}", value=str(here))
    tx.all("facts.set", name=f"lobwife-is:{here}", value=str(number))


def _take_event(tx: Tx, old: OldEvent) -> tuple[Outcome, list[str]]:
    number = _number(tx, old.task)
    if number is None:
        raise Refused(f"its task T{old.task} was not taken")
    task = get_task(tx, number)
    told: dict[str, Any] = {"event_type": old.event_type, "detail": old.detail, "at": old.at}
    tx.emit(Kind.TASK_RECALLED, task, was=task.status.value, data=told, actor=old.actor or ACTOR)
    return Outcome.TAKEN, []


def _take_job(tx: Tx, old: OldJob) -> tuple[Outcome, list[str]]:
    notes = []
    name = _job_name(tx, old.name)
    if name != old.name:
        notes.append(f"a job cannot be called {old.name!r} here: it is {name}")
    if tx.one("jobs.get", name=name) is None:
        what = (
            f"Came from lobwife without what it runs. Give it its command, then enable it; or, to define it in a "
            f"manifest, remove it here first (its history stays). It was {'enabled' if old.enabled else 'disabled'}."
        )
        script = f"echo 'job {name} came from lobwife without its command' >&2; exit {NO_EXIT_CODE}"
        given = {
            "name": name,
            "schedule": SCHEDULES.get(old.name, "@daily"),
            "action": Program(["sh", "-c", script]),
            "enabled": False,
            "description": what,
            "tags": ["lobwife"],
        }
        jobs.create(tx, msgspec.convert(msgspec.to_builtins(given), Definition))
        notes.append("made as a disabled job: say what it runs, then enable it")
    if old.last_run is not None:
        status = RUNS.get(old.last_status or "", RunStatus.ERROR)
        tx.all(
            "runs.bring",
            job=name,
            slot=old.last_run,
            status=status.value,
            actor=ACTOR,
            finished_at=old.last_run + (old.last_duration_ms or 0),
            exit_code=0 if status is RunStatus.SUCCESS else None,
            reason=None if status.value == old.last_status else f"lobwife had it as {old.last_status}",
            output=None if old.last_output is None else old.last_output[-OUTPUT_LIMIT:],
        )
    _count(tx, name, old)
    return Outcome.TAKEN, notes


def _count(tx: Tx, name: str, old: OldJob) -> None:
    """Bring how often a job ran there: what came since it was brought before."""
    fact = f"lobwife-counts:{old.name}"
    row = tx.one("facts.get", name=fact)
    runs, failed = (0, 0) if row is None else json.loads(row[0])
    tx.all("jobs.bring", name=name, run_count=max(0, old.run_count - runs), fail_count=max(0, old.fail_count - failed))
    tx.all("facts.set", name=fact, value=json.dumps([old.run_count, old.fail_count]))


def _job_name(tx: Tx, name: str) -> str:
    """What a job of lobwife is called here: its name, or one that is made of it and that no other job has."""
    known = f"lobwife-job:{name}"
    if (row := tx.one("facts.get", name=known)) is not None:
        return str(row[0])
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:90].strip("-._") or "job"
    is_made = tx.one("facts.get", name=f"lobwife-job-made:{name}") is not None
    if _JOB_NAME.fullmatch(name) and name not in jobs.ROUTES and not is_made:
        return name
    made, tries = plain, 1
    while made in jobs.ROUTES or tx.one("jobs.get", name=made) is not None:
        tries += 1
        made = f"{plain}-{tries}"
    tx.all("facts.set", name=known, value=made)
    tx.all("facts.set", name=f"lobwife-job-made:{made}", value=name)
    return made


def _take_registration(tx: Tx, old: OldRegistration) -> tuple[Outcome, list[str]]:
    number = _referred(tx, old.ref)
    if number is None:
        raise Refused(f"there is no task {old.ref!r}, and a registration belongs to one")
    task = get_task(tx, number)
    if tx.one("registrations.get", task=number) is not None:
        return Outcome.EXISTING, [f"{task.task_id} is registered already"]
    names = [registrations.github_name(tx.settings, one) for one in old.repos]
    if bad := [one for one, name in zip(old.repos, names, strict=True) if name is None]:
        raise Refused(f"{', '.join(bad)} is no repository on a host of broker.hosts")
    found = [name for name in names if name is not None]
    if shut := [name for name in found if not registrations.is_open_to(tx.settings, name)]:
        raise Forbidden(f"broker.repositories allows no token for {', '.join(shut)}")
    at = tx.now if old.registered_at is None else old.registered_at
    tx.one(
        "registrations.put",
        task=number,
        repositories=audit.encoded(found),
        permissions=audit.encoded(dict(registrations.allowed(tx.settings, task))),
        status="active" if old.status == "active" else "removed",
        now=at,
        actor=ACTOR,
        expires_at=at + tx.settings.broker.registration_hours * HOUR_MS,
        attempt=None,
    )
    tx.all("registrations.bring_count", task=number, token_count=old.token_count)
    return Outcome.TAKEN, []


def _take_line(tx: Tx, old: OldGrantLine) -> tuple[Outcome, list[str]]:
    action = ACTIONS.get(old.action)
    if action is None:
        raise Refused(f"{old.action!r} is no action of the audit")
    number = _referred(tx, old.ref)
    tx.all(
        "grants.note",
        now=old.at,
        action=action.value,
        task=number,
        attempt=None,
        reference=audit.shown_reference(old.ref),
        service=None,
        actor=ACTOR,
        repositories=audit.encoded(old.repos),
        permissions=audit.encoded({}),
        expires_at=None,
        reason=None,
    )
    return Outcome.TAKEN, []


def _referred(tx: Tx, ref: str) -> int | None:
    """The task that a ref of lobwife's means: its T-ids are its own, everything else is a name."""
    digits = ref[1:] if ref[:1] in ("T", "t") else ref
    if digits.isascii() and digits.isdecimal() and len(digits) < 16:
        return _number(tx, int(digits))
    if (row := tx.one("facts.get", name=f"lobwife-slug:{ref}")) is not None:
        return _number(tx, int(row[0]))
    try:
        return lobwife.find(tx, ref).id
    except ShoalError:
        return None
