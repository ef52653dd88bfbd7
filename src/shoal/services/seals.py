"""Seals: a secret of whoever runs an agent and checks its work, which the agent does not get.

Who ends a sealed session, or its attempt well, or says what its criteria came to, must name it. Only its hash is
stored.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from msgspec import Meta

from shoal.errors import Refused
from shoal.model.fields import NO_NUL
from shoal.model.task import Task
from shoal.services.transaction import Tx

Seal = Annotated[
    str,
    Meta(
        min_length=16,
        max_length=200,
        pattern=NO_NUL,
        description="A secret of whoever runs the agent, as `begin_session` was given it.",
    ),
]


def hashed(seal: str | None) -> str:
    """A seal as it is stored and compared; empty for none, which is no seal's."""
    return "" if seal is None else hashlib.sha256(seal.encode()).hexdigest()


def require(tx: Tx, task: Task, attempt: int, seal: str | None, *, session: int | None = None) -> None:
    """Raise Refused when a session of an attempt has another seal; with `session`, when that one has."""
    only = {} if session is None else {"session": session}
    row = tx.one("sessions.sealed", task=task.id, attempt=attempt, seal=hashed(seal), **only)
    if row is not None:
        raise Refused(
            f"attempt {attempt} of {task.task_id} is sealed by its worker, in session {row[0]}: the worker checks what "
            f"its agent did, and completes the task. `shoal release {task.task_id}` takes the task from it",
            field="seal",
        )
