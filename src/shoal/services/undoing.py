"""Taking back what was done to an item: a decision, an edit, a priority. The log says what there was before."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.errors import NotFound, Refused
from shoal.model.event import Event, Kind, event_from_row
from shoal.model.fields import Positive
from shoal.model.item import Item, ItemRef, ItemStatus
from shoal.services.item_changes import change_item, text_hash
from shoal.services.item_ends import left
from shoal.services.item_graph import checked_parent
from shoal.services.item_numbers import lock_item
from shoal.services.refs import LARGEST_ID
from shoal.services.transaction import Tx
from shoal.services.verb import verb

UNDONE = frozenset({Kind.ITEM_ACCEPTED, Kind.ITEM_REJECTED, Kind.ITEM_UPDATED, Kind.ITEM_PRIORITISED})
PAGE = 100
_BY_TASKS = frozenset({ItemStatus.IN_PROGRESS.value, ItemStatus.DONE.value})


@verb("POST /items/{item}/undo")
def undo(
    tx: Tx,
    *,
    item: ItemRef,
    event: Annotated[Positive | None, Meta(description="The event to take back; else the last that can be.")] = None,
) -> Item:
    """Take back a decision, an edit or a priority: every field that it changed is as it was.

    Refused when something has changed these fields since; raises Cycle when it would be put below itself.
    """
    tx.all("dependencies.lock_edges")  # for it may put the item below another
    found = lock_item(tx, item)
    told = _last(tx, found) if event is None else _told(tx, found, event)
    if not _is_undone(told):
        raise Refused(f"{told.kind} of {found.item_id} cannot be taken back", field="event")
    if not _BY_TASKS.isdisjoint(told.changes.get("status", ())):
        raise Refused(f"where {found.item_id} stands follows from its tasks, and cannot be taken back", field="event")
    fields: dict[str, Any] = {}
    for name, (old, new) in told.changes.items():
        if getattr(found, name) != new:
            raise Refused(
                f"the {name} of {found.item_id} was changed again since; `shoal item history {found.item_id}`",
                field="event",
            )
        fields[name] = old
    if "text" in fields:
        fields["text_hash"] = text_hash(fields["text"])
    if fields.get("parent") is not None:
        checked_parent(tx, found, fields["parent"])
    changed = change_item(tx, found, Kind.ITEM_UPDATED, fields, data={"undoes": told.id})
    if "parent" in fields:
        left(tx, found.parent)
    return changed


def _told(tx: Tx, item: Item, event: int) -> Event:
    rows = tx.all("events.of_item", event=event, item=item.id)
    if not rows:
        raise NotFound(f"{item.item_id} has no such event; `shoal item history {item.item_id}`", field="event")
    return event_from_row(rows[0], tx.identity.prefix)


def _last(tx: Tx, item: Item) -> Event:
    """The last event that was a decision, an edit or a priority, whatever came after it."""
    before = LARGEST_ID
    while rows := tx.all("events.newest", before=before, limit=PAGE, item=item.id):
        for told in (event_from_row(row, tx.identity.prefix) for row in rows):
            if _is_undone(told):
                return told
            before = told.id
    raise Refused(f"{item.item_id} has no decision, edit or priority to take back", field="item")


def _is_undone(told: Event) -> bool:
    return told.kind in UNDONE and bool(told.changes)
