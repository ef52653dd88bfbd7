"""Who may ask for tokens: an attempt at work with its own key, and the administrator."""

from __future__ import annotations

import hmac
import os
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from shoal.errors import Forbidden, WrongStatus
from shoal.model.task import Status, Task
from shoal.services.transaction import Tx
from shoal.settings import ADMIN_TOKEN

Key = Annotated[
    str,
    Meta(min_length=1, max_length=500, description="The attempt's key, as its claim gave it, or SHOAL_ADMIN_TOKEN."),
]


def is_administrator(key: str | None) -> bool:
    """Whether it is the administrator's token, which the server has in $SHOAL_ADMIN_TOKEN."""
    token = os.environ.get(ADMIN_TOKEN, "").strip()
    return bool(token) and key is not None and hmac.compare_digest(key.strip().encode(), token.encode())


def is_of_attempt(tx: Tx, task: Task, key: str | None) -> bool:
    """Whether it is the key of the attempt that has the task."""
    if key is None or task.attempt == 0:
        return False
    return hmac.compare_digest(key.encode(), tx.identity.task_key(task.id, task.attempt).encode())


def check_administrator(tx: Tx, key: str | None, what: str) -> None:
    """Refuse whoever is not the administrator, unless the broker is open."""
    if is_administrator(key) or (key is None and tx.settings.broker.open):
        return
    if not os.environ.get(ADMIN_TOKEN, "").strip():
        raise Forbidden(f"{what} needs the administrator's token, and this server has none; set ${ADMIN_TOKEN} for it")
    raise Forbidden(f"{what} needs the administrator's token, ${ADMIN_TOKEN} of the server", field="key")


def check_at_work(tx: Tx, task: Task) -> None:
    """Refuse a task that nobody is at work on, or whose lease has run out."""
    if task.status is not Status.ACTIVE:
        raise WrongStatus(f"{task.task_id} is {task.status.value}; tokens are for attempts at work", field="task")
    if task.leased_until is not None and task.leased_until <= tx.now:
        raise WrongStatus(
            f"the lease of attempt {task.attempt} of {task.task_id} ran out at {shown(task.leased_until)}; "
            "beat first, if the task is still yours",
            field="task",
        )


def shown(moment: int) -> str:
    """A moment in a message."""
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
