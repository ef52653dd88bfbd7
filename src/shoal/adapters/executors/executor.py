"""The shape of an executor: it starts an attempt somewhere, and can be asked about it. daemon/dispatcher.py claims.

What it starts is `shoal run-attempt`, which is given its claim, beats, works and reports by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from shoal.model.task import Claim


class State(StrEnum):
    """How an attempt stands with its executor."""

    MISSING = "missing"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


ENDED = frozenset({State.SUCCEEDED, State.FAILED})


class Spawned(Struct, frozen=True, kw_only=True):
    """An attempt as its executor has it. `worker` is the claim's, without the executor's name before it; `reason` is
    why it waits or failed; `code` is what it ended with, negative for a signal. An `incomplete` one was never let go,
    and only who holds its claim can do so.
    """

    name: str
    task: str
    attempt: int
    worker: str
    state: State
    reason: str | None = None
    incomplete: bool = False
    code: int | None = None


class Executor(Protocol):
    """One place where attempts run. What cannot be asked raises ExecutorUnreachable, and nothing follows from it."""

    name: str
    scope: str | None  # what dispatchers share when attempts outlive them: one of them at a time may act there

    def spawn(self, claim: Claim, environment: Mapping[str, str]) -> None:
        """Start an attempt; when it was started already, that is found out and nothing is done.

        Raises ExecutorError when it is refused, and ExecutorUnreachable when it is not known whether it was started.
        """
        ...

    def find(self, task: str, attempt: int) -> State:
        """How an attempt stands."""
        ...

    def list(self) -> Sequence[Spawned]:
        """All attempts of this ledger that were started and not yet deleted."""
        ...

    def logs(self, spawned: Spawned, path: Path, *, last: bool) -> None:
        """Bring what an attempt has printed into a file, as far as it is not there yet; with `last` to its end."""
        ...

    def delete(self, spawned: Spawned) -> None:
        """End an attempt if it still runs, and clear away what is left of it; one that is gone is as good."""
        ...

    def close(self) -> None:
        """Let go; attempts that cannot outlive this process end with it."""
        ...


def worker_name(claim: Claim) -> str:
    """A claim's worker without the executor's name before it."""
    return claim.worker.partition(":")[2] or claim.worker


def carried(claim: Claim) -> str:
    """A claim as JSON that fits into an environment variable: the attempt reads the task anew when it begins."""
    task = msgspec.structs.replace(
        claim.task,
        success_criteria=[],
        summary=None,
        result=None,
        last_error=None,
        feedback=None,
        participants=[],
        progress_message=None,
        hold_reason=None,
    )
    return msgspec.json.encode(msgspec.structs.replace(claim, task=task)).decode()
