"""Dependencies: what waits for what. A blocked task counts its open blockers; completing one decrements the counter.

Only `completed` unblocks: a failed or cancelled blocker goes on blocking until it is reopened and done, or taken away.
"""

from __future__ import annotations

from shoal.errors import BadInput, Cycle, NotFound, WrongStatus
from shoal.model.dependency import Dependency, DependencyKind
from shoal.model.event import Kind
from shoal.model.fields import Limit, TaskRef
from shoal.model.task import WAITING, Status, Task
from shoal.services.changes import change, follow_labels, place
from shoal.services.refs import get_task, lock_task, task_number, unknown
from shoal.services.transaction import Tx
from shoal.services.verb import verb


@verb("POST /tasks/{task}/dependencies")
def depend(tx: Tx, *, task: TaskRef, on: TaskRef, kind: DependencyKind = DependencyKind.BLOCKS) -> Task:
    """Make a task wait for another (`blocks`), or just point at it; repeating it changes nothing.

    Raises Cycle, with the path, when the other already waits for this one.
    """
    tx.all("dependencies.lock_edges")
    blocker = task_number(tx, on)
    if kind is DependencyKind.PARENT:
        found = lock_task(tx, task)
        parent = checked_parent(tx, found, blocker)
        return found if parent == found.parent else change(tx, found, Kind.TASK_UPDATED, {"parent": parent})
    if kind is not DependencyKind.BLOCKS:
        found = lock_task(tx, task)
        return _point(tx, found, get_task(tx, blocker), kind)
    _refuse_cycle(tx, task_number(tx, task), blocker)
    # Rows are locked in the order of their numbers, here and everywhere, so that nobody waits in a circle.
    for number in sorted({blocker, task_number(tx, task)}):
        lock_task(tx, number)
    found = get_task(tx, task)
    if found.status not in WAITING:
        raise WrongStatus(
            f"{found.task_id} is {found.status.value}; only a waiting task can be made to wait", field="task"
        )
    still_open = bool(lean_on(tx, [blocker]))
    added = tx.one(
        "dependencies.add", blocked=found.id, blocker=blocker, kind=kind.value, done=int(not still_open), now=tx.now
    )
    if added is None:
        lean_off(tx, [blocker])
        return found
    data = {"on": tx.shown(blocker), "kind": kind.value}
    fields = {"blockers": found.blockers + 1, "status": Status.BLOCKED} if still_open else {}
    return change(tx, found, Kind.DEPENDENCY_ADDED, fields, data=data)


@verb("DELETE /tasks/{task}/dependencies/{on}")
def undepend(tx: Tx, *, task: TaskRef, on: TaskRef, kind: DependencyKind = DependencyKind.BLOCKS) -> Task:
    """Take a dependency away; the task goes on if it waits for nothing else. Raises NotFound when there is none."""
    blocker = task_number(tx, on)
    for number in sorted({blocker, task_number(tx, task)}):
        lock_task(tx, number)
    found = get_task(tx, task)
    if kind is DependencyKind.PARENT and found.parent == blocker:
        return change(tx, found, Kind.TASK_UPDATED, {"parent": None})
    removed = tx.one("dependencies.remove", blocked=found.id, blocker=blocker, kind=kind.value)
    if removed is None:
        raise NotFound(f"{found.task_id} has no {kind.value} dependency on {tx.shown(blocker)}", field="on")
    fields = {}
    if kind is DependencyKind.BLOCKS:
        lean_off(tx, [blocker])
        if not removed[0]:
            fields = {"blockers": found.blockers - 1}
            if found.status is Status.BLOCKED:
                fields |= place(found, tx.now, blockers=found.blockers - 1)
    data = {"on": tx.shown(blocker), "kind": kind.value}
    return change(tx, found, Kind.DEPENDENCY_REMOVED, fields, data=data)


@verb("GET /tasks/{task}/dependencies")
def dependencies(tx: Tx, *, task: TaskRef, limit: Limit = 1000) -> list[Dependency]:
    """Every edge of a task, either way, its parent first."""
    found = get_task(tx, task)
    edges = []
    if found.parent is not None:
        parent = get_task(tx, found.parent)
        edges.append(
            Dependency(
                blocked=found.task_id,
                blocked_title=found.title,
                blocked_status=found.status,
                blocker=parent.task_id,
                blocker_title=parent.title,
                blocker_status=parent.status,
                kind=DependencyKind.PARENT,
                done=False,
                created_at=found.created_at,
            )
        )
    for blocked, blocker, kind, done, created_at, title, status, waiter, waits in tx.all(
        "dependencies.of", id=found.id, limit=limit
    ):
        edges.append(
            Dependency(
                blocked=tx.shown(blocked),
                blocked_title=waiter,
                blocked_status=Status(waits),
                blocker=tx.shown(blocker),
                blocker_title=title,
                blocker_status=Status(status),
                kind=DependencyKind(kind),
                done=bool(done),
                created_at=created_at,
            )
        )
    return edges


def lean_on(tx: Tx, blockers: list[int]) -> set[int]:
    """Lock blockers and count a dependent more on each; those that are not completed yet."""
    still_open = set()
    for blocker in sorted(blockers):
        row = tx.one("dependencies.lean_on", id=blocker)
        if row is None:
            raise unknown(tx.shown(blocker))
        if row[0] != Status.COMPLETED.value:
            still_open.add(blocker)
    return still_open


def lean_off(tx: Tx, blockers: list[int]) -> None:
    """Count a dependent less on each."""
    for blocker in sorted(blockers):
        tx.all("dependencies.lean_off", id=blocker)


def attach(tx: Tx, task: Task, blockers: list[int]) -> None:
    """The edges of a new task; its blockers have been leaned on in this transaction."""
    for blocker in blockers:
        row = tx.one("tasks.get", id=blocker)
        assert row is not None  # noqa: S101 - lean_on found it
        done = tx.task(row).status is Status.COMPLETED
        tx.all("dependencies.add", blocked=task.id, blocker=blocker, kind="blocks", done=int(done), now=tx.now)


def replace(tx: Tx, *, old: int, new: int) -> None:
    """What still waits for a task waits for another one in its place."""
    for (blocked,) in tx.all("dependencies.held_back", id=old):
        depend(tx, task=blocked, on=new)
        undepend(tx, task=blocked, on=old)


def release_dependents(tx: Tx, task: Task) -> None:
    """A task completed: those that waited for it wait for one task less, each exactly once."""
    if not task.dependents:
        return
    waiting = sorted(row[0] for row in tx.all("dependencies.finish", blocker=task.id))
    if not waiting:
        return
    freed = []
    for [row] in tx.many("dependencies.unblock", [{"id": id, "now": tx.now} for id in waiting]):
        child = tx.task(row)
        if child.blockers == 0 and child.status in {Status.QUEUED, Status.SCHEDULED}:
            tx.emit(Kind.TASK_UNBLOCKED, child, was=Status.BLOCKED, data={"by": task.task_id})
            freed.append(child)
    follow_labels(tx, *freed)


def checked_parent(tx: Tx, task: Task, ref: str | int) -> int:
    """A parent's number; refuses one that is the task itself or below it."""
    parent = get_task(tx, ref)
    above = [row[0] for row in tx.all("dependencies.ancestors", id=parent.id)]
    if task.id in above:
        path = " -> ".join(tx.shown(id) for id in [*reversed(above[: above.index(task.id) + 1]), task.id])
        raise Cycle(f"{parent.task_id} is below {task.task_id} already: {path}", field="parent")
    return parent.id


def _point(tx: Tx, found: Task, target: Task, kind: DependencyKind) -> Task:
    if found.id == target.id:
        raise BadInput(f"{found.task_id} cannot point at itself", field="on")
    added = tx.one("dependencies.add", blocked=found.id, blocker=target.id, kind=kind.value, done=0, now=tx.now)
    if added is None:
        return found
    return change(tx, found, Kind.DEPENDENCY_ADDED, {}, data={"on": target.task_id, "kind": kind.value})


def _refuse_cycle(tx: Tx, blocked: int, blocker: int) -> None:
    row = tx.one("dependencies.path", start=blocked, goal=blocker)
    if row is not None:
        path = " -> ".join(tx.shown(int(id)) for id in [*row[0].split(","), str(blocked)] if id)
        raise Cycle(
            f"{tx.shown(blocker)} waits for {tx.shown(blocked)} already: {path}; remove one of these first", field="on"
        )
