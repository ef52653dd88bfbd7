"""What exporting work items answers."""

from __future__ import annotations

from msgspec import Struct


class ItemsExported(Struct, frozen=True):
    """A piece of an export."""

    text: str
    items: int
