"""A page of a longer list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


class Page(list[Item]):
    """A list that knows where the next page begins: `next` is its cursor, None on the last page."""

    def __init__(self, items: Iterable[Item] = (), *, next: str | None = None) -> None:
        super().__init__(items)
        self.next = next
