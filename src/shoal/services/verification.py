"""What became of a task's success criteria. They are checked where the work is: worker/verification.py."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.model.event import Kind
from shoal.model.fields import Positive, TaskRef, Text
from shoal.model.task import Status, Task
from shoal.services.changes import change
from shoal.services.leases import held
from shoal.services.outcomes import stored_result
from shoal.services.refs import lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

Listed = Annotated[list[Text], Meta(max_length=200)]


@verb("POST /tasks/{task}/verified")
def verified(tx: Tx, *, task: TaskRef, attempt: Positive, failed: Listed, manual: Listed = []) -> Task:  # noqa: B006
    """Say which success criteria failed, each with its reason, and which a person must judge; with none, all hold."""
    found = lock_task(tx, task)
    held(tx, found, attempt)
    data = {"failed": failed, "manual": manual}
    tx.emit(Kind.TASK_VERIFIED, found, was=found.status.value, attempt=attempt, data=data)
    return found


@verb("POST /tasks/{task}/submit")
def submit(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    summary: Text | None = None,
    result: Annotated[Any, Meta(description="Small JSON, 64 KiB at most.")] = None,
) -> Task:
    """End an attempt whose work a person must judge: the task goes to review, whether it `requires_qa` or not."""
    found = lock_task(tx, task)
    if found.status is Status.REVIEW and found.attempt == attempt and found.worker is not None:
        return found
    held(tx, found, attempt)
    fields: dict[str, Any] = {"status": Status.REVIEW, "leased_until": None}
    if summary is not None:
        fields["summary"] = summary
    if result is not None:
        stored_result(result)
        fields["result"] = result
    data = {"summary": summary} if summary else None
    return change(tx, found, Kind.TASK_SUBMITTED, fields, attempt=attempt, data=data)
