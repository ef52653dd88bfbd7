"""Items follow their tasks: what happened to these is read from the log, in its order. What follows: item_ends.py."""

from __future__ import annotations

from shoal.services import events, item_ends
from shoal.services.item_numbers import lock_item
from shoal.services.transaction import Tx

CURSOR = "items"
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
    return horizon, bool(tx.all("item_tasks.moved", after=row[0], upto=horizon))


def follow(tx: Tx) -> tuple[list[str], bool]:
    """Take what happened to the tasks of items since the last look; what was done, a line each, and whether there is
    more to look at.
    """
    after, upto, more = events.next_stretch(tx, CURSOR, limit=EVENTS_PER_LOOK)
    if upto == after:
        return [], False
    done: list[str] = []
    for number, reopened in tx.all("item_tasks.moved", after=after, upto=upto):
        done += item_ends.settle(tx, lock_item(tx, number), reopened=bool(reopened))
    events.move_cursor(tx, CURSOR, upto)
    return done, more
