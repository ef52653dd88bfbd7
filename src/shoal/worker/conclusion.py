"""What an attempt came to. How it comes to it: episodes.py; how the ledger is told: attempt.py."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct


class How(StrEnum):
    """What is said to the ledger at the end of an attempt: the name of the verb."""

    COMPLETE = "complete"
    SUBMIT = "submit"
    FAIL = "fail"
    RELEASE = "release"


class Conclusion(Struct, frozen=True, kw_only=True):
    """What an attempt came to, and what is told with it; to `submit` is to leave the verdict to a person.

    With `fault` it is the worker's set-up that keeps its agent from working, and nothing of the task's.
    """

    how: How
    text: str = ""
    permanent: bool = False
    fault: bool = False
    result: Any = None
    report: str = ""
    pull_requests: list[str] = []

    @property
    def is_done(self) -> bool:
        """Whether the work holds, as far as it could be checked."""
        return self.how in (How.COMPLETE, How.SUBMIT)
