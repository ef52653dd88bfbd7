"""What importing and exporting work items answers."""

from __future__ import annotations

from msgspec import Struct


class RefusedItem(Struct, frozen=True):
    """A line that was not taken."""

    line: int
    reason: str


class ItemsImported(Struct, frozen=True):
    """What an import came to: items made, items that were there already, lines refused."""

    created: list[str]
    existing: list[str]
    refused: list[RefusedItem]


class ItemsExported(Struct, frozen=True):
    """A piece of an export."""

    text: str
    items: int
