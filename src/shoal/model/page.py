"""A page of a longer list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from shoal.errors import BadInput

Item = TypeVar("Item")


class Page(list[Item]):
    """A list that knows where the next page begins: `next` is its cursor, None on the last page."""

    def __init__(self, items: Iterable[Item] = (), *, next: str | None = None) -> None:
        super().__init__(items)
        self.next = next


def position(cursor: str, *, signed: bool = False) -> int:
    """The number that a cursor stands for; raises BadInput for a text that no page can have given."""
    return positions(cursor, 1, signed=signed)[0]


def positions(cursor: str, count: int, *, signed: bool = False) -> list[int]:
    """The same for a cursor of several numbers, with dots between them."""
    parts = cursor.split(".")
    digits = [part.removeprefix("-") if signed else part for part in parts]
    if len(parts) != count or not all(one.isascii() and one.isdecimal() and len(one) <= 18 for one in digits):
        raise BadInput(f"{cursor!r} is not a cursor of this list; take `next` of the page before", field="cursor")
    return [int(part) for part in parts]
