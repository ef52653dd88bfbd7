"""JSON Lines as `shoal backlog export` writes them, of this ledger or another; or as people write them by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from shoal.adapters.importers import reading, record
from shoal.model.item import OPEN, ItemStatus
from shoal.model.item_import import ImportedItem, Refusal, System

SYSTEM = System.SHOAL
STATUSES = dict.fromkeys(OPEN, "open") | {ItemStatus.DONE: "done", ItemStatus.WONTFIX: "declined"}
STATUSES |= {ItemStatus.STALE: "stale"}
SAME = frozenset(ImportedItem.__struct_fields__) - {"ref", "place", "status", "parent", "blocked_by", "note"}


def fits(path: Path) -> bool:
    """Whether a path looks like an export: lines of objects with a text, as another tool's have none; or none."""
    if not path.is_file() or path.suffix.lower() not in (".jsonl", ".ndjson"):
        return False
    with path.open("rb") as file:
        start = file.read(20_000)
    return not start.strip() or (b'"text"' in start and b'"issue_type"' not in start)


def read(path: Path) -> Iterator[ImportedItem | Refusal]:
    """The items of a file, a line each; what Shoal has no field for is passed over."""
    name = record.line(path.name)
    for number, line in enumerate(reading.read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            given = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield Refusal(place, f"it is no JSON: {error}")
            continue
        yield _item(given, place) if isinstance(given, dict) else Refusal(place, "it is no JSON object")


def _item(given: dict[str, Any], place: str) -> ImportedItem | Refusal:
    if given.get("id") is None:
        return Refusal(place, 'it has no id: any name will do that no other line has, as "id": "login"')
    status = given.get("status", ItemStatus.NEW.value)
    if status not in list(ItemStatus):  # not a set: it may be a table
        return Refusal(place, f"its status is none of {', '.join(ItemStatus)}")
    parent, blockers = given.get("parent"), given.get("blocked_by", [])
    fields = {name: value for name, value in given.items() if name in SAME} | {
        "ref": _ref(given["id"]),
        "place": place,
        "status": STATUSES[ItemStatus(status)],
        "parent": None if parent is None else _ref(parent),
        "blocked_by": [*map(_ref, blockers)] if isinstance(blockers, list) else blockers,
    }
    if status == ItemStatus.IN_PROGRESS.value:
        fields["note"] = "it was in progress: its tasks stay where they are"
    try:
        return msgspec.convert(fields, ImportedItem)
    except msgspec.ValidationError as error:
        return Refusal(place, str(error))


def _ref(name: Any) -> dict[str, Any]:
    return {"system": SYSTEM, "id": name}
