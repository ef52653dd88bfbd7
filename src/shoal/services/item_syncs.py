"""What trackers are to be told of work items, and what they were told. Who tells them: errands/tracker_push.py."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.errors import Refused
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name
from shoal.model.item import ItemRef, ItemStatus, Project, item_from_row
from shoal.model.item_sync import ItemSync, ToTell
from shoal.model.page import Page, position
from shoal.services.item_changes import change_item
from shoal.services.item_numbers import get_item, item_number, lock_item
from shoal.services.refs import LARGEST_ID
from shoal.services.transaction import Tx
from shoal.services.verb import verb

Tracker = Annotated[Name, Meta(description="The name of a tracker, as in [trackers.NAME].")]
Url = Annotated[str, Meta(max_length=1000, pattern=r"^https?://[^\s]+(?![\s\S])")]


@verb("GET /items/unsynced")
def unsynced(
    tx: Tx,
    *,
    tracker: Tracker,
    known: Annotated[bool, Meta(description="Those that it knows with another status; else those that it lacks.")],
    project: Project | None = None,
    after: ItemRef | None = None,
    limit: Limit = 100,
) -> list[ToTell]:
    """The items that a tracker is to be told of, in the order of their numbers: accepted and open, or told before."""
    given: dict[str, Any] = {"tracker": tracker, "after": 0 if after is None else item_number(after), "limit": limit}
    if project is not None:
        given["project"] = project
    if not known:
        found = [item_from_row(row) for row in tx.all("item_syncs.unknown", **given)]
        return [ToTell(item=item, marker=_marker(tx, item.id), external_id=None, told=None) for item in found]
    return [
        ToTell(
            item=get_item(tx, int(item)),
            marker=_marker(tx, int(item)),
            external_id=external_id,
            told=None if status is None else ItemStatus(status),
        )
        for item, external_id, status in tx.all("item_syncs.changed", **given)
    ]


@verb("POST /items/{item}/synced", repeatable=True)
def synced(
    tx: Tx,
    *,
    item: ItemRef,
    tracker: Tracker,
    external_id: Name,
    url: Url | None = None,
    status: Annotated[ItemStatus | None, Meta(description="The status that it was told.")] = None,
    gone: Annotated[bool, Meta(description="It has it no more, and is not told of it again.")] = False,
) -> ItemSync:
    """Keep what a tracker has been told of an item. Refused when it knows the item by another id."""
    found = lock_item(tx, item)
    row = tx.one("item_syncs.get", tracker=tracker, item=found.id)
    if row is not None and row[2] != external_id:
        raise Refused(f"{tracker} knows {found.item_id} as {row[2]}, not as {external_id}", field="external_id")
    kept = tx.one(
        "item_syncs.put",
        now=tx.now,
        tracker=tracker,
        item=found.id,
        external_id=external_id,
        url=url,
        status=status and status.value,
        gone=int(gone),
    )
    if row is None:
        change_item(tx, found, None, {"refs": found.refs | {tracker: external_id}})
        tx.emit(Kind.ITEM_LINKED, data={"tracker": tracker, "id": external_id, "url": url}, item=found.id)
    assert kept is not None  # noqa: S101 - it was just written
    return _sync(kept)


@verb("GET /items/syncs")
def syncs(tx: Tx, *, tracker: Tracker, cursor: Name | None = None, limit: Limit = 100) -> Page[ItemSync]:
    """What a tracker was told of items, the newest items first."""
    before = LARGEST_ID if cursor is None else position(cursor)
    found = [_sync(row) for row in tx.all("item_syncs.newest", tracker=tracker, before=before, limit=limit)]
    return Page(found, next=str(found[-1].item) if len(found) == limit else None)


def _marker(tx: Tx, item: int) -> str:
    return f"shoal:{tx.identity.ledger_id}:W{item}"


def _sync(row: tuple[Any, ...]) -> ItemSync:
    tracker, item, external_id, url, status, gone, at = row
    told = None if status is None else ItemStatus(status)
    return ItemSync(tracker=tracker, item=item, external_id=external_id, url=url, status=told, gone=bool(gone), at=at)
