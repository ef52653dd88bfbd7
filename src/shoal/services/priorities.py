"""Which items come first: by rules, each with its reasons; or as a model over many of them says. A person's own word
stands (`items.update`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from shoal.errors import Refused
from shoal.model.backlog import RULES, NewPriority, Prioritised, Rated
from shoal.model.event import Kind
from shoal.model.fields import Name
from shoal.model.item import CLOSED, Effort, Item, ItemRef, Risk, Severity, item_from_row
from shoal.services.item_changes import change_item
from shoal.services.item_numbers import item_number, lock_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb

PAGE = 1000
MIDDLE = 1000  # of the places within a priority: what is worth more comes before it
POINT = 100
MANY = 2  # that so many items wait for one is a reason to do it first
START = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 3}
NORMAL, HIGHEST, LOWEST = 2, 1, 3  # P0 is for what is critical, and for people to say


class Rating(Struct):
    """What an item comes to, and why."""

    item: Item
    priority: int
    sort_order: int
    reasons: list[str]


@verb("POST /items/prioritise", repeatable=True)
def prioritise(
    tx: Tx,
    *,
    project: Name | None = None,
    items: Annotated[list[ItemRef], Meta(max_length=1000, description="Only these; else all.")] | None = None,
    all: Annotated[bool, Meta(description="Also where a person or its source gave the priority.")] = False,
    dry_run: bool = False,
) -> Prioritised:
    """Give priorities by rules to assessed items, and to findings with a severity; others are not looked at.

    By severity, goals of the project, effort and risk, and what waits for it. The same items get the same priorities.
    """
    ratings = rate(tx, project=project)
    if items:
        wanted = {item_number(ref) for ref in items}
        ratings = [one for one in ratings if one.item.id in wanted]
    given = [
        NewPriority(item=one.item.id, priority=one.priority, sort_order=one.sort_order, reason="; ".join(one.reasons))
        for one in ratings
    ]
    return give(tx, given, by=RULES, override=all, dry_run=dry_run)


@verb("POST /items/priorities", repeatable=True)
def set_priorities(
    tx: Tx,
    *,
    priorities: Annotated[list[NewPriority], Meta(max_length=10_000)],
    by: Annotated[Name, Meta(description="What says so: the name of a model.")],
    all: Annotated[bool, Meta(description="Also where a person or its source gave the priority.")] = False,
    dry_run: bool = False,
) -> Prioritised:
    """Give priorities to many items at once, as something other than the rules found them; all of them or none."""
    return give(tx, priorities, by=by, override=all, dry_run=dry_run)


def give(tx: Tx, given: Iterable[NewPriority], *, by: str, override: bool, dry_run: bool) -> Prioritised:
    """Write priorities, except where a person's stands; each change is told with its reason."""
    rated: list[Rated] = []
    changed = 0
    for one in sorted(given, key=lambda new: item_number(new.item)):
        item = lock_item(tx, one.item)
        if item.merged_into is not None or item.status in CLOSED:
            raise Refused(f"{item.item_id} is {item.status.value}, and needs no priority", field="priorities")
        if item.assessed_at is None and item.severity is None:
            raise Refused(
                f"{item.item_id} is not assessed, so nobody knows what it is worth; `shoal scope {item.item_id}`, or "
                f"`shoal item prioritise {item.item_id}` by yourself",
                field="priorities",
            )
        kept = item.priority is not None and item.prioritised_by is None and not override
        fields = {"priority": one.priority, "sort_order": one.sort_order, "prioritised_by": by}
        fields = {name: value for name, value in fields.items() if value != getattr(item, name)}
        if fields and not kept:
            changed += 1
            if not dry_run:
                change_item(tx, item, Kind.ITEM_PRIORITISED, fields, data={"by": by, "reason": one.reason})
        rated.append(
            Rated(
                item_id=item.item_id,
                name=item.name,
                was=item.priority,
                priority=item.priority if kept and item.priority is not None else one.priority,
                sort_order=item.sort_order if kept else one.sort_order,
                reason=one.reason,
                kept=kept,
            )
        )
    rated.sort(key=lambda one: (one.priority, one.sort_order, item_number(one.item_id)))
    return Prioritised(rated=rated, changed=changed, by=by, dry_run=dry_run)


def rate(tx: Tx, *, project: str | None = None) -> list[Rating]:
    """What the open items that something is known of come to."""
    found: list[Item] = []
    filters = {} if project is None else {"project": project}
    while page := tx.all("backlog.ratable", after=found[-1].id if found else 0, limit=PAGE, **filters):
        found += map(item_from_row, page)
    waits: dict[int, list[int]] = {}
    for blocked, blocker in tx.all("backlog.open_waits"):
        waits.setdefault(blocker, []).append(blocked)
    goals = {name: one.goals for name, one in tx.settings.projects.items()}
    ratings = {one.id: _rating(one, goals.get(one.project, []), len(waits.get(one.id, []))) for one in found}
    _lift(ratings, waits)
    return list(ratings.values())


def _rating(item: Item, goals: list[str], waiting: int) -> Rating:
    start = NORMAL if item.severity is None else START[item.severity]
    reasons = ["P2 to begin with" if item.severity is None else f"{item.severity.value}: P{start}"]
    points = 0

    def count(number: int, reason: str) -> None:
        nonlocal points
        points += number
        reasons.append(f"{reason}: {'up' if number > 0 else 'down'}")

    text = f"{item.title or ''}\n{item.summary or ''}\n{item.text}\n{' '.join(item.labels)}".casefold()
    if goal := next((one for one in goals if one.strip() and one.strip().casefold() in text), None):
        count(1, f"goal {goal.strip()!r}")
    if waiting >= MANY:
        count(1, f"{waiting} items wait for it")
    if item.effort is Effort.SMALL and item.risk is Risk.LOW:
        count(1, "small and of low risk")
    if item.effort is Effort.LARGE and item.risk is Risk.HIGH:
        count(-1, "large and of high risk")
    critical = item.severity is Severity.CRITICAL
    priority = 0 if critical else min(max(start - points, HIGHEST), LOWEST)
    place = MIDDLE - points * POINT - min(waiting, POINT - 1)
    return Rating(item, priority, max(place, 0), reasons)


def _lift(ratings: dict[int, Rating], waits: dict[int, list[int]]) -> None:
    """What others wait for comes before them, and is worth no less."""
    done: set[int] = set()

    def visit(number: int) -> None:
        stack = [(number, iter(waits.get(number, [])))]
        done.add(number)
        while stack:
            at, rest = stack[-1]
            for blocked in rest:
                if blocked not in done:
                    done.add(blocked)
                    stack.append((blocked, iter(waits.get(blocked, []))))
                    break
            else:
                stack.pop()
                _before(ratings, at, waits.get(at, []))

    for number in sorted(waits):
        if number not in done:
            visit(number)


def _before(ratings: dict[int, Rating], number: int, waiting: list[int]) -> None:
    blocker = ratings.get(number)
    if blocker is None:
        return
    others = [ratings[one] for one in waiting if one in ratings]
    first = min(others, key=lambda one: (one.priority, one.sort_order, one.item.id), default=None)
    if first is None or (first.priority, first.sort_order) > (blocker.priority, blocker.sort_order):
        return
    if first.priority < blocker.priority:
        blocker.reasons.append(f"{first.item.item_id} (P{first.priority}) waits for it: P{first.priority}")
    blocker.priority = first.priority
    blocker.sort_order = max(first.sort_order - 1, 0)
