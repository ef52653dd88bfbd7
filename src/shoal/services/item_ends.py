"""How an item ends: done, or back among those that wait, and what that means for those above it."""

from __future__ import annotations

from shoal.errors import Refused
from shoal.model.event import Kind
from shoal.model.found import Mark
from shoal.model.item import CLOSED, Item, ItemStatus
from shoal.model.task import Status
from shoal.services import item_tasks, outcomes, tasks
from shoal.services.item_changes import change_item, require_open, status_of
from shoal.services.item_graph import ancestors
from shoal.services.item_numbers import lock_item
from shoal.services.transaction import Tx


def finish(tx: Tx, item: Item, *, reason: str | None = None) -> Item:
    """Make a locked item done; one that is stays as it is. Refused while tasks of it, or below it, are under way."""
    if item.status is ItemStatus.DONE:
        return item
    if item.merged_into is not None:
        require_open(item, "finish")
    if live := item_tasks.live(tx, item):
        raise Refused(
            f"{item.item_id} has tasks under way ({tx.shown(live[0])}); finish or cancel them first", field="item"
        )
    fields = {"status": ItemStatus.DONE, "done_at": tx.now, "done_commit": None}
    return change_item(tx, item, Kind.ITEM_DONE, fields, data={"reason": reason} if reason else None)


def vanish(tx: Tx, item: Item, *, reason: str) -> bool:
    """What a locked item is about is there no more: it is done, unless somebody is at it; whether it is.

    What was submitted for it is approved by that, and what nobody has begun is completed without anybody being paid.
    """
    under_way = tasks.by_numbers(tx, item_tasks.live(tx, item))
    if any(task.status is Status.ACTIVE for task in under_way):
        return False
    for task in under_way:
        if task.status is not Status.REVIEW:
            task = outcomes.complete(tx, task=task.id, summary=reason)
        if task.status is Status.REVIEW:
            outcomes.review(tx, task=task.id, approve=True, notes=reason)
    finish(tx, item, reason=reason)
    return True


def settle(tx: Tx, item: Item, *, reopened: bool) -> list[str]:
    """Put an item where its tasks say that it belongs, and then those above it; what was done, a line each."""
    said: list[str] = []
    for number in ancestors(tx, item.id):
        one = lock_item(tx, number)
        if one.merged_into is not None:
            break
        if number != item.id:
            reopened = reopened and one.status is ItemStatus.DONE and not item_tasks.parts(tx, one)
            if one.status is not ItemStatus.IN_PROGRESS and not reopened:
                break
        said += _resume(tx, one) if reopened and item_tasks.live(tx, one) else _conclude(tx, one)
    return said


def left(tx: Tx, number: int | None) -> None:
    """Something is no part of an item any more: if it was under way for that, it stands where the rest says."""
    if number is not None and (item := lock_item(tx, number)).status is ItemStatus.IN_PROGRESS:
        settle(tx, item, reopened=False)


def _resume(tx: Tx, item: Item) -> list[str]:
    """A task of it was reopened."""
    if item.status is ItemStatus.IN_PROGRESS:
        return []
    fields = {"status": ItemStatus.IN_PROGRESS, "accepted": True, "done_at": None, "done_commit": None}
    change_item(tx, item, Kind.ITEM_REOPENED, fields, data={"reason": "a task of it was reopened"})
    return [f"{item.item_id}: in progress again"]


def _conclude(tx: Tx, item: Item) -> list[str]:
    if item.status not in (ItemStatus.IN_PROGRESS, ItemStatus.STALE):
        return []
    own = item_tasks.parts(tx, item)
    if item_tasks.live(tx, item):
        return _warn(tx, item, own)
    if own:
        bad = [f"{tx.shown(one.task)} {one.status.value}" for one in own if one.status is not Status.COMPLETED]
    else:
        below = {(status, count) for status, _, count in tx.all("item_tasks.statuses_below", parent=item.id)}
        if any(status == ItemStatus.IN_PROGRESS.value for status, _ in below):
            return []  # its tasks have ended, and what follows from that comes at once
        bad = [f"{count} below it {status}" for status, count in sorted(below) if status not in CLOSED]
        if not any(status == ItemStatus.DONE.value for status, _ in below):
            bad = bad or ["nothing below it is done"]
    if not bad:
        finish(tx, item, reason="its tasks are completed")
        return [f"{item.item_id}: done"]
    if item.status is ItemStatus.STALE:
        return []
    reason = ", ".join(bad)
    marked = tx.one("scans.marked", item=item.id)
    if marked is not None:
        return _take_mark(tx, item, Mark(marked[0]), path=marked[1], scanner=marked[2], tasks=reason)
    fields = {"status": status_of(item, accepted=item.accepted)}
    change_item(tx, item, Kind.ITEM_UPDATED, fields, data={"reason": reason})
    return [f"{item.item_id}: {fields['status'].value} again, {reason}"]


def _warn(tx: Tx, item: Item, parts: list[item_tasks.Part]) -> list[str]:
    """Of an item that is under way: tell what of it ended badly, for what comes after that waits for ever."""
    bad = [part for part in parts if part.status in (Status.FAILED, Status.CANCELLED)]
    if not bad:
        return []
    ended = ", ".join(f"{tx.shown(part.task)} {part.status.value}" for part in bad)
    first = tx.shown(bad[0].task)
    reason = f"{ended}; `shoal reopen {first}` tries it again, `shoal item run {item.item_id}` makes it anew"
    tx.emit(Kind.ITEM_UPDATED, data={"reason": reason}, item=item.id)
    return [f"{item.item_id}: {reason}"]


def _take_mark(tx: Tx, item: Item, mark: Mark, *, path: str, scanner: str, tasks: str) -> list[str]:
    """What its box says counts, now that no tasks are under way any more."""
    if mark is Mark.DONE:
        finish(tx, item, reason=f"ticked in {path}, {tasks}")
        return [f"{item.item_id}: done, ticked in {path}"]
    fields = {"status": ItemStatus.WONTFIX, "accepted": False, "decided_by": scanner}
    data = {"by": scanner, "reason": f"declined in {path}, {tasks}"}
    change_item(tx, item, Kind.ITEM_REJECTED, fields, data=data)
    return [f"{item.item_id}: rejected, declined in {path}"]
