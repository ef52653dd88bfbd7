"""The priorities of items: what is given, and what came of it. The rules: services/priorities.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from shoal.model.fields import Count, Text
from shoal.model.item import ItemRef

RULES = "rules"  # what gave an item its priority, when no person and no model did


class NewPriority(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A priority for an item, its place among those of the same priority, and why."""

    item: ItemRef
    priority: Annotated[int, Meta(ge=0, le=3)]
    sort_order: Count = 0
    reason: Text = ""


class Rated(Struct, frozen=True, kw_only=True):
    """What an item got, and why. `kept` says that a person's own priority stands."""

    item_id: str
    name: str
    was: int | None
    priority: int
    sort_order: int
    reason: str
    kept: bool


class Prioritised(Struct, frozen=True, kw_only=True):
    """What came of giving priorities: every item that was looked at, in the order in which they are to be done."""

    rated: list[Rated]
    changed: int
    by: str
    dry_run: bool
