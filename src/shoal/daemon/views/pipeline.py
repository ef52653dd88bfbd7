"""The pipeline: what stands where on its way from queued to done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice

from msgspec import Struct

from shoal.adapters.vault.layout import Layout
from shoal.daemon.views.page import Page, left_out, section, view
from shoal.daemon.views.reads import active, crowded, found
from shoal.daemon.views.task_columns import (
    ASSIGNEE,
    CHANGED,
    CLAIMED,
    CREATED,
    FINISHED,
    PRIORITY,
    PROGRESS,
    QUEUE,
    RUN_AT,
    STATUS,
    TITLE,
    WAITS_FOR,
    Column,
    task_query,
    task_table,
)
from shoal.model.task import STATUS_MEANINGS, Status, Task
from shoal.services import stats, tasks
from shoal.services.transaction import Tx

SHOWN = 100


class Stage(Struct, frozen=True):
    """The unfinished tasks of one status: the first of them, what is shown of them, and their order."""

    status: Status
    first: Callable[[Tx, dict[str, dict[str, int]]], list[Task]]
    columns: tuple[Column, ...]
    order: str
    sort: str


def page(tx: Tx, layout: Layout) -> Page:
    """The first tasks of each unfinished status, and those that finished last."""
    by_queue = stats.counts(tx)
    totals = stats.totals(by_queue)
    return view(
        layout.view("pipeline"),
        "pipeline",
        "The tasks by status, on their way from queued to done.",
        totals,
        *(_stage(layout, stage, stage.first(tx, by_queue), totals[stage.status]) for stage in STAGES),
        _finished(tx, layout, totals),
    )


def _queued(tx: Tx, by_queue: dict[str, dict[str, int]]) -> list[Task]:
    names = crowded(by_queue)
    # Together about as many rows as are shown; a queue that turns out to be ahead of the others is read on.
    limit = -(-SHOWN // max(1, len(names)))
    streams = [_in_claim_order(tx, name, limit) for name in names]
    return list(islice(merge(*streams, key=lambda task: (task.priority, task.run_at, task.id)), SHOWN))


def _in_claim_order(tx: Tx, queue: str, limit: int) -> Iterator[Task]:
    cursor: str | None = None
    while True:
        page = tasks.list_(tx, order="claim", queue=queue, limit=limit, cursor=cursor)
        yield from page
        cursor = page.next
        if cursor is None:
            return


def _stage(layout: Layout, stage: Stage, first: list[Task], total: int) -> str:
    return section(
        f"## {stage.status.value.capitalize()} ({total})",
        f"{STATUS_MEANINGS[stage.status].capitalize()}. {stage.order}",
        task_table(layout, stage.columns, first),
        left_out(len(first), total),
        task_query(
            layout,
            stage.columns,
            status=stage.status,
            where=f'status = "{stage.status.value}"',
            sort=stage.sort,
            limit=SHOWN,
        ),
    )


def _finished(tx: Tx, layout: Layout, totals: dict[str, int]) -> str:
    columns = (TITLE, STATUS, ASSIGNEE, FINISHED)
    latest = found(tx, "views.finished", limit=SHOWN)
    ends = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
    total = sum(totals[status] for status in ends)
    return section(
        f"## Finished ({total})",
        f"{', '.join(f'{totals[status]} {status.value}' for status in ends)}. The latest first.",
        task_table(layout, columns, latest),
        left_out(len(latest), total),
        task_query(layout, columns, where="id AND completed_at", sort="completed_at DESC", limit=SHOWN),
    )


STAGES = (
    Stage(
        Status.QUEUED,
        _queued,
        (TITLE, PRIORITY, QUEUE, ASSIGNEE, CREATED),
        "In the order in which they would be claimed.",
        "priority ASC, created ASC",
    ),
    Stage(
        Status.SCHEDULED,
        lambda tx, _: found(tx, "views.scheduled", limit=SHOWN),
        (TITLE, PRIORITY, QUEUE, ASSIGNEE, RUN_AT),
        "The next to come due first.",
        "created ASC",
    ),
    Stage(
        Status.BLOCKED,
        lambda tx, _: found(tx, "views.oldest", status=Status.BLOCKED.value, limit=SHOWN),
        (TITLE, PRIORITY, QUEUE, ASSIGNEE, WAITS_FOR),
        "The oldest first.",
        "created ASC",
    ),
    Stage(
        Status.ACTIVE,
        lambda tx, _: active(tx, SHOWN),
        (TITLE, PRIORITY, QUEUE, ASSIGNEE, CLAIMED, PROGRESS),
        "The longest held first.",
        "assigned_at ASC",
    ),
    Stage(
        Status.REVIEW,
        lambda tx, _: found(tx, "views.oldest", status=Status.REVIEW.value, limit=SHOWN),
        (TITLE, PRIORITY, QUEUE, ASSIGNEE, CHANGED),
        "The oldest first.",
        "created ASC",
    ),
)
