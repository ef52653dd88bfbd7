"""What became of a task's success criteria. They are checked where the work is: worker/verification.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shoal.model.event import Kind
from shoal.model.fields import Positive, TaskRef, Text
from shoal.model.task import Task
from shoal.services.leases import held
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
