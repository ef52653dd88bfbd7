"""From an accepted item to its tasks: one, or several in order. When they are done, the item is: item_following.py."""

from __future__ import annotations

import heapq
from itertools import accumulate, pairwise
from typing import Annotated

from msgspec import Meta, Struct

from shoal.errors import Refused
from shoal.model.event import Kind
from shoal.model.execution import Execution
from shoal.model.item import BY_SEVERITY, NO_WORK, Effort, Item, ItemRef, ItemStatus, item_from_row, shown
from shoal.model.task import FINISHED, NORMAL, Criterion, NewTask, Status, Task
from shoal.services import assessments, dependencies, item_following, item_tasks, tasks
from shoal.services.item_changes import change_item, require_open
from shoal.services.item_graph import ancestors, blockers
from shoal.services.item_numbers import get_item, lock_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb

LINKS = 1000
DEEPEST = 100
TITLE_LIMIT = 300
TYPE = "swe"
BAD = frozenset({Status.FAILED, Status.CANCELLED})


class Step(Struct, frozen=True):
    """What one task is made from: a whole item, or a sub-task of its assessment with words of its own."""

    title: str
    words: str = ""
    effort: Effort = Effort.UNKNOWN


@verb("POST /items/{item}/run", repeatable=True)
def run(
    tx: Tx,
    *,
    item: ItemRef,
    with_blockers: Annotated[bool, Meta(description="Make tasks of what it waits for, too.")] = False,
    parallel: Annotated[bool, Meta(description="Let its parts be done in any order.")] = False,
) -> Execution:
    """Make and queue the tasks of an accepted item.

    A simple item becomes one task. One with accepted items below it, or with sub-tasks in its last assessment, becomes
    several, each of which waits for the one before. They wait for the tasks of what the item waits for; refused while
    that has none. Again, it answers with the same tasks; after a bad end it makes anew those that did not complete, and
    what waited for one of these waits for the new one.
    """
    tx.all("dependencies.lock_edges")  # one at a time: items lead to each other in circles
    item_following.begin(tx)
    work = _Work(tx, with_blockers=with_blockers, parallel=parallel)
    work.carry_out(lock_item(tx, item), after=[], priority=None)
    found = get_item(tx, item)
    return Execution(item=found, tasks=_tasks(tx, found), made=len(work.made), undecided=_undecided(tx, found))


class _Work:
    """One run of an item, with what hangs on it."""

    def __init__(self, tx: Tx, *, with_blockers: bool, parallel: bool) -> None:
        self.made: list[Task] = []
        self._tx = tx
        self._with_blockers = with_blockers
        self._parallel = parallel
        self._above: list[int] = []
        self._looked_at: set[int] = set()

    def carry_out(self, item: Item, *, after: list[int], priority: int | None) -> list[int]:
        """Make the tasks of a locked item and of those below it; the numbers of those that end it."""
        tx = self._tx
        under_way = item.status is ItemStatus.IN_PROGRESS
        if not under_way:
            self._check(item)
        if (under_way or item_tasks.live(tx, item)) and item.id not in self._looked_at:
            self._looked_at.add(item.id)  # damaged data may hold a circle
            self._replace(item)
        ends = item_tasks.live(tx, item)
        if under_way:
            return ends
        if item.priority is not None:
            priority = item.priority
        elif item.severity is not None:
            priority = BY_SEVERITY[item.severity]
        if len(self._above) >= DEEPEST:
            raise Refused(
                f"{item.item_id} comes after {DEEPEST} items that wait for each other; run it by itself first",
                field="item",
            )
        if not ends:
            self._above.append(item.id)
            waits = list(dict.fromkeys([*after, *self._blockers(item)]))
            children = _in_order(tx, item_tasks.runnable_below(tx, item))
            ends = self._children(children, waits, priority) if children else self._tasks(item, waits, priority)
            self._above.pop()
        data = {"tasks": [*map(tx.shown, item_tasks.live(tx, item))]}
        change_item(tx, item, Kind.ITEM_DECOMPOSED, {"status": ItemStatus.IN_PROGRESS}, data=data)
        return ends

    def _check(self, item: Item) -> None:
        require_open(item, "run")
        if item.status is ItemStatus.STALE:
            raise Refused(
                f"{item.item_id} was not seen for long; `shoal item reopen {item.item_id}` if it is still to be done",
                field="item",
            )
        if not item.accepted:
            raise Refused(f"{item.item_id} is not accepted; `shoal item accept {item.item_id}` first", field="item")
        if item.form in NO_WORK:
            raise Refused(f"{item.item_id} is a {item.form.value}, and no work; add what follows from it", field="item")

    def _children(self, children: list[Item], waits: list[int], priority: int | None) -> list[int]:
        before, ends = waits, []
        for child in children:
            running = child.status is ItemStatus.IN_PROGRESS
            last = self.carry_out(lock_item(self._tx, child.id), after=before, priority=priority)
            ends += last
            if not self._parallel:
                before = [*before, *last] if running else last or before
        return sorted(set(ends)) if self._parallel else before

    def _blockers(self, item: Item) -> list[int]:
        """The tasks of what an item waits for."""
        tx, waits, missing = self._tx, [], []
        for number in blockers(tx, item.id):
            blocker = get_item(tx, number)
            if blocker.status is ItemStatus.DONE or item.id in ancestors(tx, blocker.parent):
                continue
            if blocker.id in self._above:
                raise Refused(
                    f"{item.item_id} waits for {blocker.item_id}, of which it is a part; "
                    f"`shoal item unlink {item.item_id} --waits-for {blocker.item_id}`",
                    field="item",
                )
            if blocker.status in (ItemStatus.WONTFIX, ItemStatus.STALE):
                raise Refused(
                    f"{item.item_id} waits for {blocker.item_id}, which is {blocker.status.value}; "
                    f"`shoal item unlink {item.item_id} --waits-for {blocker.item_id}`, or "
                    f"`shoal item reopen {blocker.item_id}` if it is still to be done",
                    field="item",
                )
            if blocker.status is ItemStatus.IN_PROGRESS:
                waits += item_tasks.live(tx, blocker)
            elif self._with_blockers:
                waits += self.carry_out(lock_item(tx, blocker.id), after=[], priority=None)
            else:
                missing.append(f"{blocker.item_id} ({blocker.status.value})")
        if missing:
            raise Refused(
                f"{item.item_id} waits for {', '.join(missing)}, without tasks; run them first, or "
                f"`shoal item run {item.item_id} --with-blockers`",
                field="item",
            )
        return waits

    def _replace(self, item: Item) -> None:
        """Make anew what ended badly of an item that is under way, and let wait for that what waited for the old."""
        tx, steps = self._tx, _steps(self._tx, item)
        parts, below = item_tasks.parts(tx, item), item_tasks.runnable_below(tx, item)
        if below and all(part.status in FINISHED for part in parts):
            parts = []  # what is below it is done in their place
        for part in parts:
            if part.status not in BAD or part.place >= len(steps) or part.title != _line(steps[part.place].title):
                continue
            [old] = tasks.by_numbers(tx, [part.task])
            waits = [tx.task(row).id for row in tx.all("dependencies.open_blockers", id=old.id, limit=LINKS)]
            made = self._make(item, part.place, steps, waits, old.priority)
            tx.all("item_tasks.put", task=made.id, item=item.id, place=part.place, round=part.round)
            dependencies.replace(tx, old=old.id, new=made.id)
        for child in below:
            if item_tasks.parts(tx, child) or child.status is ItemStatus.IN_PROGRESS:
                self.carry_out(lock_item(tx, child.id), after=[], priority=None)

    def _tasks(self, item: Item, waits: list[int], priority: int | None) -> list[int]:
        tx = self._tx
        steps = _steps(tx, item)
        parts = item_tasks.parts(tx, item)
        number, kept = _round(parts, steps)
        old = {part.place: part.task for part in parts if part.round == number and part.status in BAD}
        new_ends: list[int] = []
        before = waits
        for place in range(len(steps)):
            if place in kept:
                continue
            made = self._make(item, place, steps, before, NORMAL if priority is None else priority)
            tx.all("item_tasks.put", task=made.id, item=item.id, place=place, round=number)
            if place in old:
                dependencies.replace(tx, old=old[place], new=made.id)
            new_ends.append(made.id)
            if not self._parallel:
                before = [made.id]
        return new_ends if self._parallel else before

    def _make(self, item: Item, place: int, steps: list[Step], before: list[int], priority: int) -> Task:
        tx, step = self._tx, steps[place]
        project = tx.settings.projects.get(item.project)
        criteria = []
        if item.check_name is not None:
            criteria = [Criterion(f"the check {item.check_name} no longer reports this")]
        new = NewTask(
            title=_line(step.title),
            type=item.type or TYPE,
            priority=priority,
            queue=tx.settings.backlog.queue,
            labels=item.labels,
            depends_on=list(before),
            repos=[project.repository] if project is not None and project.repository is not None else [],
            estimate_minutes=_minutes(item, steps)[place],
            deadline=item.due_at,
            success_criteria=criteria,
            body=_body(tx, item, place, steps) if tx.has_vault else None,
        )
        [(task, _)] = tasks.insert(tx, [new])
        self.made.append(task)
        return task


def _tasks(tx: Tx, item: Item) -> list[Task]:
    """The tasks of an item's last round, else of what is below it."""
    family = map(item_from_row, tx.all("items.accepted_family", item=item.id))
    numbers = [part.task for one in family for part in item_tasks.parts(tx, one)]
    return sorted(tasks.by_numbers(tx, numbers), key=lambda task: task.id)


def _undecided(tx: Tx, item: Item) -> int:
    counts = tx.all("item_tasks.statuses_below", parent=item.id)
    return sum(count for status, _, count in counts if status == ItemStatus.NEW.value)


def _round(parts: list[item_tasks.Part], steps: list[Step]) -> tuple[int, dict[int, int]]:
    """The round that new tasks belong to, and which places of it are done already."""
    if not parts:
        return 1, {}
    done = {one.place: one.task for one in parts if one.status is Status.COMPLETED}
    titles = {one.place: one.title for one in parts}
    same = titles == {place: _line(step.title) for place, step in enumerate(steps)}
    if not same or len(done) == len(parts):
        return parts[-1].round + 1, {}
    return parts[-1].round, done


def _in_order(tx: Tx, children: list[Item]) -> list[Item]:
    """Items in their order, but none before what it waits for."""
    places = {one.id: place for place, one in enumerate(children)}
    after: dict[int, list[int]] = {one.id: [] for one in children}
    waits = dict.fromkeys(places, 0)
    for one in children:
        for blocker in blockers(tx, one.id):
            if blocker in places:
                after[blocker].append(one.id)
                waits[one.id] += 1
    free = [place for number, place in places.items() if not waits[number]]
    placed: list[Item] = []
    while free:
        one = children[heapq.heappop(free)]
        placed.append(one)
        for number in after[one.id]:
            waits[number] -= 1
            if not waits[number]:
                heapq.heappush(free, places[number])
    return placed


def _steps(tx: Tx, item: Item) -> list[Step]:
    """The sub-tasks of the last answer when there are several, else the item itself."""
    answer = assessments.last_answer(tx, item)
    found = [_step(one) for one in (answer.sub_tasks if answer is not None else []) if _line(one)]
    return found if len(found) > 1 else [Step(item.name, "", item.effort)]


def _step(sub_task: str) -> Step:
    """What does not stand in the title whole is said in the body."""
    title = _line(sub_task)
    return Step(title, "" if title == sub_task else sub_task)


def _minutes(item: Item, steps: list[Step]) -> list[int | None]:
    """What each step should take: its share of the item's estimate where there is one, else what its effort says."""
    if not item.estimate_minutes:
        return [step.effort.minutes for step in steps]
    shares = [step.effort.minutes or Effort.MEDIUM.minutes or 0 for step in steps]
    ends = [round(item.estimate_minutes * share / sum(shares)) for share in accumulate(shares)]
    return [max(1, end - start) for start, end in pairwise([0, *ends])]


def _line(text: str) -> str:
    """A text as one line, without what a title may not hold."""
    one = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return one if len(one) <= TITLE_LIMIT else one[: TITLE_LIMIT - 1].rstrip() + "…"


def _body(tx: Tx, item: Item, place: int, steps: list[Step]) -> str:
    """What the one who does the task reads."""
    said: list[str] = []
    if len(steps) > 1:
        said.append(f"Step {place + 1} of {len(steps)} of {item.item_id}: {_line(item.name)}")
    said += [text for text in (steps[place].words, item.summary) if text]
    said.append("\n".join(f"> {line}".rstrip() for line in item.text.splitlines()))
    if origin := _origin(tx, item):
        said.append("\n".join(f"- {line}" for line in origin))
    files = [path for path, _ in tx.all("items.files", item=item.id, limit=LINKS)]
    if files:
        said.append("Files:\n\n" + "\n".join(f"- `{path}`" for path in files))
    said.append(f"Work item: {item.item_id}")
    return "\n\n".join(said) + "\n"


def _origin(tx: Tx, item: Item) -> list[str]:
    lines = []
    if item.source_file is not None:
        at = f", line {item.source_line}" if item.source_line is not None else ""
        under = f", under {' > '.join(item.heading)}" if item.heading else ""
        lines.append(f"From `{item.source_file}`{at}{under}")
    if item.check_name is not None:
        rule = f", rule {item.rule}" if item.rule is not None else ""
        bad = f" ({item.severity.value})" if item.severity is not None else ""
        lines.append(f"Found by the check {item.check_name}{rule}{bad}")
    if item.parent is not None:
        above = get_item(tx, item.parent)
        lines.append(f"Part of {shown(above.id)}: {_line(above.name)}")
    return lines
