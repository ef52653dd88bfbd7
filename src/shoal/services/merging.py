"""Two work items that are the same become one; every item that this changes tells of it."""

from __future__ import annotations

from functools import partial
from typing import Any

from shoal.errors import BadInput, Cycle, Refused
from shoal.model.event import Kind
from shoal.model.item import Item, ItemRef, ItemStatus, shown
from shoal.services.item_changes import change_item, require_open
from shoal.services.item_ends import left
from shoal.services.item_graph import MOST, ancestors, blockers, dependents, wait, wait_no_more, way
from shoal.services.item_numbers import item_number, lock_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb


@verb("POST /items/{item}/merge", repeatable=True)
def merge(tx: Tx, *, item: ItemRef, into: ItemRef) -> Item:
    """Say that an item is the same as another: what hangs on it goes over, and it is left out of lists.

    One that was below it takes its place. A scan that sees it again counts it as the other one. Refused for an item
    that has tasks; raises Cycle when one of the two waits for the other by way of a third.
    """
    tx.all("dependencies.lock_edges")
    number, target_number = item_number(item), item_number(into)
    if number == target_number:
        raise BadInput(f"{shown(number)} cannot be merged into itself", field="into")
    below = {int(row[0]) for row in tx.all("items.numbers_below", parent=number, limit=MOST)}
    waiting = dependents(tx, number)
    locked = {one: lock_item(tx, one) for one in sorted({number, target_number, *below, *waiting})}
    found, target = locked[number], locked[target_number]
    if found.merged_into == target.id:
        return target
    _check(tx, found, target)
    _move_files(tx, found, target)
    for blocker in blockers(tx, found.id):
        wait_no_more(tx, found.id, blocker)
        if blocker != target.id:
            wait(tx, target.id, blocker)
    for blocked in waiting:
        wait_no_more(tx, blocked, found.id)
        if blocked != target.id:
            wait(tx, blocked, target.id)
    takes_its_place = found.id in ancestors(tx, target.parent)
    for part in sorted(below - {target.id}):
        change_item(tx, locked[part], Kind.ITEM_UPDATED, {"parent": target.id})
    data = {"into": target.item_id}
    change_item(tx, found, Kind.ITEM_MERGED, {"merged_into": target.id, "status": ItemStatus.WONTFIX}, data=data)
    fields: dict[str, Any] = {
        "labels": list(dict.fromkeys([*target.labels, *found.labels])),
        "refs": found.refs | target.refs,
        "parent": found.parent if takes_its_place else target.parent,
    }
    fields = {name: value for name, value in fields.items() if value != getattr(target, name)}
    changed = change_item(tx, target, Kind.ITEM_UPDATED, fields) if fields else target
    if "parent" in fields:
        left(tx, target.parent)
    return changed


def _check(tx: Tx, found: Item, target: Item) -> None:
    require_open(found, "merge")
    if target.merged_into is not None:
        raise Refused(
            f"{target.item_id} was merged into {shown(target.merged_into)}; merge into that one", field="into"
        )
    if tasks := tx.all("items.tasks", item=found.id, limit=1):
        raise Refused(f"{found.item_id} has tasks ({tx.shown(tasks[0][0])}); finish or cancel them first", field="item")
    if found.status is ItemStatus.IN_PROGRESS:
        raise Refused(f"what is below {found.item_id} has tasks under way; finish or cancel them first", field="item")
    for one, other in ((found, target), (target, found)):
        for blocker in blockers(tx, one.id):
            path = None if blocker == other.id else way(blocker, other.id, partial(blockers, tx))
            if path is not None:
                circle = " -> ".join(map(shown, [one.id, *path]))
                raise Cycle(
                    f"{one.item_id} waits for {other.item_id} ({circle}), and merged would wait for itself; "
                    f"`shoal item unlink {one.item_id} --waits-for {shown(blocker)}` first",
                    field="into",
                )


def _move_files(tx: Tx, found: Item, target: Item) -> None:
    known = {path for path, _ in tx.all("items.files", item=target.id, limit=MOST)}
    files = [row for row in tx.all("items.files", item=found.id, limit=MOST) if row[0] not in known]
    for path, validated in files:
        tx.all("items.put_file", item=target.id, path=path, validated=validated)
    if files:
        tx.emit(Kind.ITEM_LINKED, data={"files": [path for path, _ in files]}, item=target.id)
