"""What pages show of tasks, a column each: as a plain table, and as a Dataview query where the tasks' files say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from msgspec import Struct

from shoal.adapters.vault.layout import Layout
from shoal.daemon.views.page import Cell, Markdown, dataview, link, moment, table
from shoal.model.task import Status, Task


class Column(Struct, frozen=True):
    """One property of a task; `key` is its key in the front matter of the task's file, None where it has none."""

    header: str
    of: Callable[[Task], Cell]
    key: str | None = None


TITLE = Column("Title", lambda task: task.title, "name")
STATUS = Column("Status", lambda task: task.status.value, "status")
PRIORITY = Column("Priority", lambda task: f"P{task.priority}", "priority")
QUEUE = Column("Queue", lambda task: task.queue)
ASSIGNEE = Column("Assignee", lambda task: task.assignee, "assigned_to")
WORKER = Column("Worker", lambda task: task.worker)
CLAIMED = Column("Claimed", lambda task: moment(task.claimed_at), "assigned_at")
CREATED = Column("Created", lambda task: moment(task.created_at), "created")
QUEUED = Column("Queued", lambda task: moment(task.queued_at))
CHANGED = Column("Changed", lambda task: moment(task.updated_at))
FINISHED = Column("Finished", lambda task: moment(task.completed_at), "completed_at")
DEADLINE = Column("Deadline", lambda task: moment(task.deadline))
RUN_AT = Column("Not before", lambda task: moment(task.run_at))
PROGRESS = Column("Progress", lambda task: _progress(task))
WAITS_FOR = Column("Waits for", lambda task: _waits_for(task), "depends_on")


def task_link(layout: Layout, task: Task) -> Markdown:
    """A link in a table to the file of a task, where it is now."""
    return link(_folder(layout, task.status), task.task_id)


def task_table(layout: Layout, columns: Iterable[Column], tasks: Iterable[Task]) -> str:
    """A row for each task."""
    shown = list(columns)
    rows = ([task_link(layout, task), *(column.of(task) for column in shown)] for task in tasks)
    return table(["Task", *(column.header for column in shown)], rows)


def task_query(
    layout: Layout, columns: Iterable[Column], *, where: str, sort: str, limit: int, status: Status | None = None
) -> str:
    """The Dataview query of the same columns, as far as the files know them; among the files of a status, or all."""
    keys = {"Task": "file.link"} | {column.header: column.key for column in columns if column.key}
    folder = layout.tasks if status is None else layout.task_folder(status)
    return dataview(keys, folder, f"WHERE {where}", f"SORT {sort}", f"LIMIT {limit}")


@lru_cache(maxsize=64)
def _folder(layout: Layout, status: Status) -> str:
    # Joining paths would take longer than all the rest of a row.
    return str(layout.task_folder(status))


def _progress(task: Task) -> str:
    percent = "" if task.progress is None else f"{task.progress} %"
    return " ".join(filter(None, [percent, task.progress_message]))


def _waits_for(task: Task) -> str:
    held = f"held: {task.hold_reason}" if task.hold_reason is not None else ""
    waits = f"{task.blockers} {'task' if task.blockers == 1 else 'tasks'}" if task.blockers else ""
    return "; ".join(filter(None, [waits, held]))
