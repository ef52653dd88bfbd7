"""What every verb is handed: a transaction, the time, who acts, and the rules of this ledger."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from shoal.model.event import Kind
from shoal.model.task import Task, task_from_row
from shoal.settings import Settings
from shoal.store.database import Row, Transaction

_json = msgspec.json.Encoder().encode


class Identity(Struct, frozen=True):
    """What makes this ledger itself: the letters before its numbers, and the secret behind task keys."""

    ledger_id: str
    prefix: str
    secret: str

    def task_key(self, task: int, attempt: int) -> str:
        """The key that authorises the writes of one attempt; it dies with the attempt, and is stored nowhere."""
        message = f"{task}.{attempt}".encode()
        return hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()[:40]


class Tx:
    """One verb's transaction. `now` is epoch milliseconds, asked once; `actor` is who does it."""

    __slots__ = ("actor", "all", "horizon", "identity", "later", "many", "now", "one", "settings", "store")

    def __init__(self, store: Transaction, *, now: int, actor: str, identity: Identity, settings: Settings) -> None:
        self.store = store
        self.one = store.one
        self.all = store.all
        self.later = store.later
        self.many = store.many
        self.horizon = store.event_horizon
        self.now = now
        self.actor = actor
        self.identity = identity
        self.settings = settings

    def acting_as(self, actor: str) -> Tx:
        """The same transaction for someone else."""
        return Tx(self.store, now=self.now, actor=actor, identity=self.identity, settings=self.settings)

    def task(self, row: Row) -> Task:
        """A task from its row."""
        return task_from_row(row, self.identity.prefix)

    def shown(self, id: int) -> str:
        """A task's number as people read it."""
        return f"{self.identity.prefix}{id}"

    def emit(
        self,
        kind: Kind,
        task: Task | None = None,
        *,
        was: str | None = None,
        old_queue: str | None = None,
        changes: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        attempt: int | None = None,
        queue: str | None = None,
        actor: str | None = None,
    ) -> None:
        """Append an event at the end of this transaction.

        `was` is the task's status before; with the status it has now it moves the counters, if they differ.
        """
        moved = task is not None and (was != task.status or old_queue is not None)
        self.store.append_event(
            {
                "at": self.now,
                "kind": kind.value,
                "actor": actor or self.actor,
                "task": None if task is None else task.id,
                "attempt": attempt,
                "queue": queue if task is None else task.queue,
                "old_queue": old_queue,
                "old_status": was if moved else None,
                "new_status": task.status.value if moved and task is not None else None,
                "changes": _json(changes).decode() if changes else None,
                "data": _json(data).decode() if data else None,
            }
        )
