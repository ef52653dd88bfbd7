"""What waits for what: the unfinished tasks that block or are blocked, drawn and listed."""

from __future__ import annotations

import re

from shoal.adapters.vault.layout import Layout
from shoal.daemon.views.page import Page, fenced, left_out, section, shortened, table, view
from shoal.daemon.views.reads import SCANNED, by_number
from shoal.daemon.views.task_columns import PRIORITY, STATUS, TITLE, WAITS_FOR, task_link, task_query
from shoal.model.task import Status, Task
from shoal.services import stats
from shoal.services.transaction import Tx

LISTED = 200
# Mermaid draws no graph of more than 50,000 characters: 160 nodes with five for each one of a title stay below that.
DRAWN = 80
LONGEST_LABEL = 40
# All punctuation of ASCII, and the signs that mermaid puts in the place of # and ; while it works.
_UNFIT = re.compile(r"[\x00-\x1f!-+\-/:-@\[-`{-\x9f°¶]")


def page(tx: Tx, layout: Layout) -> Page:
    """The open dependencies of the oldest blocked tasks, as a graph and as a table."""
    blocked = Status.BLOCKED.value
    total = stats.totals(stats.counts(tx))[blocked]
    row = tx.one("views.count_blocked", status=blocked, scanned=SCANNED)
    scanned, known, last = row or (0, 0, 0)
    edges = [
        (int(waiter), int(blocker))
        for waiter, blocker in tx.all("views.open_edges", status=blocked, scanned=SCANNED, limit=LISTED)
    ]
    ids = sorted({id for edge in edges for id in edge})
    tasks = {task.id: task for task in by_number(tx, ids)}
    drawn = edges[:DRAWN]
    unseen = f"Not counted: what the {total - scanned} blocked tasks after {tx.shown(last)} wait for."
    return view(
        layout.view("dependencies"),
        "dependencies",
        "The unfinished tasks that wait for others, and what these are. An arrow leads from what must be done first.",
        {"blocked": total, "dependencies": int(known)},
        section(
            "## Graph",
            graph(tasks, drawn) if drawn else "Nothing waits for anything.",
            f"{known - len(drawn)} more dependencies are not drawn." if known > len(drawn) else "",
            unseen if total > scanned else "",
        ),
        section(
            "## Table",
            table(
                ["Task", "Title", "Waits for", "Its title", "Its status"],
                (_edge(layout, tasks[waiter], tasks[blocker]) for waiter, blocker in edges),
            ),
            left_out(len(edges), int(known)),
            unseen if total > scanned else "",
            task_query(
                layout,
                (TITLE, STATUS, PRIORITY, WAITS_FOR),
                status=Status.BLOCKED,
                where="id AND depends_on",
                sort="created ASC",
                limit=LISTED,
            ),
        ),
    )


def graph(tasks: dict[int, Task], edges: list[tuple[int, int]]) -> str:
    """A mermaid flowchart. A node is a letter and a number: a ledger's prefix could be a word of mermaid's."""
    ids = sorted({id for edge in edges for id in edge})
    nodes = (f'    n{id}["{tasks[id].task_id} {label(tasks[id].title)} ({tasks[id].status.value})"]' for id in ids)
    arrows = (f"    n{blocker} --> n{waiter}" for waiter, blocker in edges)
    return fenced("mermaid", ["flowchart LR", *nodes, *arrows])


def label(title: str) -> str:
    """A title as a label of mermaid, which has no escapes but the numbers of characters."""
    text = shortened(" ".join(title.split()), LONGEST_LABEL)
    return _UNFIT.sub(lambda match: f"#{ord(match[0])};", text)


def _edge(layout: Layout, waiter: Task, blocker: Task) -> list[str]:
    return [
        task_link(layout, waiter),
        waiter.title,
        task_link(layout, blocker),
        blocker.title,
        blocker.status.value,
    ]
