"""What became of a task's success criteria. They are checked where the work is: worker/verification.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shoal.model.event import Kind
from shoal.model.fields import Positive, TaskRef, Text
from shoal.model.task import Task
from shoal.services import said, seals
from shoal.services.leases import held
from shoal.services.refs import lock_task
from shoal.services.seals import Seal
from shoal.services.transaction import Tx
from shoal.services.verb import verb

Listed = Annotated[list[Text], Meta(max_length=200)]


@verb("POST /tasks/{task}/verified")
def verified(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    failed: Listed,
    manual: Listed = [],  # noqa: B006 - never written to
    seal: Seal | None = None,
    report: said.Report | None = None,
    again: said.Again = False,
) -> Task:
    """Say which success criteria failed, each with its reason, and which a person must judge; with none, all hold.

    Where a session of the attempt has a `seal`, only who names it says this: its agent does not vouch for itself.
    """
    found = lock_task(tx, task)
    if said.before(tx, found.id, Kind.TASK_VERIFIED, report, again=again):
        return found
    held(tx, found, attempt)
    seals.require(tx, found, attempt, seal)
    data = {"failed": failed, "manual": manual} | said.told(report)
    tx.emit(Kind.TASK_VERIFIED, found, was=found.status.value, attempt=attempt, data=data)
    return found
