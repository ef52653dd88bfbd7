"""What the verbs of the backlog answer: who decided what by which rule, what became of an item, what comes first."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from shoal.model.fields import Count, Name, Text
from shoal.model.item import Item, ItemRef
from shoal.model.task import Task

RULES = "rules"  # what gave an item its priority, when no person and no model did


class Execution(Struct, frozen=True, kw_only=True):
    """The tasks that an item became, in their order: `made` of them just now.

    `undecided` counts the items below it that nobody accepted, and that are no part of this.
    """

    item: Item
    tasks: list[Task]
    made: int
    undecided: int


class Decision(Struct, frozen=True, kw_only=True):
    """What a rule says about one item; `why` is for people."""

    item_id: str
    name: str
    source_file: str | None
    rule: str
    then: Literal["accept", "reject", "leave"]
    why: str
    queued: list[str] = []


class Triaged(Struct, frozen=True, kw_only=True):
    """What the rules took of a page of new items; `left` of them are for a person, `notes` say what hindered a rule."""

    decisions: list[Decision]
    looked_at: int
    left: int
    notes: list[str]
    dry_run: bool
    next: int | None


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


class Proposal(Struct, frozen=True, kw_only=True):
    """A common item that others would depend on. `key` stands for exactly these items and this evidence."""

    key: Name
    project: str
    title: str
    items: list[str]
    names: list[str]
    files: list[str]
    evidence: list[str]


class ItemStats(Struct, frozen=True, kw_only=True):
    """How many items there are, by several sorts; `oldest_new_at` is when the oldest undecided one was made."""

    total: int
    open: int
    by_status: dict[str, int]
    by_origin: dict[str, int]
    by_project: dict[str, int]
    by_priority: dict[str, int]
    oldest_new_at: int | None


class ItemsExported(Struct, frozen=True):
    """A piece of an export."""

    text: str
    items: int
