"""What imported items wait for and are below: links by the names of their source, also to what is imported later."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

from shoal.errors import NotFound
from shoal.model.event import Kind
from shoal.model.item import Item, shown
from shoal.model.item_import import ItemSource, System
from shoal.services.item_changes import change_item
from shoal.services.item_ends import left
from shoal.services.item_graph import blockers, upwards, wait, wait_no_more, way
from shoal.services.item_numbers import get_item, lock_item
from shoal.services.transaction import Tx

LinkKind = Literal["blocker", "parent"]


class Links:
    """The links of one import. In a dry run nothing is written, and new items have numbers below zero."""

    def __init__(self, tx: Tx, *, project: str, dry_run: bool) -> None:
        self._tx = tx
        self._project = project
        self._dry_run = dry_run
        self._numbers: dict[ItemSource, int | None] = {}
        self._blockers: dict[int, set[int]] = {}
        self._waited_for: dict[int, bool] = {}
        self._parents: dict[int, int | None] = {}
        self.names: dict[int, ItemSource] = {}
        self.waiting: dict[ItemSource, None] = {}

    def arrive(self, ref: ItemSource, number: int) -> None:
        """This record is that item from now on."""
        self._numbers[ref] = number
        self.names[number] = ref

    def number(self, ref: ItemSource) -> int | None:
        """The item that a ref stands for, or that it was merged into; None when it has not been imported."""
        if ref not in self._numbers:
            known = known_as(self._tx, self._project, ref)
            self._numbers[ref] = None if known is None else remaining(self._tx, known[0])
        return self._numbers[ref]

    def awaited(self, ref: ItemSource) -> list[str]:
        """Link to an item that is new what waited for it; what could not be, in words."""
        number = self._numbers[ref]
        where = keys(self._project, ref)
        rows = self._tx.all("item_refs.waiting", **where)
        if not rows or number is None:
            return []
        problems = []
        for item, kind in rows:
            problem = self.add(remaining(self._tx, int(item)), ref, kind)
            if problem is not None:
                problems.append(problem)
        if not self._dry_run:
            self._tx.all("item_refs.arrived", **where)
        return problems

    def add(self, item: int, ref: ItemSource, kind: LinkKind) -> str | None:
        """Link an item to a ref; why that is not possible, or None. What is not there yet is waited for."""
        other = self.number(ref)
        if other is None:
            self.waiting[ref] = None
            if not self._dry_run:
                self._tx.all("item_refs.wait", **keys(self._project, ref), item=item, kind=kind)
            return None
        return self._add_blocker(item, other) if kind == "blocker" else self._add_parent(item, other)

    def drop(self, item: int, ref: ItemSource, kind: LinkKind) -> None:
        """Take a link away that the source has no more; one that is gone already stays gone."""
        other = self.number(ref)
        if kind == "blocker" and other is not None:
            self._of(item).discard(other)
        if self._dry_run:
            return
        if other is None:
            self._tx.all("item_refs.wait_no_more", **keys(self._project, ref), item=item, kind=kind)
        elif kind == "blocker":
            wait_no_more(self._tx, item, other)
        elif get_item(self._tx, item).parent == other:
            self._put_below(item, None)

    def _add_blocker(self, item: int, blocker: int) -> str | None:
        # What nobody waits for closes no circle: most records of a file, which need no search.
        if (item == blocker or self._is_waited_for(item)) and (path := way(blocker, item, self._of)) is not None:
            return f"it cannot wait for {self._name(blocker)}, which waits for it: {self._names([item, *path])}"
        if blocker in self._of(item):
            return None
        self._of(item).add(blocker)
        self._waited_for[blocker] = True
        if not self._dry_run:
            wait(self._tx, item, blocker)
        return None

    def _add_parent(self, item: int, parent: int) -> str | None:
        if item in upwards(parent, self._above):
            return f"it cannot be below {self._name(parent)}, which is below it"
        if self._above(item) != parent:
            self._put_below(item, parent)
        return None

    def _put_below(self, item: int, parent: int | None) -> None:
        self._parents[item] = parent
        if not self._dry_run:
            found = lock_item(self._tx, item)
            change_item(self._tx, found, Kind.ITEM_UPDATED, {"parent": parent})
            left(self._tx, found.parent)

    def _of(self, item: int) -> set[int]:
        if item not in self._blockers:
            self._blockers[item] = set(blockers(self._tx, item)) if item > 0 else set()
        return self._blockers[item]

    def _is_waited_for(self, item: int) -> bool:
        if item not in self._waited_for:
            self._waited_for[item] = item > 0 and bool(self._tx.all("items.dependents", blocker=item, limit=1))
        return self._waited_for[item]

    def _above(self, item: int) -> int | None:
        if item not in self._parents:
            self._parents[item] = get_item(self._tx, item).parent if item > 0 else None
        return self._parents[item]

    def _name(self, number: int) -> str:
        known = self.names.get(number)
        return shown(number) if known is None else known.id

    def _names(self, numbers: list[int]) -> str:
        return " -> ".join(map(self._name, numbers))


def name_of(tx: Tx, item: Item) -> str:
    """What an item is called among ledgers: where it was imported from, as there."""
    return item.refs.get(System.SHOAL, f"{tx.identity.ledger_id}:{item.item_id}")


def known_as(tx: Tx, project: str, ref: ItemSource) -> tuple[int, str | None] | None:
    """The item that a ref stands for, and what was said of it the last time: nothing of an item of this ledger."""
    ledger, _, name = ref.id.rpartition(":")
    if ref.system == System.SHOAL and ledger == tx.identity.ledger_id:
        with suppress(NotFound):
            return get_item(tx, name).id, None
    row = tx.one("item_refs.find", **keys(project, ref))
    return None if row is None else (int(row[0]), str(row[1]))


def keys(project: str, ref: ItemSource) -> dict[str, Any]:
    """By what a ref is found: within a project, but for the names that items have among ledgers."""
    return {"project": "" if ref.system == System.SHOAL else project, "system": ref.system, "ref": ref.id}


def remaining(tx: Tx, number: int) -> int:
    """The item that an item was merged into, and so on; itself when it was not."""
    *_, last = upwards(number, lambda one: get_item(tx, one).merged_into)
    return last
