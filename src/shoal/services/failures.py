"""What follows when an attempt ends badly, whoever says so: its worker, supervision, or the end of its lease.

The rule stands here once, and once more as `leases.expire`, which ends many lost attempts in one statement.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from shoal.model.event import Kind
from shoal.model.task import Status, Task
from shoal.services.changes import change, place
from shoal.services.transaction import Tx


def end_badly(
    tx: Tx,
    found: Task,
    error: str,
    *,
    attempt: int | None,
    permanent: bool = False,
    run_at: int | None = None,
    again: Kind = Kind.TASK_RETRIED,
    for_good: Kind = Kind.TASK_FAILED,
    told: Mapping[str, Any] | None = None,
) -> Task:
    """End an attempt of a task that the transaction has locked: it waits for the next one, or has failed.

    Without `run_at` it waits longer after every failure. `again` and `for_good` are the events that tell which of the
    two it was; `told` stands in them. Where no attempt was made, None, a person gives the task up.
    """
    failures = found.failures + (attempt is not None)
    fields: dict[str, Any] = {"failures": failures, "releases": 0, "last_error": error}
    fields |= {"worker": None, "leased_until": None}
    if permanent or failures >= found.max_attempts:
        fields |= {"status": Status.FAILED, "completed_at": tx.now}
        return change(tx, found, for_good, fields, attempt=attempt, data=told)
    if run_at is None:
        run_at = tx.now + _wait_ms(tx, failures)
    data: dict[str, Any] = {"retry_after_ms": run_at - tx.now} if again is Kind.TASK_RETRIED else {}
    fields |= {"run_at": run_at} | place(found, tx.now, run_at=run_at)
    return change(tx, found, again, fields, attempt=attempt, data=data | dict(told or {}))


def lose(tx: Tx, found: Task, error: str, *, told: Mapping[str, Any]) -> Task:
    """End the attempt of a worker that is gone. It was no fault of the task's: the next one may begin at once."""
    return end_badly(
        tx,
        found,
        error,
        attempt=found.attempt,
        run_at=found.run_at,
        again=Kind.TASK_EXPIRED,
        for_good=Kind.TASK_EXPIRED,
        told={"error": error, **told},
    )


def _wait_ms(tx: Tx, failures: int) -> int:
    """The wait before the next attempt: doubling from the base, capped, with half of it drawn by chance."""
    exponent = min(max(failures - 1, 0), 30)
    whole = min(tx.settings.retry_base_seconds * 2**exponent, tx.settings.retry_cap_seconds)
    return int(1000 * whole * random.uniform(0.5, 1.0))  # noqa: S311
