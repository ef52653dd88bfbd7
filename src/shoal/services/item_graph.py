"""What items wait for and what they are part of: two graphs without circles, how they are walked and how they change.

Every walk ends, also where a circle has come into the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from shoal.errors import Cycle
from shoal.model.event import Kind
from shoal.model.item import Item, shown
from shoal.services.item_changes import require_open
from shoal.services.item_numbers import get_item
from shoal.services.transaction import Tx

MOST = 100_000  # links of one item


def way(start: int, goal: int, following: Callable[[int], Iterable[int]]) -> list[int] | None:
    """The shortest path from one number to another, both in it, where each leads to others; None when there is none."""
    came: dict[int, int | None] = {start: None}
    row = [start]
    while row and goal not in came:
        reached = []
        for one in row:
            for other in following(one):
                if other not in came:
                    came[other] = one
                    reached.append(other)
        row = reached
    return [*upwards(goal, came.get)][::-1] if goal in came else None


def upwards(start: int | None, above: Callable[[int], int | None]) -> Iterator[int]:
    """A number, what is above it, what is above that, and so on; each once."""
    met: set[int] = set()
    while start is not None and start not in met:
        met.add(start)
        yield start
        start = above(start)


def blockers(tx: Tx, item: int) -> list[int]:
    """What an item waits for."""
    return [int(row[0]) for row in tx.all("items.blockers", blocked=item, limit=MOST)]


def dependents(tx: Tx, item: int) -> list[int]:
    """What waits for an item."""
    return [int(row[0]) for row in tx.all("items.dependents", blocker=item, limit=MOST)]


def wait(tx: Tx, item: int, blocker: int) -> None:
    """Let an item wait for another, and tell it; one that does already stays as it is. Looks for no circle."""
    if tx.one("items.add_dependency", blocked=item, blocker=blocker) is not None:
        tx.emit(Kind.ITEM_LINKED, data={"waits_for": shown(blocker)}, item=item)


def wait_no_more(tx: Tx, item: int, blocker: int) -> bool:
    """Let an item wait for another no more, and tell it; whether it did."""
    waited = tx.one("items.drop_dependency", blocked=item, blocker=blocker) is not None
    if waited:
        tx.emit(Kind.ITEM_LINKED, data={"waits_no_more_for": shown(blocker)}, item=item)
    return waited


def ancestors(tx: Tx, item: int | None) -> Iterator[int]:
    """An item, what it is part of, what that is part of, and so on."""
    return upwards(item, lambda one: get_item(tx, one).parent)


def checked_parent(tx: Tx, item: Item | None, ref: str | int) -> int:
    """The number of what an item, or a new one, is to be part of.

    Raises WrongStatus for what was merged, Cycle for what is the item or below it.
    """
    parent = get_item(tx, ref)
    if parent.merged_into is not None:
        require_open(parent, "put it below")
    if item is not None and item.id in ancestors(tx, parent.id):
        raise Cycle(
            f"{parent.item_id} is {item.item_id} or below it, and cannot be above it; move it elsewhere first",
            field="parent",
        )
    return parent.id
