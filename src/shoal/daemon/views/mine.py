"""Who has what: the unfinished tasks of each assignee."""

from __future__ import annotations

from shoal.adapters.vault.layout import Layout
from shoal.daemon.views.page import Page, escaped, left_out, section, view
from shoal.daemon.views.reads import active
from shoal.daemon.views.task_columns import (
    ASSIGNEE,
    CHANGED,
    PRIORITY,
    STATUS,
    TITLE,
    WAITS_FOR,
    task_query,
    task_table,
)
from shoal.model.task import Status, Task
from shoal.services.transaction import Tx

ASSIGNEES = 50
SHOWN = 20
COUNTED = 1000
ACTIVE = 500
COLUMNS = (TITLE, STATUS, PRIORITY, WAITS_FOR, CHANGED)


def page(tx: Tx, layout: Layout) -> Page:
    """The active tasks of each assignee, then the waiting ones, the most urgent first."""
    held: dict[str, list[Task]] = {}
    for task in active(tx, ACTIVE):
        if task.assignee is not None:
            held.setdefault(task.assignee, []).append(task)
    waiting = [name for (name,) in tx.all("views.assignees", limit=COUNTED)]
    names = sorted({*held, *waiting})
    shown = names[:ASSIGNEES]
    asked = [{"assignee": name, "limit": SHOWN + 1} for name in shown]
    unfinished = {
        name: [*held.get(name, []), *map(tx.task, rows)]
        for name, rows in zip(shown, tx.many("views.assigned", asked), strict=True)
    }
    return view(
        layout.view("mine"),
        "mine",
        f"The unfinished tasks of each assignee, up to {SHOWN} each: the active ones, then the most urgent.",
        {"assignees": len(names)},
        section(
            "## Everybody",
            task_query(
                layout,
                (ASSIGNEE, *COLUMNS),
                status=Status.ACTIVE,
                where="id AND assigned_to",
                sort="assigned_to ASC, priority ASC",
                limit=ASSIGNEES * SHOWN,
            ),
            "" if shown else "Nothing is assigned to anybody.",
        ),
        *(_assignee(layout, name, found) for name, found in unfinished.items()),
        left_out(len(shown), len(names)),
    )


def _assignee(layout: Layout, name: str, found: list[Task]) -> str:
    return section(
        f"## {escaped(name)}",
        task_table(layout, COLUMNS, found[:SHOWN]),
        "There are more." if len(found) > SHOWN else "",
    )
