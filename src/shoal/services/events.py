"""The log and its readers. Every reader has a cursor of its own; reading never takes anything from anyone else."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from shoal.model.event import Event, Kind, event_from_row
from shoal.model.fields import Count, Limit, Name, TaskRef, Text
from shoal.model.item import ItemRef
from shoal.model.page import Page, position
from shoal.services.item_numbers import item_number
from shoal.services.refs import get_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

SCANNED_PER_LOOK = 5000
NEWEST = 2**63 - 1


class Inbox(Struct, frozen=True):
    """What an agent has not read yet. `position` is where its cursor stands after this; `more` says to ask again."""

    agent: str
    events: list[Event]
    position: int
    more: bool


@verb("GET /events")
def list_(
    tx: Tx,
    *,
    after: Annotated[Count | None, Meta(description="Only events behind this id, oldest first.")] = None,
    task: TaskRef | None = None,
    item: ItemRef | None = None,
    kind: Kind | None = None,
    steps: Annotated[bool, Meta(description="Also each thing that an agent says, calls or pays.")] = True,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[Event]:
    """A page of the log: behind `after` oldest first, without it newest first.

    Behind a cursor no event is ever skipped: what could still come in between is waited for.
    """
    filters: dict[str, Any] = {}
    if task is not None:
        filters["task"] = get_task(tx, task).id
    if item is not None:
        filters["item"] = item_number(item)
    if kind is not None:
        filters["kind"] = kind.value
    if not steps and kind is None:
        filters["no_steps"] = True
    at = None if cursor is None else position(cursor, signed=True)
    if (after is None and at is None) or (at is not None and at < 0):
        before = NEWEST if at is None else -at
        rows = tx.all("events.newest", before=before, limit=limit, **filters)
        following = str(-rows[-1][0]) if len(rows) == limit else None
        return Page([event_from_row(row, tx.identity.prefix) for row in rows], next=following)
    start = after if at is None else at
    rows = tx.all("events.after", after=start, horizon=tx.horizon(), limit=limit, **filters)
    following = str(rows[-1][0]) if len(rows) == limit else None
    return Page([event_from_row(row, tx.identity.prefix) for row in rows], next=following)


@verb("POST /events")
def broadcast(tx: Tx, *, message: Annotated[Text, Meta(min_length=1)], task: TaskRef | None = None) -> str:
    """Tell everyone something, perhaps about a task; it reaches every agent's inbox."""
    found = None if task is None else get_task(tx, task)
    tx.emit(Kind.BROADCAST, found, was=found.status if found else None, data={"message": message})
    return message


@verb("POST /events/watch")
def watch(
    tx: Tx,
    *,
    agent: Name,
    limit: Limit = 100,
    peek: Annotated[bool, Meta(description="Do not move the cursor.")] = False,
) -> Inbox:
    """The next unread events of an agent: those of tasks that it made, has or joined, and broadcasts.

    What agents say and do in their sessions is not among them: `shoal logs` and the event stream show that.
    What is returned counts as read, unless `peek`.
    """
    name = f"inbox:{agent}"
    start = take_cursor(tx, name)
    horizon = tx.horizon()
    after = start
    found: list[Event] = []
    while after < horizon and len(found) < limit:
        stretch = {"after": after, "horizon": horizon, "scanned": SCANNED_PER_LOOK}
        rows = tx.all("events.inbox", agent=agent, limit=limit - len(found), **stretch)
        found += [event_from_row(row, tx.identity.prefix) for row in rows]
        if len(found) >= limit:
            after = found[-1].id
        else:
            reached = tx.one("events.scanned_to", **stretch)
            after = reached[0] if reached and reached[0] is not None else horizon
    if after > start and not peek:
        move_cursor(tx, name, after)
    return Inbox(agent, found, after, more=after < horizon)


def prune(tx: Tx, *, older_than: int, limit: int = 1000) -> int:
    """Forget a small batch of the oldest events, up to those that the counters have read; how many went."""
    horizon = tx.one("events.cursor", name="counts")
    if horizon is None:
        return 0
    return len(tx.all("events.prune", horizon=horizon[0], older_than=older_than, limit=limit))


def take_cursor(tx: Tx, name: str) -> int:
    """Where a reader stands; it is this transaction's alone until it ends."""
    row = tx.one("events.lock_cursor", name=name)
    if row is None:
        tx.all("events.begin_cursor", name=name, position=0, now=tx.now)
        row = tx.one("events.lock_cursor", name=name)
    assert row is not None  # noqa: S101 - just begun
    return int(row[0])


def next_stretch(tx: Tx, name: str, *, limit: int) -> tuple[int, int, bool]:
    """What a reader, which begins with what happens from now on, is to read next: behind an event, up to another.

    Whether there is more behind that. The reader moves its cursor itself, when it has read.
    """
    horizon = tx.horizon()
    if tx.one("events.cursor", name=name) is None:
        tx.all("events.begin_cursor", name=name, position=horizon, now=tx.now)
    after = take_cursor(tx, name)
    upto = max(after, min(horizon, after + limit))
    return after, upto, upto < horizon


def move_cursor(tx: Tx, name: str, position: int) -> None:
    """Move a reader on."""
    tx.all("events.move_cursor", name=name, position=position, now=tx.now)
