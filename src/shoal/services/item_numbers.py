"""From what people call a work item to the item: 17, W17 or w17."""

from __future__ import annotations

from shoal.errors import NotFound
from shoal.model.item import PREFIX, Item, item_from_row
from shoal.services.refs import LARGEST_ID
from shoal.services.transaction import Tx


def item_number(ref: str | int) -> int:
    """The item's number. Raises NotFound for what cannot be one."""
    digits = str(ref)
    if digits[:1].upper() == PREFIX:
        digits = digits[1:]
    if digits.isascii() and digits.isdigit() and len(digits) < 20 and 0 < int(digits) <= LARGEST_ID:
        return int(digits)
    raise unknown(ref)


def get_item(tx: Tx, ref: str | int) -> Item:
    """The item that a ref names."""
    row = tx.one("items.get", id=item_number(ref))
    if row is None:
        raise unknown(ref)
    return item_from_row(row)


def lock_item(tx: Tx, ref: str | int) -> Item:
    """The same, kept from other writers until the transaction ends."""
    row = tx.one("items.lock", id=item_number(ref))
    if row is None:
        raise unknown(ref)
    return item_from_row(row)


def unknown(ref: str | int) -> NotFound:
    """There is no such item."""
    return NotFound(f"there is no work item {ref!r}; `shoal backlog list` shows what there is", field="item")
