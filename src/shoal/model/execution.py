"""The tasks that an item became. How they are made: services/decomposition.py."""

from __future__ import annotations

from msgspec import Struct

from shoal.model.item import Item
from shoal.model.task import Task


class Execution(Struct, frozen=True, kw_only=True):
    """The tasks that an item became, in their order: `made` of them just now.

    `undecided` counts the items below it that nobody accepted, and that are no part of this.
    """

    item: Item
    tasks: list[Task]
    made: int
    undecided: int
