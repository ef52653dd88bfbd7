"""What a job is: something that fires by the clock; and a run, one firing of it. When it fires: services/firing.py."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shoal.errors import BadInput
from shoal.model.check import Check
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
        extra={
            "form": "a name of the letters A to Z, digits, dots, dashes and underscores (at first a letter or digit)"
        },
    ),
]
RunRef = Annotated[str | int, Meta(description="A run of a job: its number (7) or R7.")]
Schedule = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
        description="Five cron fields, @hourly, daily, weekly, @monthly, @yearly, `every 90s` (s, m, h, d), on_commit, "
        "or on_idle (`on_idle 4h`: at most so often).",
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
    """Why a run was made. `commit` and `idle` are what a job waits for that has no times."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    TRIGGER = "trigger"
    IMPORT = "import"
    COMMIT = "commit"
    IDLE = "idle"


OCCASIONS = frozenset({Cause.COMMIT, Cause.IDLE})  # what jobs wait for that have no times


class Program(Struct, frozen=True, tag="program", tag_field="kind", forbid_unknown_fields=True):
    """Run a program: a .py file with Shoal's Python, a .sh file with sh, anything else as it is.

    A relative path is meant from the job's folder.
    """

    command: Annotated[list[Text], Meta(min_length=1, max_length=200)]


SHELL = frozenset({"|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1", "2>"})


def split_command(text: str) -> list[str]:
    """The words of a command that is written as one text. Raises BadInput for what only a shell understands."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(str(error).lower(), field="command") from None
    if found := next((word for word in words if word in SHELL), None):
        raise BadInput(
            f"no shell reads it, so {found} would be an argument; put it into a .sh file, or run sh with -c",
            field="command",
        )
    return words


class Template(Struct, frozen=True, tag="task", tag_field="kind", forbid_unknown_fields=True):
    """Make a task. In its title and body {slot} and {job} stand for themselves."""

    task: NewTask


class BuiltIn(Struct, frozen=True, tag="built_in", tag_field="kind", forbid_unknown_fields=True):
    """Run what Shoal brings along: `shoal job built-ins` lists the names and their options."""

    name: Name
    options: dict[str, Any] = {}


Action = Program | Template | BuiltIn | Check


Timezone = Annotated[Name, Meta(description="IANA name of the timezone of its cron fields.")]
Timeout = Annotated[int, Meta(ge=1, le=604_800)]
Grace = Annotated[int, Meta(ge=0, le=86_400, description="How late a slot may begin and be on time.")]
Attempts = Annotated[int, Meta(ge=1, le=100)]
Backoff = Annotated[int, Meta(ge=1, le=86_400, description="Wait after the first failure; doubles with each one.")]
Jitter = Annotated[
    int, Meta(ge=0, le=86_400, description="A slot begins up to so much later, the same on every server.")
]
Tags = Annotated[list[Name], Meta(max_length=50)]
Environment = Annotated[dict[Name, Text], Meta(max_length=200)]
Folder = Annotated[
    Text | None, Meta(description="Where its program runs; a relative one is meant from the home. Left out: the home.")
]


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job as it is written down."""

    name: JobName
    schedule: Schedule
    action: Action
    timezone: Timezone = "UTC"
    enabled: bool = True
    timeout_seconds: Timeout = 300
    overlap: Overlap = Overlap.FORBID
    catch_up: CatchUp = CatchUp.LAST
    grace_seconds: Grace = 60
    max_attempts: Attempts = 1
    backoff_seconds: Backoff = 30
    jitter_seconds: Jitter = 0
    tags: Tags = []
    description: Text = ""
    environment: Environment = {}
    folder: Folder = None


class JobChanges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a job that an update may change; what is left out stays."""

    schedule: Schedule | UnsetType = UNSET
    action: Action | UnsetType = UNSET
    timezone: Timezone | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    timeout_seconds: Timeout | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    catch_up: CatchUp | UnsetType = UNSET
    grace_seconds: Grace | UnsetType = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    backoff_seconds: Backoff | UnsetType = UNSET
    jitter_seconds: Jitter | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    environment: Environment | UnsetType = UNSET
    folder: Folder | UnsetType = UNSET


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


class JobDetail(Job, frozen=True, kw_only=True):
    """A job with its next slots and its last runs, newest first and without their output."""

    fire_times: list[int]
    runs: list[Run]


class Applied(Struct, frozen=True):
    """What a manifest changed, by the names of jobs."""

    added: list[str]
    removed: list[str]
    rescheduled: list[str]
    changed: list[str]


class Run(Struct, frozen=True, kw_only=True):
    """One firing of a job. Times are epoch milliseconds; `output` is its last lines, `log` the file with all.

    The counts of findings are those of a check; None for anything else, and before it has ended.
    """

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
    cancelled_by: str | None
    started_at: int | None
    finished_at: int | None
    duration_ms: int | None
    exit_code: int | None
    reason: str | None
    output: str | None
    log: str | None
    task: int | None
    findings_count: int | None = None
    new_findings_count: int | None = None


class Claimed(Struct, frozen=True):
    """A run that a server has taken, and what it is to do."""

    run: Run
    definition: Definition


class Held(Struct, frozen=True):
    """A run under way, and how often its server has given a sign of life."""

    id: int
    server: str
    beats: int


_encode = msgspec.json.Encoder().encode
_ENCODED = frozenset({"action", "tags", "environment"})


def columns(definition: Definition) -> dict[str, Any]:
    """A definition as the columns of its row."""
    given = {name: getattr(definition, name) for name in definition.__struct_fields__}
    return {name: _encode(value).decode() if name in _ENCODED else _plain(value) for name, value in given.items()}


def job_from_row(row: tuple[Any, ...]) -> Job:
    """A job from its row."""
    id, *defined, source, next_fire_at, last_slot, run_count, fail_count, created_at, updated_at = row
    return Job(
        id=id,
        definition=definition_from_columns(defined),
        source=source,
        next_fire_at=next_fire_at,
        last_slot=last_slot,
        run_count=run_count,
        fail_count=fail_count,
        created_at=created_at,
        updated_at=updated_at,
    )


def definition_from_columns(values: list[Any]) -> Definition:
    """A definition from the columns of its row, which stand in the order of its fields."""
    given = dict(zip(Definition.__struct_fields__, values, strict=True))
    for name in _ENCODED:
        given[name] = msgspec.json.decode(given[name])
    given["enabled"] = bool(given["enabled"])
    return msgspec.convert(given, Definition)


def run_from_row(row: tuple[Any, ...]) -> Run:
    """A run from its row."""
    given = dict(zip(_RUN_COLUMNS, row, strict=True))
    began, ended = given["started_at"], given["finished_at"]
    return Run(
        **given | {"cause": Cause(given["cause"]), "status": RunStatus(given["status"])},
        run_id=f"R{given['id']}",
        duration_ms=None if began is None or ended is None else max(0, ended - began),
    )


_RUN_COLUMNS = [name for name in Run.__struct_fields__ if name not in {"run_id", "duration_ms"}]


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return value.value if isinstance(value, StrEnum) else value
