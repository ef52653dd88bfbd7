"""What lobwife, the service before this one, knew: its rows as they are taken over, and what became of each."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from shoal.model.migration import OldTask


class OldEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a task. Times here are epoch milliseconds."""

    task: int
    event_type: str
    detail: str | None
    actor: str | None
    at: int | None


class OldJob(Struct, frozen=True, kw_only=True):
    """A job as its last run left it; what it runs was in lobwife's program."""

    name: str
    last_run: int | None
    last_status: str | None
    last_duration_ms: int | None
    last_output: str | None
    run_count: int
    fail_count: int
    enabled: bool


class OldRegistration(Struct, frozen=True, kw_only=True):
    """The repositories that a task had tokens for."""

    ref: str
    repos: list[str]
    registered_at: int | None
    status: str
    token_count: int


class OldGrantLine(Struct, frozen=True, kw_only=True):
    """A line of the audit of tokens."""

    ref: str
    repos: list[str]
    action: str
    at: int


class OldLobwifeTask(Struct, frozen=True, kw_only=True):
    """A task, and its registration where the row had one."""

    number: int
    task: OldTask
    registration: OldRegistration | None


Old = OldLobwifeTask | OldEvent | OldJob | OldRegistration | OldGrantLine


class OldRow(Struct, frozen=True, kw_only=True):
    """A row of a file. `old` is None when nothing can be taken, `problems` says why, or what was left out.

    `mark` is the same for the same row, read again or from another file.
    """

    file: str
    name: str
    mark: str
    old: Old | None
    problems: list[str] = []


class Outcome(StrEnum):
    """What became of a row."""

    TAKEN = "taken"
    EXISTING = "existing"
    REFUSED = "refused"


class TakenRow(Struct, frozen=True, kw_only=True):
    """What became of a row, and why, or what there is to know besides."""

    file: str
    name: str
    outcome: Outcome
    reason: str | None = None
