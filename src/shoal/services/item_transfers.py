"""The backlog out as markdown, CSV or JSON Lines, and back in from its own JSON Lines; importing twice adds nothing."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shoal.errors import BadInput, ShoalError
from shoal.model.backlog import ItemsExported, ItemsImported, ItemStats, RefusedItem
from shoal.model.event import Kind
from shoal.model.fields import NO_NUL, Count, Moment, Name
from shoal.model.item import OPEN, Form, Item, ItemChanges, ItemStatus, NewItem, Origin, item_from_row, shown
from shoal.model.task import priority_of
from shoal.services import items
from shoal.services.item_changes import change_item, status_of, text_hash
from shoal.services.item_numbers import get_item, item_number
from shoal.services.transaction import Tx
from shoal.services.verb import bad_input, verb

LINKS = 1000
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


class Line(NewItem, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A line of an export, as an import reads it; what an item has besides is passed over."""

    item_id: Name | None = None
    form: Form = Form.NOTE
    status: ItemStatus | None = None
    sort_order: Count = 0
    blocked_by: Annotated[list[Name], Meta(max_length=1000)] = []
    done_at: Moment | None = None


@verb("GET /items/export")
def export(
    tx: Tx,
    *,
    format: Literal["jsonl", "csv", "markdown"] = "jsonl",
    project: Name | None = None,
    status: ItemStatus | None = None,
    open: Annotated[bool, Meta(description="Only those that are neither done, rejected nor stale.")] = False,
) -> ItemsExported:
    """Work items, oldest first, as one text; `import` takes JSON Lines again."""
    filters: dict[str, Any] = {"project": project, "status": status and status.value, "open": open or None}
    given = {name: value for name, value in filters.items() if value is not None}
    found: list[Item] = []
    while page := tx.all("backlog.all", after=found[-1].id if found else 0, limit=1000, **given):
        found += map(item_from_row, page)
    if format == "markdown":
        return ItemsExported(_markdown(found), len(found))
    rows = [_row(tx, item) for item in found]
    return ItemsExported(_csv(rows) if format == "csv" else "".join(map(_line, rows)), len(found))


@verb("POST /items/import", status=201)
def import_(
    tx: Tx,
    *,
    text: Annotated[str, Meta(max_length=8_000_000, pattern=NO_NUL, description="JSON Lines, as `export` writes it.")],
    project: Annotated[Name | None, Meta(description="For lines that name none.")] = None,
) -> ItemsImported:
    """Take items into the backlog, in one transaction; a line that is refused is told of, the others are taken.

    A line is an item that is there already when they have a name elsewhere in common, or the same words in the same
    file; that item stays as it is.
    """
    refused: list[RefusedItem] = []
    taken: dict[str, Item] = {}
    new: list[tuple[int, Line, Item]] = []
    there: list[str] = []
    seen: Counter[int] = Counter()
    for number, line in _lines(text, project, refused):
        item = _known(tx, line, seen)
        if item is None:
            item = _take(tx, line)
            new.append((number, line, item))
        else:
            there.append(item.item_id)
        seen[item.id] += 1
        if line.item_id is not None:
            taken[line.item_id] = item
    for number, line, item in new:
        refused += _link(tx, number, line, item, taken)
    return ItemsImported([item.item_id for _, _, item in new], there, sorted(refused, key=lambda one: one.line))


@verb("GET /items/stats")
def stats(tx: Tx, *, project: Name | None = None) -> ItemStats:
    """How many items there are, by status, origin, project and priority; open ones only in the last three."""
    filters = {} if project is None else {"project": project}
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    oldest: list[int] = []
    for name, status, origin, priority, count, first in tx.all("backlog.counts", **filters):
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
    row["blocked_by"] = [shown(number) for (number,) in tx.all("items.blockers", blocked=item.id, limit=LINKS)]
    return row


def _line(row: dict[str, Any]) -> str:
    return _json({name: value for name, value in row.items() if value not in (None, [], {})}).decode() + "\n"


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


def _lines(text: str, project: str | None, refused: list[RefusedItem]) -> Iterable[tuple[int, Line]]:
    for number, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            given = msgspec.json.decode(raw)
            if not isinstance(given, dict):
                raise BadInput("a line must be a JSON object")
            given = {name: value for name, value in given.items() if name in Line.__struct_fields__}
            if project is not None:
                given.setdefault("project", project)
            yield number, msgspec.convert(given, Line)
        except msgspec.ValidationError as error:
            refused.append(RefusedItem(number, bad_input(error, Line).message))
        except (msgspec.DecodeError, RecursionError):
            refused.append(RefusedItem(number, "it is not JSON"))
        except BadInput as error:
            refused.append(RefusedItem(number, error.message))


def _known(tx: Tx, line: Line, seen: Counter[int]) -> Item | None:
    for system, name in sorted(line.refs.items()):
        pair = _json({system: name}).decode()[1:-1]
        like = "%" + pair.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        for row in tx.all("backlog.with_ref", project=line.project, like=like, limit=LINKS):
            item = item_from_row(row)
            if item.refs.get(system) == name:
                return item if item.merged_into is None else get_item(tx, item.merged_into)
    for row in tx.all("backlog.alike", project=line.project, text_hash=text_hash(line.text), limit=LINKS):
        item = item_from_row(row)
        if item.source_file == line.source_file and not seen[item.id]:
            return item if item.merged_into is None else get_item(tx, item.merged_into)
    return None


def _take(tx: Tx, line: Line) -> Item:
    names = set(NewItem.__struct_fields__) - {"files", "accepted", "parent", "priority", "text"}
    given = {name: getattr(line, name) for name in names}
    given |= {"form": line.form, "sort_order": line.sort_order}
    given["priority"] = None if line.priority is None else priority_of(line.priority)
    made = items.insert(tx, origin=Origin.IMPORT, accepted=line.accepted, text=line.text, **given)
    for path in line.files:
        tx.all("items.put_file", item=made.id, path=path, validated=0)
    tx.emit(Kind.ITEM_CREATED, data={"text": made.name, "imported": line.item_id or ""}, item=made.id)
    status = line.status or made.status
    if status in (ItemStatus.ASSESSED, ItemStatus.IN_PROGRESS, ItemStatus.TRIAGED, ItemStatus.NEW):
        status = status_of(made, accepted=line.accepted)
    if status is made.status:
        return made
    done_at = (line.done_at or tx.now) if status is ItemStatus.DONE else None
    return change_item(tx, made, Kind.ITEM_UPDATED, {"status": status, "done_at": done_at})


def _link(tx: Tx, number: int, line: Line, item: Item, taken: dict[str, Item]) -> list[RefusedItem]:
    refused = []

    def meant(ref: str | int) -> Item:
        found = taken.get(str(ref)) or taken.get(shown(item_number(ref)))
        if found is None:
            raise BadInput(f"{ref} is no line of this file that was taken")
        return found

    if line.parent is not None:
        try:
            items.update(tx, ItemChanges(parent=meant(line.parent).id), item=item.id)
        except ShoalError as error:
            refused.append(RefusedItem(number, f"below {line.parent}: {error.message}"))
    for ref in line.blocked_by:
        try:
            items.depend(tx, item=item.id, on=meant(ref).id)
        except ShoalError as error:
            refused.append(RefusedItem(number, f"waits for {ref}: {error.message}"))
    return refused
