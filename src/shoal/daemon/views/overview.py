"""The overview: how many tasks there are, and which changed last."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.adapters.vault.layout import Layout
from shoal.daemon.views.page import Cell, Page, dataview, left_out, section, table, view
from shoal.daemon.views.reads import QUEUES, SCANNED, found
from shoal.daemon.views.task_columns import ASSIGNEE, CHANGED, PRIORITY, STATUS, TITLE, task_query, task_table
from shoal.model.task import STATUS_MEANINGS, Status
from shoal.services import stats
from shoal.services.transaction import Tx

RECENT = 50
COLUMNS = (TITLE, STATUS, PRIORITY, ASSIGNEE, CHANGED)


def page(tx: Tx, layout: Layout) -> Page:
    """Counts per status, per queue when there are several, and the latest changes."""
    by_queue = stats.counts(tx)
    totals = stats.totals(by_queue)
    recent = found(tx, "views.recently_changed", scanned=SCANNED, limit=RECENT)
    return view(
        layout.overview,
        "overview",
        "How many tasks there are in each status, and which changed last.",
        totals,
        section(
            "## Tasks",
            table(
                ["Status", "Tasks", "Meaning"],
                ([status.value, totals[status], STATUS_MEANINGS[status]] for status in Status),
            ),
            dataview(
                {"Status": "status", "Tasks": "length(rows)"},
                layout.tasks,
                "WHERE id AND status",
                "GROUP BY status",
            ),
        ),
        _queues(by_queue) if len(by_queue) > 1 else "",
        section(
            "## Recently changed",
            f"The {RECENT} tasks that changed last.",
            task_table(layout, COLUMNS, recent),
            task_query(layout, COLUMNS, where="id AND status", sort="file.mtime DESC", limit=RECENT),
        ),
    )


def _queues(by_queue: dict[str, dict[str, int]]) -> str:
    shown = sorted(by_queue.items())[:QUEUES]
    rows: Iterable[list[Cell]] = ([name, *(counts.get(status, 0) for status in Status)] for name, counts in shown)
    return section(
        "## Queues",
        table(["Queue", *(status.value.capitalize() for status in Status)], rows),
        left_out(len(shown), len(by_queue)),
    )
