"""What supervision acts by, and what it would do to a task now. The rules themselves: services/supervision.py."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Rule(StrEnum):
    """What supervision acts by; it stands in the events as `rule`."""

    TIMEOUT = "timeout"
    ORPHAN = "orphan"
    STALE = "stale"


class Action(StrEnum):
    """What a rule does to a task."""

    WARN = "warn"
    FAIL = "fail"
    TAKE_BACK = "take_back"
    REPORT = "report"


class Due(Struct, frozen=True):
    """What a rule would do to a task now. `since` is when that came due."""

    task_id: str
    title: str
    attempt: int
    rule: Rule
    action: Action
    since: int
    message: str
