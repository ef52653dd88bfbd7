"""What a task is, and the only table of what may follow what. How it is stored: store/queries/tasks.sql."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shoal.errors import BadInput
from shoal.model.fields import (
    NO_NUL,
    Markdown,
    Minutes,
    Moment,
    Name,
    Positive,
    PriorityInput,
    Score,
    Seconds,
    Slug,
    TaskRef,
    Text,
    Title,
)


class Status(StrEnum):
    """Where a task is in its life."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    ACTIVE = "active"
    REVIEW = "review"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATUS_MEANINGS = {
    Status.QUEUED: "ready to be claimed",
    Status.SCHEDULED: "waits for its run_at",
    Status.BLOCKED: "waits for other tasks, or is held with a reason",
    Status.ACTIVE: "claimed by a worker",
    Status.REVIEW: "done, awaits a verdict",
    Status.COMPLETED: "done",
    Status.FAILED: "given up after its attempts",
    Status.CANCELLED: "called off",
}
WAITING = frozenset({Status.QUEUED, Status.SCHEDULED, Status.BLOCKED})
FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
LIVE = frozenset(Status) - FINISHED

# verb -> (from, to): the only table of what may follow what; services check it, docs draw it.
TRANSITIONS: dict[str, tuple[frozenset[Status], frozenset[Status]]] = {
    "create": (frozenset(), WAITING),
    "due": (frozenset({Status.SCHEDULED}), frozenset({Status.QUEUED})),
    "unblock": (frozenset({Status.BLOCKED}), frozenset({Status.QUEUED, Status.SCHEDULED})),
    "depend": (WAITING, frozenset({Status.BLOCKED})),
    "hold": (WAITING, frozenset({Status.BLOCKED})),
    "unhold": (frozenset({Status.BLOCKED}), WAITING),
    "reschedule": (WAITING, WAITING),
    "claim": (frozenset({Status.QUEUED}), frozenset({Status.ACTIVE})),
    "release": (frozenset({Status.ACTIVE}), WAITING),
    "retry": (frozenset({Status.ACTIVE}), WAITING),
    "expire": (frozenset({Status.ACTIVE}), WAITING | {Status.FAILED}),
    "orphan": (frozenset({Status.ACTIVE}), frozenset({Status.REVIEW})),
    "complete": (WAITING | {Status.ACTIVE}, frozenset({Status.REVIEW, Status.COMPLETED})),
    "submit": (frozenset({Status.ACTIVE}), frozenset({Status.REVIEW})),
    "fail": (WAITING | {Status.ACTIVE}, frozenset({Status.FAILED})),
    "approve": (frozenset({Status.REVIEW}), frozenset({Status.COMPLETED})),
    "reject": (frozenset({Status.REVIEW}), WAITING),
    "cancel": (LIVE, frozenset({Status.CANCELLED})),
    "reopen": (FINISHED, WAITING),
}

NORMAL = 2
PRIORITY_WORDS = {
    "urgent": 0,
    "critical": 0,
    "high": 1,
    "medium": 2,
    "normal": 2,
    "low": 3,
    **{f"{letter}{number}": number for letter in "Pp" for number in range(4)},
}


class Criterion(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that must hold before the task counts as done."""

    criterion: Annotated[str, Meta(min_length=1, max_length=2000, pattern=NO_NUL)]
    measurable: Annotated[str, Meta(max_length=2000, pattern=NO_NUL)] | None = None


class Feedback(Struct, frozen=True):
    """What a person thought of the work."""

    quality: Score
    timeliness: Score | None = None
    notes: Text | None = None


class Participant(Struct, frozen=True):
    """An agent who works on, or listens to, a task."""

    agent: str
    role: str | None
    joined_at: int


class Task(Struct, frozen=True):
    """A task, whole. Its fields stand in the order of the table's columns (a test holds that).

    Times are milliseconds since 1970, UTC. `attempt` is the fence: the number of the latest claim.
    `failures` counts the tries that used up `max_attempts`.
    """

    id: int
    title: str
    type: str
    status: Status
    priority: int
    queue: str
    labels: list[str]
    parent: int | None
    assignee: str | None
    created_by: str
    repos: list[str]
    model: str | None
    workflow: str | None
    estimate_minutes: int | None
    deadline: int | None
    requires_qa: bool
    max_attempts: int
    timeout_seconds: int | None
    run_at: int
    unique_key: str | None
    success_criteria: list[Criterion]
    slug: str | None
    external_key: str | None
    discord_thread_id: str | None
    summary: str | None
    actual_minutes: int | None
    result: Any
    last_error: str | None
    feedback: Feedback | None
    participants: list[Participant]
    progress: int | None
    progress_message: str | None
    attempt: int
    failures: int
    releases: int
    worker: str | None
    leased_until: int | None
    hold_reason: str | None
    blockers: int
    dependents: int
    request_id: str | None
    created_at: int
    updated_at: int
    queued_at: int | None
    claimed_at: int | None
    started_at: int | None
    completed_at: int | None
    task_id: str


class UpdatedTask(Task, frozen=True):
    """A task after an update, with the names of the fields that changed."""

    updated: list[str] = []


class NewTask(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a task is created from; only the title is needed."""

    title: Title
    type: Name = "swe"
    priority: PriorityInput = NORMAL
    queue: Name = "default"
    labels: Annotated[list[Name], Meta(max_length=50)] = []
    parent: TaskRef | None = None
    depends_on: Annotated[list[TaskRef], Meta(max_length=200, description="Tasks that must complete first.")] = []
    assignee: Name | None = None
    repos: Annotated[list[Name], Meta(max_length=50)] = []
    model: Name | None = None
    workflow: Name | None = None
    estimate_minutes: Minutes | None = None
    deadline: Moment | None = None
    requires_qa: bool = False
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] = 3
    timeout_seconds: Seconds | None = None
    run_at: Moment | None = None
    unique_key: Name | None = None
    success_criteria: Annotated[list[Criterion], Meta(max_length=100)] = []
    slug: Slug | None = None
    external_key: Slug | None = None
    discord_thread_id: Name | None = None
    hold_reason: Text | None = None
    body: Markdown | None = None
    request_id: Annotated[
        Name | None,
        Meta(description="The same id again answers with the first task instead of a second one."),
    ] = None


class TaskChanges(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields that an update may change; what is left out stays, null clears."""

    title: Title | UnsetType = UNSET
    type: Name | UnsetType = UNSET
    priority: PriorityInput | UnsetType = UNSET
    queue: Name | UnsetType = UNSET
    labels: Annotated[list[Name], Meta(max_length=50)] | UnsetType = UNSET
    parent: TaskRef | UnsetType | None = UNSET
    assignee: Name | UnsetType | None = UNSET
    repos: Annotated[list[Name], Meta(max_length=50)] | UnsetType = UNSET
    model: Name | UnsetType | None = UNSET
    workflow: Name | UnsetType | None = UNSET
    estimate_minutes: Minutes | UnsetType | None = UNSET
    deadline: Moment | UnsetType | None = UNSET
    requires_qa: bool | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    timeout_seconds: Seconds | UnsetType | None = UNSET
    run_at: Moment | UnsetType = UNSET
    success_criteria: Annotated[list[Criterion], Meta(max_length=100)] | UnsetType = UNSET
    slug: Slug | UnsetType | None = UNSET
    external_key: Slug | UnsetType | None = UNSET
    discord_thread_id: Name | UnsetType | None = UNSET
    summary: Text | UnsetType | None = UNSET
    actual_minutes: Minutes | UnsetType | None = UNSET


class Claim(Struct, frozen=True):
    """A task taken by a worker: all that it needs to do the work and to write about it.

    Every write of the attempt names `attempt`; `key` authorises only this attempt's writes.
    """

    task: Task
    attempt: int
    worker: str
    leased_until: int
    key: str


class ClaimResult(StrEnum):
    """What a claim came to."""

    CLAIMED = "claimed"
    NONE = "none"
    HELD = "held"


class ClaimOutcome(Struct, frozen=True):
    """What a claim came to: `claimed`, `none` (see reason) or `held` by someone (see retry_after_ms)."""

    outcome: ClaimResult
    claims: list[Claim] = []
    reason: str | None = None
    retry_after_ms: int | None = None


class Completion(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One attempt that ended well, as `complete_many` takes it."""

    task: TaskRef
    attempt: Positive
    summary: Text | None = None
    result: Any = None
    actual_minutes: Minutes | None = None
    seal: Name | None = None


def priority_of(given: int | str, *, field: str = "priority") -> int:
    """0 (urgent) to 3 (low), from a number, P0–P3 or a word."""
    if isinstance(given, int):
        return given
    number = PRIORITY_WORDS.get(given)
    if number is None:
        raise BadInput(f"priority {given!r} is not one of 0-3, P0-P3, high, normal, low", field=field)
    return number


def waiting_status(*, blockers: int, hold_reason: str | None, run_at: int, now: int) -> Status:
    """Where a task that nobody has belongs."""
    if blockers > 0 or hold_reason is not None:
        return Status.BLOCKED
    return Status.SCHEDULED if run_at > now else Status.QUEUED


_STATUSES = {status.value: status for status in Status}
_criteria = msgspec.json.Decoder(list[Criterion]).decode
_strings = msgspec.json.Decoder(list[str]).decode
_participants = msgspec.json.Decoder(list[Participant]).decode
_feedback = msgspec.json.Decoder(Feedback).decode
_anything = msgspec.json.Decoder().decode


def task_from_row(row: tuple[Any, ...], prefix: str) -> Task:
    """A task from its row; lists and results are stored as JSON text, empty ones as NULL."""
    values = list(row)
    values[3] = _STATUSES[values[3]]
    values[6] = _strings(values[6]) if values[6] else []
    values[10] = _strings(values[10]) if values[10] else []
    values[15] = values[15] == 1
    values[20] = _criteria(values[20]) if values[20] else []
    values[26] = _anything(values[26]) if values[26] else None
    values[28] = _feedback(values[28]) if values[28] else None
    values[29] = _participants(values[29]) if values[29] else []
    values.append(f"{prefix}{values[0]}")
    return Task(*values)
