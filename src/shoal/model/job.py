"""What a job is: something that fires by the clock; and a run, one firing of it. When it fires: services/firing.py."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from shoal.model.fields import NO_NUL, Name, Text
from shoal.model.task import NewTask

OUTPUT_LINES = 200  # of a run's output, in the ledger; the whole is in its log file
OUTPUT_LIMIT = 20_000  # characters of these lines
CATCH_UP_LIMIT = 64  # missed slots that are made up for, the newest ones

JobName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?![\s\S])",
        description="A job's name: letters, digits, dots, dashes and underscores.",
    ),
]
Schedule = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
        description="Five cron fields, @hourly, @daily, @weekly, @monthly, @yearly, or `every 90s` (s, m, h, d).",
    ),
]


class Overlap(StrEnum):
    """What happens to a slot whose job still runs: skipped, run beside it, or run in its place."""

    FORBID = "forbid"
    ALLOW = "allow"
    REPLACE = "replace"


class CatchUp(StrEnum):
    """Which missed slots are made up for."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class RunStatus(StrEnum):
    """How a run is. `failed` is an exit code that is not 0, `error` that it could not run or its server died."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ERROR = "error"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


UNDER_WAY = frozenset({RunStatus.WAITING, RunStatus.RUNNING})
BAD = frozenset({RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.ERROR})


class Cause(StrEnum):
    """Why a run was made."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    TRIGGER = "trigger"
    IMPORT = "import"


class Program(Struct, frozen=True, tag="program", tag_field="kind", forbid_unknown_fields=True):
    """Run a program: a .py file with Shoal's Python, a .sh file with sh, anything else as it is.

    A relative path is meant from the job's folder.
    """

    command: Annotated[list[Text], Meta(min_length=1, max_length=200)]


class Template(Struct, frozen=True, tag="task", tag_field="kind", forbid_unknown_fields=True):
    """Make a task. In its title and body {slot} and {job} stand for themselves."""

    task: NewTask


class BuiltIn(Struct, frozen=True, tag="built_in", tag_field="kind", forbid_unknown_fields=True):
    """Run what Shoal brings along: `shoal job built-ins` lists the names and their options."""

    name: Name
    options: dict[str, Any] = {}


Action = Program | Template | BuiltIn


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job as it is written down."""

    name: JobName
    schedule: Schedule
    action: Action
    timezone: Annotated[Name, Meta(description="IANA name of the timezone of its cron fields.")] = "UTC"
    enabled: bool = True
    timeout_seconds: Annotated[int, Meta(ge=1, le=604_800)] = 300
    overlap: Overlap = Overlap.FORBID
    catch_up: CatchUp = CatchUp.LAST
    grace_seconds: Annotated[int, Meta(ge=0, le=86_400, description="How late a slot may begin and be on time.")] = 60
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 1
    backoff_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Wait after the first failure; doubles with each one.")
    ] = 30
    jitter_seconds: Annotated[
        int, Meta(ge=0, le=86_400, description="A slot begins up to so much later, the same on every server.")
    ] = 0
    tags: Annotated[list[Name], Meta(max_length=50)] = []
    description: Text = ""
    environment: Annotated[dict[Name, Text], Meta(max_length=200)] = {}
    folder: Annotated[Text | None, Meta(description="Where its program runs; left out: the home.")] = None


class Job(Struct, frozen=True, kw_only=True):
    """A job in the ledger. Times are epoch milliseconds. `source` is `api`, or the manifest that defines it."""

    id: int
    definition: Definition
    source: str
    next_fire_at: int | None
    last_slot: int | None
    run_count: int
    fail_count: int
    created_at: int
    updated_at: int


class Run(Struct, frozen=True, kw_only=True):
    """One firing of a job. Times are epoch milliseconds; `output` is its last lines, `log` the file with all."""

    id: int
    run_id: str
    job: str
    slot: int
    cause: Cause
    attempt: int
    status: RunStatus
    due_at: int
    actor: str
    server: str | None
    leased_until: int | None
    cancelled_by: str | None
    started_at: int | None
    finished_at: int | None
    duration_ms: int | None
    exit_code: int | None
    reason: str | None
    output: str | None
    log: str | None
    task: int | None
