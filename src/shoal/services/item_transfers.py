"""The backlog out as markdown, CSV or JSON Lines, and in numbers. In again, from JSON Lines: item_imports.py."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shoal.model.fields import Name
from shoal.model.item import OPEN, Item, ItemStats, ItemStatus, item_from_row, shown
from shoal.model.item_import import ImportedItem, System
from shoal.model.item_transfer import ItemsExported
from shoal.services.item_graph import blockers
from shoal.services.item_links import name_of
from shoal.services.item_numbers import get_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb

LINKS = 1000
SAID = tuple(name for name in Item.__struct_fields__ if name in ImportedItem.__struct_fields__)
COLUMNS = [
    *("item_id", "project", "status", "accepted", "priority", "effort", "estimate_minutes", "risk", "severity", "type"),
    *(
        "labels",
        "title",
        "text",
        "source_file",
        "source_line",
        "heading",
        "files",
        "blocked_by",
        "parent",
        "owner",
        "due_at",
        "refs",
    ),
]
HEADINGS = {
    ItemStatus.IN_PROGRESS: "In progress",
    ItemStatus.ASSESSED: "Assessed",
    ItemStatus.TRIAGED: "Accepted",
    ItemStatus.NEW: "New",
    ItemStatus.STALE: "Not seen for long",
    ItemStatus.DONE: "Done",
    ItemStatus.WONTFIX: "Rejected",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_json = msgspec.json.Encoder().encode


@verb("GET /items/export")
def export(
    tx: Tx,
    *,
    format: Literal["jsonl", "csv", "markdown"] = "jsonl",
    project: Name | None = None,
    status: ItemStatus | None = None,
    open: Annotated[bool, Meta(description="Only those that are neither done, rejected nor stale.")] = False,
) -> ItemsExported:
    """Work items, oldest first, as one text. All of an item that JSON Lines say comes back with them."""
    filters: dict[str, Any] = {"project": project, "status": status and status.value, "open": open or None}
    given = {name: value for name, value in filters.items() if value is not None}
    found: list[Item] = []
    while page := tx.all("items.all", after=found[-1].id if found else 0, limit=1000, **given):
        found += map(item_from_row, page)
    if format == "markdown":
        return ItemsExported(_markdown(found), len(found))
    if format == "csv":
        return ItemsExported(_csv([_row(tx, item) for item in found]), len(found))
    return ItemsExported("".join(_line(tx, item) for item in found), len(found))


@verb("GET /items/stats")
def stats(tx: Tx, *, project: Name | None = None) -> ItemStats:
    """How many items there are, by status, origin, project and priority; open ones only in the last three."""
    filters = {} if project is None else {"project": project}
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    oldest: list[int] = []
    for name, status, origin, priority, count, first in tx.all("items.counts", **filters):
        sums["status"][status] += count
        if ItemStatus(status) in OPEN:
            sums["origin"][origin] += count
            sums["project"][name] += count
            sums["priority"]["none" if priority is None else f"P{priority}"] += count
        if status == ItemStatus.NEW.value:
            oldest.append(first)
    return ItemStats(
        total=sum(sums["status"].values()),
        open=sum(sums["origin"].values()),
        by_status=_sorted(sums["status"]),
        by_origin=_sorted(sums["origin"]),
        by_project=_sorted(sums["project"]),
        by_priority=_sorted(sums["priority"]),
        oldest_new_at=min(oldest, default=None),
    )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _row(tx: Tx, item: Item) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(item)
    row["parent"] = None if item.parent is None else shown(item.parent)
    row["files"] = [path for path, _ in tx.all("items.files", item=item.id, limit=LINKS)]
    row["blocked_by"] = [*map(shown, blockers(tx, item.id))]
    return row


def _line(tx: Tx, item: Item) -> str:
    """An item as an import reads it again, linked by the names that items have among ledgers."""
    files = tx.all("items.files", item=item.id, limit=LINKS)
    blockers = tx.all("items.blockers", blocked=item.id, limit=LINKS)
    line: dict[str, Any] = {"id": name_of(tx, item), "item_id": item.item_id}
    line |= {name: getattr(item, name) for name in SAID}
    line |= {
        "refs": {system: name for system, name in item.refs.items() if system != System.SHOAL},
        "parent": None if item.parent is None else name_of(tx, get_item(tx, item.parent)),
        "blocked_by": [name_of(tx, get_item(tx, number)) for (number,) in blockers],
        "files": [path for path, _ in files],
        "validated_files": [path for path, validated in files if validated],
    }
    return _json({name: value for name, value in line.items() if value not in (None, [], {})}).decode() + "\n"


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A value as a cell; a spreadsheet takes none of it for a formula."""
    if isinstance(value, list):
        value = ", ".join(value)
    if isinstance(value, dict):
        value = ", ".join(f"{name}={one}" for name, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _markdown(found: list[Item]) -> str:
    by_status: defaultdict[ItemStatus, list[Item]] = defaultdict(list)
    for item in found:
        by_status[item.status].append(item)
    parts = ["# Backlog\n"]
    for status, heading in HEADINGS.items():
        group = sorted(by_status[status], key=lambda one: (_rank(one), one.sort_order, one.id))
        if group:
            parts.append(f"\n## {heading} ({len(group)})\n\n" + "".join(map(_box, group)))
    return "".join(parts)


def _rank(item: Item) -> int:
    return 9 if item.priority is None else item.priority


def _box(item: Item) -> str:
    box = {ItemStatus.DONE: "x", ItemStatus.WONTFIX: "-"}.get(item.status, " ")
    words = [item.item_id, *([f"P{item.priority}"] if item.priority is not None else [])]
    place = f" ({item.source_file}:{item.source_line or 1})" if item.source_file is not None else ""
    return f"- [{box}] **{' '.join(words)}** {' '.join(item.name.split())}{place}\n"
