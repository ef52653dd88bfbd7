"""What should have moved: tasks past their deadline, and stale ones."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from shoal.adapters.vault.layout import Layout
from shoal.clock import HOUR_MS
from shoal.daemon.views.page import Page, left_out, section, view
from shoal.daemon.views.reads import SCANNED, found, long_queued
from shoal.daemon.views.task_columns import (
    ASSIGNEE,
    CHANGED,
    CLAIMED,
    CREATED,
    DEADLINE,
    PRIORITY,
    PROGRESS,
    QUEUE,
    QUEUED,
    STATUS,
    TITLE,
    WAITS_FOR,
    Column,
    task_query,
    task_table,
)
from shoal.model.task import Status, Task
from shoal.services import stats
from shoal.services.transaction import Tx

SHOWN = 100
COUNTED = 1000
ACTIVE_STALE_HOURS = 1
QUEUED_STALE_HOURS = 24
REVIEW_STALE_HOURS = 24
BLOCKED_STALE_HOURS = 7 * 24
OVERDUE_COLUMNS = (TITLE, STATUS, PRIORITY, ASSIGNEE, DEADLINE)


class Staleness(Struct, frozen=True):
    """When a task of a status counts as stale, and what Dataview can say of it."""

    status: Status
    hours: int
    meaning: str
    find: Callable[[Tx, Status, int], list[Task]]
    columns: tuple[Column, ...]
    since: str = "created"


def page(tx: Tx, layout: Layout) -> Page:
    """Unfinished tasks past their deadline; active ones without progress; those that have waited for long."""
    overdue = found(tx, "views.overdue", now=tx.now, limit=SHOWN)
    row = tx.one("views.count_overdue", now=tx.now, limit=COUNTED)
    total = row[0] if row else 0
    stale = [(kind, kind.find(tx, kind.status, tx.now - kind.hours * HOUR_MS)) for kind in STALENESSES]
    counts = {"overdue": total} | {f"stale_{kind.status.value}": len(tasks) for kind, tasks in stale}
    return view(
        layout.view("overdue"),
        "overdue",
        "Tasks past their deadline, and stale ones: active without progress, or waiting for long.",
        counts,
        section(
            f"## Overdue ({total}{' or more' if total == COUNTED else ''})",
            "Unfinished and past their deadline, the longest overdue first. Tasks' files do not tell deadlines.",
            task_table(layout, OVERDUE_COLUMNS, overdue),
            left_out(len(overdue), total),
        ),
        *(_stale(layout, kind, tasks) for kind, tasks in stale),
    )


def _long_queued(tx: Tx, _: Status, before: int) -> list[Task]:
    return long_queued(tx, stats.counts(tx), before, SHOWN)


def _unchanged(tx: Tx, status: Status, before: int) -> list[Task]:
    return found(tx, "views.unchanged", status=status.value, before=before, scanned=SCANNED, limit=SHOWN)


def _stale(layout: Layout, kind: Staleness, tasks: list[Task]) -> str:
    long = _duration(kind.hours)
    return section(
        f"## Stale: {kind.status.value} ({len(tasks)}{' or more' if len(tasks) == SHOWN else ''})",
        f"{kind.meaning} for more than {long}, the longest first.",
        task_table(layout, kind.columns, tasks),
        task_query(
            layout,
            kind.columns,
            status=kind.status,
            where=f'status = "{kind.status.value}" AND date(now) - {kind.since} > dur({long})',
            sort=f"{kind.since} ASC",
            limit=SHOWN,
        ),
    )


def _duration(hours: int) -> str:
    number, unit = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"


STALENESSES = (
    Staleness(
        Status.ACTIVE,
        ACTIVE_STALE_HOURS,
        "Active without a sign of progress",
        _unchanged,
        (TITLE, ASSIGNEE, CLAIMED, CHANGED, PROGRESS),
        since="assigned_at",
    ),
    Staleness(
        Status.QUEUED,
        QUEUED_STALE_HOURS,
        "Ready and unclaimed",
        _long_queued,
        (TITLE, PRIORITY, QUEUE, CREATED, QUEUED),
    ),
    Staleness(
        Status.REVIEW,
        REVIEW_STALE_HOURS,
        "Without a verdict",
        _unchanged,
        (TITLE, PRIORITY, ASSIGNEE, CREATED, CHANGED),
    ),
    Staleness(
        Status.BLOCKED,
        BLOCKED_STALE_HOURS,
        "Blocked and unchanged",
        _unchanged,
        (TITLE, PRIORITY, WAITS_FOR, CREATED, CHANGED),
    ),
)
