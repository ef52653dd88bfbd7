"""What becomes of items when their tasks end: done, or back among those that wait. Read from the log, in its order."""

from __future__ import annotations

from shoal.model.event import Kind
from shoal.model.found import Mark
from shoal.model.item import Item, ItemStatus
from shoal.model.task import Status
from shoal.services import events, item_tasks, items
from shoal.services.item_changes import change_item, status_of
from shoal.services.item_refs import lock_item
from shoal.services.transaction import Tx

CURSOR = "backlog"
EVENTS_PER_LOOK = 20_000


def begin(tx: Tx) -> None:
    """From here on the log is read: what ends before the first look is seen by it."""
    if tx.one("events.cursor", name=CURSOR) is None:
        tx.all("events.begin_cursor", name=CURSOR, position=tx.horizon(), now=tx.now)


def waiting(tx: Tx) -> tuple[int, bool]:
    """Where the log ends now, and whether there is something in it to follow, or much of anything."""
    row, horizon = tx.one("events.cursor", name=CURSOR), tx.horizon()
    if row is None or row[0] >= horizon:
        return horizon, row is None
    if horizon - row[0] > EVENTS_PER_LOOK:
        return horizon, True
    return horizon, bool(tx.all("backlog.moved", after=row[0], upto=horizon))


def follow(tx: Tx) -> tuple[list[str], bool]:
    """Take what happened to the tasks of items since the last look; what was done, a line each, and whether there is
    more to look at.
    """
    after, upto, more = events.next_stretch(tx, CURSOR, limit=EVENTS_PER_LOOK)
    if upto == after:
        return [], False
    done: list[str] = []
    for number, reopened in tx.all("backlog.moved", after=after, upto=upto):
        done += _settle(tx, lock_item(tx, number), reopened=bool(reopened))
    events.move_cursor(tx, CURSOR, upto)
    return done, more


def _settle(tx: Tx, item: Item, *, reopened: bool) -> list[str]:
    """Put an item where its tasks say that it belongs, and then the one above it."""
    if item.merged_into is not None:
        return []
    said = _resume(tx, item) if item_tasks.live(tx, item) and reopened else _conclude(tx, item)
    if item.parent is None:
        return said
    above = lock_item(tx, item.parent)
    if above.status is ItemStatus.IN_PROGRESS:
        return said + _settle(tx, above, reopened=False)
    if above.status is ItemStatus.DONE and reopened and not item_tasks.parts(tx, above):
        return said + _settle(tx, above, reopened=True)
    return said


def _resume(tx: Tx, item: Item) -> list[str]:
    """A task of it was reopened."""
    if item.status is ItemStatus.IN_PROGRESS:
        return []
    fields = {"status": ItemStatus.IN_PROGRESS, "accepted": True, "done_at": None, "done_commit": None}
    change_item(tx, item, Kind.ITEM_REOPENED, fields, data={"reason": "a task of it was reopened"})
    return [f"{item.item_id}: in progress again"]


def _conclude(tx: Tx, item: Item) -> list[str]:
    if item.status not in (ItemStatus.IN_PROGRESS, ItemStatus.STALE) or item_tasks.live(tx, item):
        return []
    own = item_tasks.parts(tx, item)
    if own:
        bad = [f"{tx.shown(one.task)} {one.status.value}" for one in own if one.status is not Status.COMPLETED]
    else:
        below = {(status, count) for status, _, count in tx.all("backlog.statuses_below", parent=item.id)}
        closed = {ItemStatus.DONE.value, ItemStatus.WONTFIX.value}
        bad = [f"{count} below it {status}" for status, count in sorted(below) if status not in closed]
        if not any(status == ItemStatus.DONE.value for status, _ in below):
            bad = bad or ["nothing below it is done"]
    if not bad:
        items.finish(tx, item, reason="its tasks are completed")
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


def _take_mark(tx: Tx, item: Item, mark: Mark, *, path: str, scanner: str, tasks: str) -> list[str]:
    """What its box says counts, now that no tasks are under way any more."""
    if mark is Mark.DONE:
        items.finish(tx, item, reason=f"ticked in {path}, {tasks}")
        return [f"{item.item_id}: done, ticked in {path}"]
    fields = {"status": ItemStatus.WONTFIX, "accepted": False, "decided_by": scanner}
    data = {"by": scanner, "reason": f"declined in {path}, {tasks}"}
    change_item(tx, item, Kind.ITEM_REJECTED, fields, data=data)
    return [f"{item.item_id}: rejected, declined in {path}"]
