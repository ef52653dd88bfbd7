"""The rows of a folder of lobwife: jobs.json, tasks.json, token-audit.json, and the tables of lobmob.db.

A row with something missing or wrong is read as far as it goes, and says what was left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from shoal.adapters.importers.reading import json_of
from shoal.errors import BadInput
from shoal.model.fields import TIME_LIMIT
from shoal.model.migration import OldTask
from shoal.model.takeover import (
    Old,
    OldEvent,
    OldGrantLine,
    OldJob,
    OldLobwifeTask,
    OldRegistration,
    OldRow,
)
from shoal.model.task import PRIORITY_WORDS, Status

JOBS, REGISTRATIONS, AUDIT, DATABASE = "jobs.json", "tasks.json", "token-audit.json", "lobmob.db"
TABLES = ("tasks", "task_events", "job_state", "broker_tasks", "token_audit")
STATUSES = {one.value: one for one in (*Status,)}
TEXT_LIMIT = 20_000
ROW_NAME_LIMIT = 100


class Left(list[str]):
    """What was left out of a row, in words."""


class Table(dict[str, Any]):
    """An object of JSON that has not forgotten what stands in it twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def json_rows(file: str, text: bytes) -> list[OldRow]:
    """The rows of one of the JSON files. Raises BadInput when it is none."""
    given = json_of(text, file, table=Table)
    if file == AUDIT:
        if not isinstance(given, list):
            raise BadInput(f"{file} is no list of lines")
        return _rows(file, ((f"line {number}", row) for number, row in enumerate(given, 1)), _audit_line)
    if not isinstance(given, Table):
        raise BadInput(f"{file} is no table of names")
    read = _job if file == JOBS else _registration
    key = "name" if file == JOBS else "task_id"
    named = ((name, {key: name} | row if isinstance(row, dict) else row) for name, row in given.pairs)
    return _rows(file, named, read)


def table_rows(tables: Mapping[str, list[dict[str, Any]]]) -> list[OldRow]:
    """The rows of the database's tables: tasks first, as the others are about them."""
    read = {
        "tasks": _task,
        "task_events": _event,
        "job_state": _job,
        "broker_tasks": _registration,
        "token_audit": _audit_line,
    }
    found: list[OldRow] = []
    for table in TABLES:
        named = ((f"{table} {_name(row, at)}", row) for at, row in enumerate(tables.get(table, []), 1))
        found += _rows(DATABASE, named, read[table])
    return found


def moment(given: Any) -> int | None:
    """A time as lobwife wrote it, ISO or SQLite's, UTC where it says none; None when it is none."""
    if not isinstance(given, str):
        return None
    try:
        at = datetime.fromisoformat(given.strip())
    except ValueError:
        return None
    try:
        found = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (OverflowError, ValueError):
        return None
    return found if 0 <= found <= TIME_LIMIT else None


def _name(row: Mapping[str, Any], at: int) -> str:
    for key in ("id", "name", "task_id"):
        if row.get(key) is not None:
            return str(row[key])
    return f"row {at}"


def _rows(
    file: str, named: Iterable[tuple[str, Any]], read: Callable[[Mapping[str, Any], Left], Old | None]
) -> list[OldRow]:
    found = []
    seen: Counter[str] = Counter()
    for name, row in named:
        left = Left()
        old: Old | None = None
        if isinstance(row, dict):
            old = read(row, left)
        else:
            left.append(f"it is no row but {type(row).__name__}")
        content = f"{type(old).__name__}:{old!r}" if old is not None else f"{file}:{name}:{row!r}"
        seen[content] += 1
        # Two that are the same may both have happened: the second one is another row than the first.
        mark = hashlib.sha256(f"{seen[content]}:{content}".encode(errors="replace")).hexdigest()[:20]
        shown = _plain(name)[:ROW_NAME_LIMIT]
        found.append(OldRow(file=file, name=shown, mark=mark, old=old, problems=list(left)))
    return found


def _task(row: Mapping[str, Any], left: Left) -> Old | None:
    number = row.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**53:
        left.append("it has no id" if number is None else f"its id {number!r} is no number above 0")
        return None
    title = " ".join(_plain(_text(row, "name", left) or "").split())[:500]
    if not title:
        left.append("it has no name")
    status, hold = _status(row, left)
    fields: dict[str, Any] = {
        "type": _text(row, "type", left),
        "priority": _priority(row, left),
        "slug": _text(row, "slug", left),
        "model": _text(row, "model", left),
        "assignee": _text(row, "assigned_to", left),
        "repos": _names(row, "repos", left),
        "discord_thread_id": _text(row, "discord_thread_id", left),
        "estimate_minutes": _number(row, "estimate_minutes", left),
        "requires_qa": bool(row.get("requires_qa")),
        "workflow": _text(row, "workflow", left),
        "created_at": _moment(row, "created_at", left),
        "claimed_at": _moment(row, "assigned_at", left),
        "completed_at": _moment(row, "completed_at", left) if status.value in ("completed", "failed") else None,
        "hold_reason": hold,
        "request_id": f"lobwife:{number}",
    }
    kept: dict[str, Any] = {"name": f"lobwife-{number}", "title": title or f"Task {number} of lobwife"}
    kept |= {"status": status, "id": number}
    for name, value in fields.items():
        if value is None:
            continue
        try:
            msgspec.convert(kept | {name: value}, OldTask)
        except msgspec.ValidationError as error:
            left.append(f"{name} was left out: {str(error).partition(' - at')[0]}")
            continue
        kept[name] = value
    registration = None
    if row.get("broker_repos"):
        registration = _registration(
            {
                "task_id": f"T{number}",
                "repos": row["broker_repos"],
                "registered_at": row.get("broker_registered_at"),
                "status": row.get("broker_status"),
                "token_count": row.get("token_count"),
            },
            left,
        )
    return OldLobwifeTask(number=number, task=msgspec.convert(kept, OldTask), registration=registration)


def _status(row: Mapping[str, Any], left: Left) -> tuple[Status, str | None]:
    word = row.get("status")
    status = STATUSES.get(word) if isinstance(word, str) else None
    if status is None:
        # Nobody should take up by itself what may have been over.
        left.append(f"its status {word!r} is none that is known; it is held")
        return Status.BLOCKED, f"lobwife had it as {_plain(str(word))[:100]}"
    return status, "it was blocked in lobwife" if status is Status.BLOCKED else None


def _priority(row: Mapping[str, Any], left: Left) -> int | None:
    given = row.get("priority")
    if isinstance(given, str) and given.lower() in PRIORITY_WORDS:
        return PRIORITY_WORDS[given.lower()]
    if given is not None:
        left.append(f"its priority {given!r} is none that is known; it is normal")
    return None


def _event(row: Mapping[str, Any], left: Left) -> Old | None:
    task = _number(row, "task_id", left)
    event_type = _text(row, "event_type", left)
    if task is None or not event_type:
        left.append("it has no task" if task is None else "it has no event_type")
        return None
    return OldEvent(
        task=task,
        event_type=event_type[:200],
        detail=_text(row, "detail", left),
        actor=(_text(row, "actor", left) or "")[:200] or None,
        at=_moment(row, "created_at", left),
    )


def _job(row: Mapping[str, Any], left: Left) -> Old | None:
    name = _text(row, "name", left)
    if not name:
        left.append("it has no name")
        return None
    seconds = row.get("last_duration")
    timed = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 10**8
    return OldJob(
        name=name,
        last_run=_moment(row, "last_run", left),
        last_status=_text(row, "last_status", left),
        last_duration_ms=round(seconds * 1000) if timed and seconds is not None else None,
        last_output=_text(row, "last_output", left),
        run_count=_number(row, "run_count", left) or 0,
        fail_count=_number(row, "fail_count", left) or 0,
        enabled=bool(row.get("enabled", True)),
    )


def _registration(row: Mapping[str, Any], left: Left) -> OldRegistration | None:
    ref = _text(row, "task_id", left)
    repos = _names(row, "repos", left)
    if not ref or not repos:
        left.append("it has no task" if not ref else "it has no repositories")
        return None
    return OldRegistration(
        ref=ref,
        repos=repos,
        registered_at=_moment(row, "registered_at", left),
        status=_text(row, "status", left) or "active",
        token_count=_number(row, "token_count", left) or 0,
    )


def _audit_line(row: Mapping[str, Any], left: Left) -> Old | None:
    ref, action = _text(row, "task_id", left), _text(row, "action", left)
    at = _moment(row, "timestamp" if "timestamp" in row else "created_at", left)
    if not ref or not action or at is None:
        left.append("it has no task" if not ref else "it has no action" if not action else "it has no time")
        return None
    return OldGrantLine(ref=ref, repos=_names(row, "repos", left) or [], action=action, at=at)


def _text(row: Mapping[str, Any], name: str, left: Left) -> str | None:
    given = row.get(name)
    if given is None or given == "":
        return None
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str):
        left.append(f"{name} was left out: it is no text")
        return None
    # What is no Unicode, or NUL, no database takes.
    whole = given.encode(errors="replace").decode().replace("\x00", "")
    if len(whole) > TEXT_LIMIT:
        left.append(f"of {name} the last {TEXT_LIMIT:,} characters were taken")
    return whole[-TEXT_LIMIT:]


def _number(row: Mapping[str, Any], name: str, left: Left) -> int | None:
    given = row.get(name)
    if given is None:
        return None
    if isinstance(given, str) and given.strip().isdecimal() and len(given) < 16:
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given < 2**53:
        left.append(f"{name} was left out: {given!r} is no number")
        return None
    return given


def _moment(row: Mapping[str, Any], name: str, left: Left) -> int | None:
    given = row.get(name)
    found = moment(given)
    if found is None and given not in (None, ""):
        left.append(f"{name} was left out: {given!r} is no time")
    return found


def _names(row: Mapping[str, Any], name: str, left: Left) -> list[str] | None:
    """A list of names, which the database has as JSON text."""
    given = row.get(name)
    if isinstance(given, str):
        try:
            given = json_of(given, "it")
        except BadInput as error:
            left.append(f"{name} was left out: {error.message}")
            return None
    if given is None:
        return None
    names = list(_plain_names(given)) if isinstance(given, list) else []
    if not isinstance(given, list) or len(names) < len(given):
        left.append(f"what is no name was left out of {name}")
    return names or None


def _plain_names(given: list[Any]) -> Iterator[str]:
    for one in given:
        if isinstance(one, str) and one.strip() and _plain(one) == one and len(one) <= 200:
            yield one


def _plain(text: str) -> str:
    return "".join(one for one in text.encode(errors="replace").decode() if one.isprintable())
