"""The tasks that an item became, and how they stand. How they are made: decomposition.py."""

from __future__ import annotations

from msgspec import Struct

from shoal.model.item import Item, item_from_row
from shoal.model.task import Status
from shoal.services.transaction import Tx


class Part(Struct, frozen=True):
    """A task of an item, in its round and at its place."""

    round: int
    place: int
    task: int
    status: Status
    title: str


def parts(tx: Tx, item: Item) -> list[Part]:
    """The newest task at each place of an item's last round, in their order."""
    found = [
        Part(number, place, task, Status(status), title)
        for number, place, task, status, title in tx.all("item_tasks.of_item", item=item.id)
    ]
    last = found[-1].round if found else 0
    newest = {one.place: one for one in found if one.round == last}
    return [newest[place] for place in sorted(newest)]


def runnable_below(tx: Tx, item: Item) -> list[Item]:
    """The accepted items below one that are not closed, in their order."""
    return [item_from_row(row) for row in tx.all("item_tasks.accepted_below", parent=item.id)]


def live(tx: Tx, item: Item) -> list[int]:
    """The tasks of an item, and of those below it that are in progress, that are not finished."""
    return [int(row[0]) for row in tx.all("item_tasks.live", item=item.id)]
