"""How far the vault follows the ledger. The syncing itself is daemon/vault_sync.py; it is one reader of the log."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from shoal.model.event import OF_ITEMS, OF_JOBS, OF_SESSIONS, OF_TOKENS, Kind, event_from_row
from shoal.services import events
from shoal.services.transaction import Tx
from shoal.services.verb import verb

CURSOR = "vault"  # what is committed, and pushed where there is a remote
WRITTEN = "vault-written"  # what is committed
LOCK = "vault"
FACT = "vault_sync"
# After these a sync follows at once; the other events wait for the next one.
PROMPT = frozenset(
    {
        Kind.TASK_CREATED,
        Kind.TASK_COMPLETED,
        Kind.TASK_FAILED,
        Kind.TASK_CANCELLED,
        Kind.TASK_SUBMITTED,
        Kind.TASK_ORPHANED,
        Kind.TASK_APPROVED,
        Kind.TASK_WRITTEN,
        Kind.TASK_REPORTED,
        Kind.TASK_ARCHIVED,
        Kind.TASK_RESTORED,
        Kind.SYNC_REQUESTED,
    }
)
# These change nothing in the vault.
SILENT = (
    OF_SESSIONS
    | OF_ITEMS
    | OF_JOBS
    | OF_TOKENS
    | {
        Kind.TASK_TOLD,
        Kind.TASK_RECALLED,
        Kind.LOCK_ACQUIRED,
        Kind.LOCK_RELEASED,
        Kind.SYNC_REQUESTED,
        Kind.SETTINGS_REFUSED,
    }
)


class SyncHistory(Struct, frozen=True):
    """What is remembered of the syncs so far."""

    last_sync: int | None = None
    last_error: str | None = None
    failed_at: int | None = None
    commits: int = 0


class SyncStatus(Struct, frozen=True):
    """How the vault's sync is.

    `pending` counts the tasks that changed since the vault was last in step, `commits` those made by all syncs.
    The vault stands where the log's event `position` is.
    """

    enabled: bool
    running: bool
    last_sync: int | None
    last_error: str | None
    failed_at: int | None
    pending: int
    commits: int
    position: int


class SyncRequest(Struct, frozen=True):
    """A sync was asked for; it is done when the status' `position` has reached `event`."""

    event: int
    status: str = "sync requested"


@verb("GET /sync")
def status(tx: Tx) -> SyncStatus:
    """How far the vault follows the ledger, and what went wrong last."""
    outcome = recall(tx)
    after = position(tx)
    lock = tx.one("locks.get", name=LOCK)
    return SyncStatus(
        enabled=tx.has_vault,
        running=lock is not None and lock[4] > tx.now,
        last_sync=outcome.last_sync,
        last_error=outcome.last_error,
        failed_at=outcome.failed_at,
        pending=len(changed_since(tx, after, tx.horizon())),
        commits=outcome.commits,
        position=after,
    )


@verb("POST /sync/trigger", status=202)
def trigger(
    tx: Tx,
    *,
    everything: Annotated[bool, Meta(description="Look at every task, and build the search index anew.")] = False,
) -> SyncRequest:
    """Ask for a sync now. The server that has the vault does it; this does not wait for it."""
    tx.require_vault()
    before = tx.one("events.latest")
    tx.emit(Kind.SYNC_REQUESTED, data={"everything": True} if everything else None)
    assert before is not None  # noqa: S101 - an aggregate always gives a row
    return SyncRequest(int(before[0]) + 1)


def recall(tx: Tx) -> SyncHistory:
    """What is remembered of the syncs so far."""
    row = tx.one("facts.get", name=FACT)
    return SyncHistory() if row is None else msgspec.json.decode(row[0], type=SyncHistory)


def remember(tx: Tx, outcome: SyncHistory) -> None:
    """Remember how a sync went."""
    tx.all("facts.set", name=FACT, value=msgspec.json.encode(outcome).decode())


def position(tx: Tx, cursor: str = CURSOR) -> int:
    """Where the vault stands in the log."""
    row = tx.one("events.cursor", name=cursor)
    return 0 if row is None else int(row[0])


def move(tx: Tx, cursor: str, upto: int) -> None:
    """The vault has come up to this event; it never goes back."""
    if upto > events.take_cursor(tx, cursor):
        events.move_cursor(tx, cursor, upto)


def is_whole(tx: Tx, after: int) -> bool:
    """Whether the log still has everything behind a position, so that nothing was pruned unread."""
    row = tx.one("events.oldest")
    return row is None or row[0] is None or int(row[0]) <= after + 1


def changed_since(tx: Tx, after: int, upto: int) -> list[int]:
    """The tasks that a stretch of the log is about, apart from what agents only say and do in their sessions."""
    return [row[0] for row in tx.all("events.tasks_in", after=after, upto=upto)]


def is_prompt(tx: Tx, after: int, upto: int) -> bool:
    """Whether something in a stretch of the log calls for a sync at once."""
    return not PROMPT.isdisjoint(counted(tx, after, upto))


def asks_for_everything(tx: Tx, after: int, upto: int) -> bool:
    """Whether somebody asked for a sync of all in a stretch of the log."""
    rows = tx.all("events.after", after=after, horizon=upto, kind=Kind.SYNC_REQUESTED.value, limit=1000)
    return any(event_from_row(row, "").data.get("everything") for row in rows)


def counted(tx: Tx, after: int, upto: int) -> dict[str, int]:
    """How often each kind of event occurs in a stretch of the log."""
    return {kind: int(number) for kind, number in tx.all("events.kinds_in", after=after, upto=upto)}
