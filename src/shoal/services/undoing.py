"""Taking back what was done to an item: a decision, an edit, a priority. The log says what there was before."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.errors import NotFound, Refused
from shoal.model.event import Kind, event_from_row
from shoal.model.fields import Positive
from shoal.model.item import Item, ItemRef, ItemStatus
from shoal.services.item_changes import change_item, text_hash
from shoal.services.item_numbers import lock_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb

UNDONE = frozenset({Kind.ITEM_ACCEPTED, Kind.ITEM_REJECTED, Kind.ITEM_UPDATED, Kind.ITEM_PRIORITISED})
_BY_TASKS = frozenset({ItemStatus.IN_PROGRESS.value, ItemStatus.DONE.value})


@verb("POST /items/{item}/undo")
def undo(
    tx: Tx,
    *,
    item: ItemRef,
    event: Annotated[Positive | None, Meta(description="The event to take back; else the last of the item.")] = None,
) -> Item:
    """Take back a decision, an edit or a priority: every field that it changed is as it was.

    Refused when something has changed these fields since.
    """
    found = lock_item(tx, item)
    if event is None:
        rows = tx.all("events.newest", before=2**63 - 1, limit=1, item=found.id)
    else:
        rows = tx.all("backlog.event", event=event, item=found.id)
    if not rows:
        raise NotFound(f"{found.item_id} has no such event; `shoal item history {found.item_id}`", field="event")
    told = event_from_row(rows[0], tx.identity.prefix)
    if told.kind not in UNDONE or not told.changes:
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
    return change_item(tx, found, Kind.ITEM_UPDATED, fields, data={"undoes": told.id})
