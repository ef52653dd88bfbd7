"""How a verb changes a work item: write the fields, tell old and new in an event."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from shoal.errors import WrongStatus
from shoal.model.event import Kind
from shoal.model.item import CLOSED, Item, ItemStatus, item_from_row
from shoal.services.transaction import Tx

_json = msgspec.json.Encoder().encode
_ENCODED = frozenset({"heading", "labels", "refs"})
_UNTOLD = frozenset(
    {"text_hash", "last_seen_at", "unseen", "input_hash", "assessment_version", "assessed_at", "source_line"}
)
_MARKS = re.compile(r"[\W_]+")


def change_item(
    tx: Tx, item: Item, kind: Kind | None, fields: Mapping[str, Any], *, data: Mapping[str, Any] | None = None
) -> Item:
    """Write new values to an item that the transaction has locked; with a `kind`, old and new are told in an event."""
    row = tx.one(
        "items.change", id=item.id, now=tx.now, **{name: stored(name, value) for name, value in fields.items()}
    )
    assert row is not None  # noqa: S101 - the item is locked, and items are never deleted
    changed = item_from_row(row)
    if kind is not None:
        told = {
            name: [getattr(item, name), getattr(changed, name)]
            for name in fields
            if name not in _UNTOLD and getattr(item, name) != getattr(changed, name)
        }
        tx.emit(kind, changes=told, data=data, item=item.id)
    return changed


def require_open(item: Item, verb: str) -> None:
    """Refuse what makes no sense for an item that is done, rejected or merged."""
    if item.merged_into is not None:
        raise WrongStatus(f"{item.item_id} was merged into W{item.merged_into}; {verb} that one", field="item")
    if item.status in CLOSED:
        raise WrongStatus(
            f"{item.item_id} is {item.status.value}; `shoal item reopen {item.item_id}` first", field="item"
        )


def status_of(item: Item, *, accepted: bool) -> ItemStatus:
    """Where an open item belongs that has no tasks."""
    if not accepted:
        return ItemStatus.NEW
    return ItemStatus.ASSESSED if item.assessed_at is not None else ItemStatus.TRIAGED


def stored(name: str, value: Any) -> Any:
    """A field's value as its column has it."""
    if name in _ENCODED:
        return _json(value).decode()
    if name == "accepted":
        return int(value)
    return getattr(value, "value", value)


def text_hash(text: str) -> str:
    """SHA-256 of a text without its marks, capitals and spaces: what is the same in it in other type."""
    return hashlib.sha256(_MARKS.sub(" ", text).casefold().strip().encode()).hexdigest()
