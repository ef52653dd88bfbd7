"""What every verb is handed: a transaction, the time, who acts, and the rules of this ledger."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from shoal.errors import NoVault
from shoal.model.content import ContentKind, Entry
from shoal.model.event import Kind
from shoal.model.task import Task, task_from_row
from shoal.settings import Settings
from shoal.store.database import Row, Transaction

if TYPE_CHECKING:
    from shoal.adapters.vault.vault import Vault

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

    __slots__ = ("_vault", "actor", "all", "horizon", "identity", "later", "many", "now", "one", "settings", "store")

    def __init__(
        self,
        store: Transaction,
        *,
        now: int,
        actor: str,
        identity: Identity,
        settings: Settings,
        vault: Callable[[], Vault] | None = None,
    ) -> None:
        self.store = store
        self._vault = vault
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
        return Tx(
            self.store,
            now=self.now,
            actor=actor,
            identity=self.identity,
            settings=self.settings,
            vault=self._vault,
        )

    @property
    def vault(self) -> Vault:
        """The vault, to read from: for verbs that are declared so. Raises NoVault."""
        self.require_vault()
        assert self._vault is not None  # noqa: S101 - just required
        return self._vault()

    @property
    def has_vault(self) -> bool:
        """Whether there is a vault."""
        return self._vault is not None

    def require_vault(self) -> None:
        """Raise NoVault when there is none."""
        if self._vault is None:
            raise NoVault(
                "this ledger has no vault: it was opened by the address of its database, or `vault` is empty; "
                "open it through its home or its server"
            )

    def lay_down(self, task: int, what: ContentKind, text: str = "", *, actor: str | None = None, **more: Any) -> str:
        """Send content to the vault with this transaction. The token must stand in an event's data as `content`.

        It is on the disk before the commit, and in its file a moment after. Raises NoVault.
        """
        self.require_vault()
        token = secrets.token_hex(8)
        self.store.append_entry(Entry(token, task, self.now, actor or self.actor, what, text, **more))
        return token

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
        item: int | None = None,
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
                "item": item,
            }
        )
