"""What may stand between two tasks."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from shoal.model.task import Status


class DependencyKind(StrEnum):
    """Kinds of edges; only `blocks` holds a task back. `parent` is kept as the task's parent field."""

    BLOCKS = "blocks"
    RELATED = "related"
    PARENT = "parent"
    DISCOVERED_FROM = "discovered-from"


class Dependency(Struct, frozen=True):
    """One edge: `blocker` comes before, is related to, is the parent of, or led to `blocked`."""

    blocked: str
    blocked_title: str
    blocked_status: Status
    blocker: str
    blocker_title: str
    blocker_status: Status
    kind: DependencyKind
    done: bool
    created_at: int


class Node(Struct, frozen=True):
    """A task in a graph."""

    id: int
    task_id: str
    title: str
    status: Status
    priority: int
    estimate_minutes: int | None


class Edge(Struct, frozen=True):
    """An edge of a graph, by task ids as shown."""

    blocker: str
    blocked: str
    kind: DependencyKind
    done: bool


class Graph(Struct, frozen=True):
    """Tasks, the edges between them, and the longest chain of unfinished work among them.

    `critical_minutes` is the sum of the estimates along `critical_path`; a task without one counts as an hour.
    `complete` is false when the graph was cut at the limit.
    """

    nodes: list[Node]
    edges: list[Edge]
    critical_path: list[str]
    critical_minutes: int
    complete: bool


class Reason(StrEnum):
    """Why a task cannot be claimed."""

    ACTIVE = "active"
    REVIEW = "review"
    FINISHED = "finished"
    HOLD = "hold"
    BLOCKER = "blocker"
    TIME = "time"
    PAUSED = "paused"
    FULL = "full"


class Obstacle(Struct, frozen=True):
    """One reason why a task cannot be claimed, and what would change that."""

    reason: Reason
    message: str
    task_id: str | None = None
    until: int | None = None


class Explanation(Struct, frozen=True):
    """Whether a task can be claimed now, and everything that stands in the way."""

    task_id: str
    claimable: bool
    obstacles: list[Obstacle]
