"""What a claim would give, why a task is not among it, and how the waiting tasks hang together."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.model.dependency import DependencyKind, Edge, Explanation, Graph, Node, Obstacle, Reason
from shoal.model.fields import Limit, Name, TaskRef
from shoal.model.page import Page
from shoal.model.task import FINISHED, Status, Task
from shoal.services import queues, tasks
from shoal.services.refs import get_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

MINUTES_WITHOUT_ESTIMATE = 60
OBSTACLES_SHOWN = 50


@verb("GET /tasks/ready")
def ready(
    tx: Tx,
    *,
    queue: Name = "default",
    type: Name | None = None,
    label: Name | None = None,
    cursor: Name | None = None,
    limit: Limit = 50,
) -> Page[Task]:
    """The tasks that a claim would give now, in its order; none while the queue is paused or full."""
    if queues.room(tx, queue) == 0:
        return Page()
    return tasks.list_(tx, order="claim", queue=queue, type=type, label=label, cursor=cursor, limit=limit)


@verb("GET /tasks/{task}/explain")
def explain(tx: Tx, *, task: TaskRef) -> Explanation:
    """Whether a task can be claimed now, and if not, every reason: which blocker, which time, which hold."""
    found = get_task(tx, task)
    obstacles = list(_obstacles(tx, found))
    return Explanation(found.task_id, not obstacles, obstacles)


@verb("GET /tasks/graph")
def graph(
    tx: Tx,
    *,
    task: TaskRef,
    limit: Annotated[int, Meta(ge=1, le=5000, description="How many tasks at most.")] = 500,
) -> Graph:
    """Everything that must be done before a task, waits for it, or is below it; with the critical path."""
    root = get_task(tx, task)
    ids = [row[0] for row in tx.all("dependencies.closure", id=root.id, limit=limit + 1)]
    complete = len(ids) <= limit
    found: dict[int, Task] = {}
    for id in sorted(ids[:limit]):
        row = tx.one("tasks.get", id=id)
        if row is not None:
            found[id] = tx.task(row)
    edges = []
    before: dict[int, list[int]] = {id: [] for id in found}
    for id, one in found.items():
        if one.parent in found:
            edges.append(Edge(tx.shown(one.parent), one.task_id, DependencyKind.PARENT, False))
        for blocked, blocker, kind, done in tx.all("dependencies.edges_within", id=id):
            if blocker in found:
                edges.append(Edge(tx.shown(blocker), tx.shown(blocked), DependencyKind(kind), bool(done)))
                if kind == DependencyKind.BLOCKS and not done:
                    before[id].append(blocker)
    path, minutes = _critical_path(found, before)
    nodes = [Node(t.id, t.task_id, t.title, t.status, t.priority, t.estimate_minutes) for t in found.values()]
    return Graph(nodes, edges, [tx.shown(id) for id in path], minutes, complete)


def _obstacles(tx: Tx, task: Task) -> list[Obstacle]:
    obstacles: list[Obstacle] = []
    if task.status is Status.ACTIVE:
        obstacles.append(Obstacle(Reason.ACTIVE, f"held by {task.worker} ({task.assignee})", until=task.leased_until))
    elif task.status is Status.REVIEW:
        obstacles.append(Obstacle(Reason.REVIEW, f"awaits a verdict: `shoal review {task.task_id} --approve|--reject`"))
    elif task.status in FINISHED:
        obstacles.append(
            Obstacle(Reason.FINISHED, f"{task.status.value}; `shoal reopen {task.task_id}` puts it back to work")
        )
    if task.hold_reason is not None:
        obstacles.append(Obstacle(Reason.HOLD, f"held: {task.hold_reason}; `shoal unhold {task.task_id}` lifts it"))
    waiting_for = tx.all("dependencies.open_blockers", id=task.id, limit=OBSTACLES_SHOWN)
    obstacles.extend(_blocker(tx.task(row), task) for row in waiting_for)
    if task.status is Status.SCHEDULED:
        obstacles.append(Obstacle(Reason.TIME, "its run_at lies ahead", until=task.run_at))
    if task.status is Status.QUEUED:
        queue = queues.get(tx, queue=task.queue)
        if queue.paused:
            obstacles.append(
                Obstacle(Reason.PAUSED, f"queue {queue.name} is paused; `shoal queue resume {queue.name}`")
            )
        elif queues.room(tx, task.queue) == 0:
            obstacles.append(Obstacle(Reason.FULL, f"queue {queue.name} has its {queue.concurrency} tasks active"))
    return obstacles


def _blocker(blocker: Task, task: Task) -> Obstacle:
    message = f"waits for {blocker.task_id} {blocker.title!r}, which is {blocker.status.value}"
    if blocker.status in FINISHED:
        message += (
            f" and will not complete by itself: `shoal reopen {blocker.task_id}`, "
            f"or `shoal dep remove {task.task_id} {blocker.task_id}`"
        )
    return Obstacle(Reason.BLOCKER, message, task_id=blocker.task_id)


def _critical_path(found: dict[int, Task], before: dict[int, list[int]]) -> tuple[list[int], int]:
    """The chain of unfinished tasks with the most minutes; edges never make a cycle, so a single pass is enough."""
    longest: dict[int, tuple[int, list[int]]] = {}
    ready = [(id, False) for id in found]
    while ready:
        id, visited = ready.pop()
        if id in longest:
            continue
        if not visited:
            ready.append((id, True))
            ready.extend((blocker, False) for blocker in before[id] if blocker not in longest)
            continue
        minutes, chain = max((longest[blocker] for blocker in before[id]), default=(0, []), key=_minutes)
        own = found[id].estimate_minutes
        if found[id].status not in FINISHED:
            minutes += MINUTES_WITHOUT_ESTIMATE if own is None else own
            chain = [*chain, id]
        longest[id] = (minutes, chain)
    minutes, chain = max(longest.values(), default=(0, []), key=_minutes)
    return chain, minutes


def _minutes(chain: tuple[int, Any]) -> int:
    return chain[0]
