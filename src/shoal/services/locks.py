"""Locks: for anything that only one may do at a time, on either database. What ends unrenewed can be taken."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shoal.errors import LockLost, NotFound
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name, Positive, Seconds
from shoal.model.lock import Lock, LockOutcome
from shoal.services.transaction import Tx
from shoal.services.verb import verb

Quiet = Annotated[bool, Meta(description="Leave no event: for what is taken again and again.")]


@verb("POST /locks/{name}/acquire")
def acquire(tx: Tx, *, name: Name, owner: Name, ttl_seconds: Seconds = 60, quiet: Quiet = False) -> LockOutcome:
    """Take a lock that is free or has expired; whether it was got is in the answer."""
    row = tx.one("locks.acquire", name=name, owner=owner, expires_at=tx.now + 1000 * ttl_seconds, now=tx.now)
    if row is None:
        holder = get(tx, name=name)
        return LockOutcome(False, holder, max(0, holder.expires_at - tx.now))
    lock = Lock(*row)
    if not quiet:
        tx.emit(Kind.LOCK_ACQUIRED, data={"name": name, "owner": owner, "fence": lock.fence})
    return LockOutcome(True, lock)


@verb("POST /locks/{name}/renew", repeatable=True)
def renew(tx: Tx, *, name: Name, owner: Name, fence: Positive, ttl_seconds: Seconds = 60) -> Lock:
    """Hold a lock for longer. Raises LockLost when it has expired or has another owner."""
    row = tx.one("locks.renew", name=name, owner=owner, fence=fence, expires_at=tx.now + 1000 * ttl_seconds, now=tx.now)
    return Lock(*row) if row is not None else _lost(tx, name, owner, fence)


@verb("POST /locks/{name}/release")
def release(tx: Tx, *, name: Name, owner: Name, fence: Positive, quiet: Quiet = False) -> Lock:
    """Give a lock back. Raises LockLost when it has expired or has another owner."""
    row = tx.one("locks.release", name=name, owner=owner, fence=fence, now=tx.now)
    if row is None:
        return _lost(tx, name, owner, fence)
    if not quiet:
        tx.emit(Kind.LOCK_RELEASED, data={"name": name, "owner": owner, "fence": fence})
    return Lock(*row)


@verb("GET /locks/{name}")
def get(tx: Tx, *, name: Name) -> Lock:
    """One lock, held, given back or expired."""
    row = tx.one("locks.get", name=name)
    if row is None:
        raise NotFound(f"nobody has ever held a lock {name!r}", field="name")
    return Lock(*row)


@verb("GET /locks")
def list_(tx: Tx, *, limit: Limit = 100) -> list[Lock]:
    """The locks that are held."""
    return [Lock(*row) for row in tx.all("locks.list", now=tx.now, limit=limit)]


def _lost(tx: Tx, name: str, owner: str, fence: int) -> Lock:
    lock = get(tx, name=name)
    if lock.expires_at > tx.now:
        state = f"is held by {lock.owner} with fence {lock.fence}"
    else:
        state = "has expired or was given back"
    raise LockLost(f"lock {name!r} {state}; {owner} (fence {fence}) must stop", field="fence")
