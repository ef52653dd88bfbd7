"""Tasks that wait or are active for too long, or wait for what will never let them go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.ledger import Ledger
from shoal.model.check import Finding
from shoal.model.dependency import DependencyKind
from shoal.model.item import Severity
from shoal.model.task import Status, Task

NAME = "stale-work"
VERSION = "1"
PAGE = 500
HOUR_MS = 3_600_000


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When work is stale."""

    queued_days: Annotated[int, Meta(ge=1, le=3650, description="days that a task may be queued; 7")] = 7
    active_hours: Annotated[int, Meta(ge=1, le=87_600, description="hours that an attempt may take; 48")] = 48
    queues: Annotated[list[str], Meta(max_length=100, description="only tasks of these queues; all")] = []


def run(context: Context) -> Iterator[Finding]:
    """Look at every task that is queued, active or blocked."""
    ledger: Ledger = context.ledger
    options: Options = context.options
    for task in _tasks(ledger, Status.QUEUED, options):
        days = (context.now_ms - (task.queued_at or context.now_ms)) // (24 * HOUR_MS)
        if days >= options.queued_days:
            yield _finding("queued", task, f"{_named(task)} has been queued for {days} days")
    for task in _tasks(ledger, Status.ACTIVE, options):
        hours = (context.now_ms - (task.claimed_at or context.now_ms)) // HOUR_MS
        if hours >= options.active_hours:
            yield _finding("active", task, f"{_named(task)} has been active for {hours} hours, with {task.worker}")
    for task in _tasks(ledger, Status.BLOCKED, options):
        yield from _blocked(ledger, task)


def _tasks(ledger: Ledger, status: Status, options: Options) -> Iterator[Task]:
    cursor: str | None = None
    while True:
        page = ledger.tasks.list(status=status, limit=PAGE, cursor=cursor)
        yield from (task for task in page if not options.queues or task.queue in options.queues)
        cursor = page.next
        if cursor is None:
            return


def _blocked(ledger: Ledger, task: Task) -> Iterator[Finding]:
    edges = ledger.tasks.dependencies(task.id)
    blockers = [one for one in edges if one.kind is DependencyKind.BLOCKS and one.blocked == task.task_id]
    for one in blockers:
        if one.blocker_status in (Status.FAILED, Status.CANCELLED) and not one.done:
            ended = f"{one.blocker}, which is {one.blocker_status.value} and will not let it go"
            yield _finding(
                "blocked-by-failed", task, f"{_named(task)} waits for {ended}", key=f"{task.id}:{one.blocker}"
            )
    if task.hold_reason is None and all(one.blocker_status is Status.COMPLETED for one in blockers):
        waits = f"waits, and all that it waited for is done ({len(blockers)} tasks)"
        yield _finding("blocked-by-finished", task, f"{_named(task)} {waits}", severity=Severity.CRITICAL)


def _named(task: Task) -> str:
    return f"{task.task_id} ({task.title})"


def _finding(
    rule: str, task: Task, message: str, *, key: str | None = None, severity: Severity = Severity.WARNING
) -> Finding:
    return Finding(rule=rule, message=message, severity=severity, key=key or task.task_id)
