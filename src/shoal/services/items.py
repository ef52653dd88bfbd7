"""Work items: made, read, edited, accepted, rejected, linked. Merged: merging.py. What scans do to them: scans.py."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from msgspec import UNSET, Meta

from shoal.errors import Cycle, NotFound, Refused
from shoal.model.assessment import read_answer
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name, PriorityInput, Text
from shoal.model.item import (
    NO_WORK,
    Effort,
    Form,
    Item,
    ItemChanges,
    ItemDetail,
    ItemFile,
    ItemRef,
    ItemStatus,
    NewItem,
    Origin,
    Path,
    Severity,
    item_from_row,
    shown,
)
from shoal.model.page import Page, position
from shoal.model.task import priority_of
from shoal.services import item_tasks
from shoal.services.item_changes import change_item, require_open, status_of, stored, text_hash
from shoal.services.item_ends import finish, left
from shoal.services.item_graph import blockers, checked_parent, dependents, wait, wait_no_more, way
from shoal.services.item_numbers import get_item, item_number, lock_item
from shoal.services.refs import LARGEST_ID
from shoal.services.transaction import Tx
from shoal.services.verb import verb

LINKS = 1000
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40,64}(?![\s\S])", description="A commit's whole name.")]


@verb("POST /items", status=201)
def create(tx: Tx, new: NewItem) -> Item:
    """Make a work item by hand."""
    given = {name: getattr(new, name) for name in new.__struct_fields__ if name not in {"files", "accepted", "parent"}}
    given["priority"] = None if new.priority is None else priority_of(new.priority)
    given["effort"] = new.effort if new.effort is not Effort.UNKNOWN else Effort.of(new.estimate_minutes)
    given["parent"] = None if new.parent is None else checked_parent(tx, None, new.parent)
    made = insert(tx, origin=Origin.MANUAL, accepted=new.accepted, **given)
    for path in new.files:
        tx.all("items.put_file", item=made.id, path=path, validated=0)
    tx.emit(Kind.ITEM_CREATED, data={"text": made.name}, item=made.id)
    return made


@verb("GET /items/{item}")
def get(tx: Tx, *, item: ItemRef) -> ItemDetail:
    """One work item, with its files, the items before and after it, and the tasks that it became."""
    found = get_item(tx, item)
    fields = {name: getattr(found, name) for name in found.__struct_fields__}

    def numbers(query: str, **given: Any) -> list[int]:
        return [int(row[0]) for row in tx.all(query, limit=LINKS, **given)]

    return ItemDetail(
        **fields,
        files=[
            ItemFile(path, bool(validated)) for path, validated in tx.all("items.files", item=found.id, limit=LINKS)
        ],
        missing_files=_missing_files(tx, found),
        blocked_by=[*map(shown, blockers(tx, found.id))],
        blocks=[*map(shown, dependents(tx, found.id))],
        children=[*map(shown, numbers("items.numbers_below", parent=found.id))],
        tasks=[*map(tx.shown, numbers("items.tasks", item=found.id))],
    )


@verb("GET /items")
def list_(
    tx: Tx,
    *,
    project: Name | None = None,
    status: ItemStatus | None = None,
    open: Annotated[bool, Meta(description="Only those that are neither done, rejected nor stale.")] = False,
    accepted: bool | None = None,
    origin: Origin | None = None,
    check: Annotated[Name | None, Meta(description="Only findings of this check.")] = None,
    severity: Severity | None = None,
    priority: PriorityInput | None = None,
    type: Name | None = None,
    label: Name | None = None,
    work: Annotated[bool, Meta(description="Only work: no questions, and no decisions.")] = False,
    parent: ItemRef | None = None,
    source_file: Path | None = None,
    file: Annotated[Path | None, Meta(description="Only those that are about this file, or stand in it.")] = None,
    containing: Annotated[Name | None, Meta(description="Only those with these words, whatever the case.")] = None,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[Item]:
    """A page of work items, newest first; those that were merged into others are left out."""
    filters: dict[str, Any] = {"project": project, "type": type, "label": label, "check_name": check, "file": file}
    filters |= {"source_file": source_file, "origin": origin and origin.value, "severity": severity and severity.value}
    filters |= {"status": status and status.value, "open": open or None, "work": work or None}
    filters["accepted"] = None if accepted is None else int(accepted)
    filters["priority"] = None if priority is None else priority_of(priority)
    filters["parent"] = None if parent is None else item_number(parent)
    if containing is not None:
        escaped = containing.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        filters["like"] = f"%{escaped}%"
    given = {name: value for name, value in filters.items() if value is not None}
    before = LARGEST_ID if cursor is None else position(cursor)
    found = [item_from_row(row) for row in tx.all("items.newest", before=before, limit=limit, **given)]
    return Page(found, next=str(found[-1].id) if len(found) == limit else None)


@verb("GET /items/next")
def next_(tx: Tx, *, project: Name | None = None, limit: Limit = 50) -> list[Item]:
    """The items that have a priority and no tasks yet, in the order in which they are to be done."""
    filters = {} if project is None else {"project": project}
    return [item_from_row(row) for row in tx.all("items.in_order", limit=limit, **filters)]


@verb("PATCH /items/{item}", repeatable=True)
def update(tx: Tx, changes: ItemChanges, *, item: ItemRef) -> Item:
    """Edit a work item; what is left out stays, null clears. A scan does not take back what was edited.

    An estimate says the effort, too, unless that is given.
    """
    if changes.parent is not UNSET and changes.parent is not None:
        tx.all("dependencies.lock_edges")
    found = lock_item(tx, item)
    fields = {name: value for name in changes.__struct_fields__ if (value := getattr(changes, name)) is not UNSET}
    if "priority" in fields and fields["priority"] is not None:
        fields["priority"] = priority_of(fields["priority"])
    if fields.get("parent") is not None:
        fields["parent"] = checked_parent(tx, found, fields["parent"])
    if "text" in fields:
        fields["text_hash"] = text_hash(fields["text"])
    if "priority" in fields:
        fields["prioritised_by"] = None
    if fields.get("estimate_minutes") and "effort" not in fields:
        fields["effort"] = Effort.of(fields["estimate_minutes"])
    fields = {name: value for name, value in fields.items() if value != getattr(found, name)}
    if not fields:
        return found
    changed = change_item(tx, found, Kind.ITEM_UPDATED, fields)
    if "parent" in fields:
        left(tx, found.parent)
    return changed


@verb("POST /items/{item}/accept", repeatable=True)
def accept(tx: Tx, *, item: ItemRef) -> Item:
    """Say that an item is worth doing. What nobody accepted is never assessed by a model, nor done."""
    return decide(tx, lock_item(tx, item), accepted=True, by=tx.actor)


@verb("POST /items/{item}/reject", repeatable=True)
def reject(tx: Tx, *, item: ItemRef, reason: Text | None = None) -> Item:
    """Say that an item will not be done. A scan that sees it again does not bring it back."""
    return decide(tx, lock_item(tx, item), accepted=False, by=tx.actor, reason=reason)


@verb("POST /items/{item}/reopen", repeatable=True)
def reopen(tx: Tx, *, item: ItemRef) -> Item:
    """Open an item again that was done, rejected, or not seen for long."""
    found = lock_item(tx, item)
    if found.merged_into is not None:
        raise Refused(f"{found.item_id} was merged into {shown(found.merged_into)}; reopen that one", field="item")
    if found.status not in (ItemStatus.DONE, ItemStatus.WONTFIX, ItemStatus.STALE):
        return found
    under_way = item_tasks.live(tx, found)
    status = ItemStatus.IN_PROGRESS if under_way else status_of(found, accepted=found.accepted)
    return change_item(
        tx, found, Kind.ITEM_REOPENED, {"status": status, "done_at": None, "done_commit": None, "unseen": 0}
    )


@verb("POST /items/{item}/done", repeatable=True)
def done(tx: Tx, *, item: ItemRef, reason: Text | None = None) -> Item:
    """Say that an item is done. Refused while tasks of it, or below it, are under way."""
    return finish(tx, lock_item(tx, item), reason=reason)


@verb("POST /items/credit", repeatable=True)
def credit(
    tx: Tx,
    *,
    commits: Annotated[dict[Name, Commit], Meta(max_length=1000, description="The commit by item.")],
) -> list[Item]:
    """Say which commits did items that are done: those that ticked their boxes. What is not done is passed over."""
    numbers = {item_number(ref): commit for ref, commit in commits.items()}
    credited = []
    for number, commit in sorted(numbers.items()):
        found = lock_item(tx, number)
        if found.status is ItemStatus.DONE and found.done_commit != commit:
            found = change_item(tx, found, Kind.ITEM_UPDATED, {"done_commit": commit})
        credited.append(found)
    return credited


@verb("POST /items/{item}/files", repeatable=True)
def add_files(tx: Tx, *, item: ItemRef, files: Annotated[list[Path], Meta(min_length=1, max_length=200)]) -> ItemDetail:
    """Say which files an item is about."""
    found = lock_item(tx, item)
    for path in files:
        tx.all("items.put_file", item=found.id, path=path, validated=0)
    tx.emit(Kind.ITEM_LINKED, data={"files": files}, item=found.id)
    return get(tx, item=found.id)


@verb("DELETE /items/{item}/files")
def remove_file(tx: Tx, *, item: ItemRef, path: Path) -> ItemDetail:
    """Say that an item is not about a file. Raises NotFound when it was not."""
    found = lock_item(tx, item)
    if tx.one("items.drop_file", item=found.id, path=path) is None:
        raise NotFound(
            f"{found.item_id} is not about {path}; `shoal item show {found.item_id}` lists its files", field="path"
        )
    tx.emit(Kind.ITEM_LINKED, data={"removed": path}, item=found.id)
    return get(tx, item=found.id)


@verb("POST /items/{item}/dependencies", repeatable=True)
def depend(tx: Tx, *, item: ItemRef, on: ItemRef) -> ItemDetail:
    """Make an item wait for another; its tasks will wait for the other's. Raises Cycle, with the path."""
    tx.all("dependencies.lock_edges")  # two who look at once would not see each other's circle
    found, blocker = lock_item(tx, item), get_item(tx, on)
    if blocker.merged_into is not None:
        require_open(blocker, "wait for")
    path = way(blocker.id, found.id, partial(blockers, tx))
    if path is not None:
        circle = " -> ".join(map(shown, [found.id, *path]))
        raise Cycle(f"{found.item_id} cannot wait for {blocker.item_id}, which waits for it: {circle}", field="on")
    wait(tx, found.id, blocker.id)
    return get(tx, item=found.id)


@verb("DELETE /items/{item}/dependencies/{on}")
def undepend(tx: Tx, *, item: ItemRef, on: ItemRef) -> ItemDetail:
    """Let an item wait for another no more. Raises NotFound when it did not."""
    found = lock_item(tx, item)
    if not wait_no_more(tx, found.id, item_number(on)):
        raise NotFound(f"{found.item_id} does not wait for {on}", field="on")
    return get(tx, item=found.id)


def _missing_files(tx: Tx, item: Item) -> list[str]:
    row = tx.one("assessments.last_answer", item=item.id)
    return [] if row is None else read_answer(row[0]).missing_files


def insert(tx: Tx, *, origin: Origin, accepted: bool, text: str, **given: Any) -> Item:
    """A new row; what is not given is unknown. The caller tells of it."""
    known = ItemStatus.ASSESSED if given.get("assessed_at") is not None else ItemStatus.TRIAGED
    status = known if accepted else ItemStatus.NEW
    fields: dict[str, Any] = {
        **dict.fromkeys(("source_file", "source_line", "check_name", "rule", "run", "severity", "title", "summary")),
        **dict.fromkeys(("estimate_minutes", "priority", "type", "owner", "due_at", "parent", "done_at")),
        **dict.fromkeys(("confidence", "assessed_at", "assessed_by", "done_commit", "prioritised_by")),
        "heading": [],
        "labels": [],
        "refs": {},
        "sort_order": 0,
        "form": Form.NOTE,
        "status": status,
        "effort": "unknown",
        "risk": "unknown",
        "tier": "unknown",
        "first_seen_at": tx.now,
        "decided_by": tx.actor if accepted else None,
        **given,
        "origin": origin,
        "accepted": accepted,
        "text": text,
        "text_hash": text_hash(text),
    }
    row = tx.one("items.insert", now=tx.now, **{name: stored(name, value) for name, value in fields.items()})
    assert row is not None  # noqa: S101 - an insert gives its row
    return item_from_row(row)


def decide(tx: Tx, item: Item, *, accepted: bool, by: str, reason: str | None = None) -> Item:
    """Accept or reject a locked item; `by` is a person, or the name of a rule."""
    if item.merged_into is not None or (accepted and item.status is ItemStatus.DONE):
        require_open(item, "decide about")
    data = {"by": by} | ({"reason": reason} if reason else {})
    if accepted:
        if item.form in NO_WORK:
            raise Refused(f"{item.item_id} is a {item.form.value}, and no work; add what is to be done", field="item")
        if item.accepted and item.status is not ItemStatus.WONTFIX:
            return item
        status = item.status if item.status is ItemStatus.IN_PROGRESS else status_of(item, accepted=True)
        fields = {"accepted": True, "decided_by": by, "status": status}
        return change_item(tx, item, Kind.ITEM_ACCEPTED, fields, data=data)
    if item.status is ItemStatus.WONTFIX:
        return item
    if item.status is ItemStatus.IN_PROGRESS:
        raise Refused(
            f"{item.item_id} has tasks under way; cancel them first: `shoal item show {item.item_id}`", field="item"
        )
    fields = {"accepted": False, "decided_by": by, "status": ItemStatus.WONTFIX}
    return change_item(tx, item, Kind.ITEM_REJECTED, fields, data=data)
