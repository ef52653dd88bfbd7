"""Costs: what model calls used and cost on the latest days that had any, by day, purpose, agent, model and task."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.adapters.vault.layout import Layout
from shoal.clock import DAY_MS
from shoal.daemon.views.page import Cell, Page, dataview, section, table, view
from shoal.daemon.views.reads import by_number
from shoal.daemon.views.task_columns import task_link
from shoal.model.cost import CostSum, dollars
from shoal.services import costs
from shoal.services.refs import task_number
from shoal.services.transaction import Tx

DAYS = 14
SHOWN = 50
COLUMNS = ("Calls", "Input", "From cache", "Output", "USD", "Without a price")


def page(tx: Tx, layout: Layout) -> Page:
    """The days themselves; then the purposes, agents, models and tasks that cost the most on them."""
    row = tx.one("costs.first_day", limit=DAYS)
    since = DAY_MS * (row[0] if row and row[0] is not None else 0)
    days = costs.sums(tx, by="day", since=since, limit=DAYS)
    tasks = costs.sums(tx, by="task", since=since, limit=SHOWN)
    counts = {
        "days": len(days),
        "calls": sum(day.calls for day in days),
        "cost_usd_micros": sum(day.cost_usd_micros for day in days),
        "calls_unpriced": sum(day.unpriced for day in days),
    }
    return view(
        layout.view("costs"),
        "costs",
        f"What model calls used and cost on the latest {DAYS} days (UTC) that had any.",
        counts,
        section("## Days", _table("Day", days)),
        section("## Purposes", _table("Purpose", costs.sums(tx, by="purpose", since=since, limit=SHOWN))),
        section("## Agents", _table("Agent", costs.sums(tx, by="agent", since=since, limit=SHOWN))),
        section("## Models", _table("Model", costs.sums(tx, by="model", since=since, limit=SHOWN))),
        section(
            "## Tasks",
            f"The {SHOWN} that cost the most on these days; the query asks for all they ever cost.",
            _tasks(tx, layout, tasks),
            dataview(
                {"Task": "file.link", "Title": "name", "Status": "status", "USD": "cost_usd"},
                layout.tasks,
                "WHERE id AND cost_usd",
                "SORT cost_usd DESC",
                f"LIMIT {SHOWN}",
            ),
        ),
    )


def _tasks(tx: Tx, layout: Layout, shown: list[CostSum]) -> str:
    found = by_number(tx, [task_number(tx, one.key) for one in shown])
    rows = (
        [task_link(layout, task), task.title, task.status.value, *_cells(one)]
        for one, task in zip(shown, found, strict=True)
    )
    return table(["Task", "Title", "Status", *COLUMNS], rows)


def _table(header: str, shown: Iterable[CostSum]) -> str:
    return table([header, *COLUMNS], ([one.key, *_cells(one)] for one in shown))


def _cells(one: CostSum) -> list[Cell]:
    percent = one.cached_percent
    return [
        one.calls,
        one.all_input_tokens,
        None if percent is None else f"{percent} %",
        one.output_tokens,
        dollars(one.cost_usd_micros),
        one.unpriced or None,
    ]
