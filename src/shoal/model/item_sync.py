"""What a tracker is told of work items. Trackers follow the backlog; nothing of theirs decides here."""

from __future__ import annotations

from msgspec import Struct

from shoal.model.item import Item, ItemStatus


class ToTell(Struct, frozen=True, kw_only=True):
    """An item that a tracker does not know, or knows with another status.

    `marker` stands for it alone, whichever ledger it is of. `told` is the status that the tracker was told last.
    """

    item: Item
    marker: str
    external_id: str | None
    told: ItemStatus | None


class ItemSync(Struct, frozen=True, kw_only=True):
    """What a tracker was told of an item, and when. `gone` when the tracker has it no more."""

    tracker: str
    item: int
    external_id: str
    url: str | None
    status: ItemStatus | None
    gone: bool
    at: int
