"""Tokens that have to end before their time: which ones, and what came of it. When it is looked: daemon/revoker.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from shoal.errors import ShoalError
from shoal.model.event import Kind
from shoal.model.grant import GrantAction, levels_of, names_of
from shoal.model.veil import HIDDEN
from shoal.services import audit, tasks
from shoal.services.outside import TokenSource
from shoal.services.purse import Purse
from shoal.services.transaction import Tx
from shoal.store.database import Row

T = TypeVar("T")
PER_LOOK = 500
GRACE_MS = 60_000  # for the server that gave a token out to end it


class Over(NamedTuple):
    """A token that has to end, and why."""

    grant: int
    hashed: str
    reason: str


class Place(Protocol):
    """Where tokens are revoked: services/outside.py, as far as it is needed here."""

    @property
    def purse(self) -> Purse:
        """What this process remembers of tokens."""
        ...

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run in a transaction."""
        ...


def over(tx: Tx, *, server: str) -> list[Over]:
    """The living tokens of a server that have to end: their attempt or registration is over, or somebody said so."""
    return [Over(*row) for row in tx.all("grants.over", server=server, now=tx.now, limit=PER_LOOK)]


def revoke(place: Place, source: TokenSource, one: Over) -> bool:
    """End a token at the forge and write down what came of it; whether it is ended."""
    token = place.purse.find(one.hashed)
    if token is None:
        place.write(partial(unrevoked, one=one, error="this server does not remember the token"))
        return False
    try:
        source.revoke(token.token)
    except ShoalError as error:
        # A proxy before the forge may say back to us what it was sent.
        place.write(partial(unrevoked, one=one, error=error.message.replace(token.token, HIDDEN)))
        return False
    place.write(partial(revoked, one=one))
    place.purse.drop(one.hashed)
    return True


def revoked(tx: Tx, *, one: Over) -> None:
    """A token was ended."""
    row = tx.one("grants.revoked", id=one.grant, now=tx.now, reason=one.reason[: audit.LONGEST])
    if row is not None:
        _tell(tx, GrantAction.REVOKED, Kind.TOKEN_REVOKED, one, row, one.reason)


def unrevoked(tx: Tx, *, one: Over, error: str) -> None:
    """A token could not be ended, for now or for good; it is told once for each error."""
    error = audit.told(error)
    row = tx.one("grants.unrevoked", id=one.grant, error=error, reason=one.reason[: audit.LONGEST])
    if row is not None:
        _tell(tx, GrantAction.UNREVOKED, Kind.TOKEN_UNREVOKED, one, row, f"{one.reason}; {error}")


def tell_left_behind(tx: Tx, *, server: str) -> int:
    """Tell of tokens that another server gave out, that should have ended, and that it seems to end no more."""
    rows = tx.all("grants.left_behind", server=server, now=tx.now, since=tx.now - GRACE_MS, limit=PER_LOOK)
    for (grant,) in rows:
        one = Over(int(grant), "", "it should have ended")
        unrevoked(tx, one=one, error="the server that gave it out is gone, and nobody else remembers the token")
    return len(rows)


def _tell(tx: Tx, action: GrantAction, kind: Kind, one: Over, row: Row, reason: str) -> None:
    task, attempt, service, repositories, permissions, expires_at, server = row
    found = [] if task is None else tasks.by_numbers(tx, [task])
    audit.note(
        tx,
        action,
        task=task,
        attempt=attempt,
        service=service,
        repositories=names_of(repositories),
        permissions=levels_of(permissions),
        expires_at=expires_at,
        reason=reason,
    )
    told = {"grant": one.grant, "reason": reason, "expires_at": expires_at, "server": server}
    about = found[0] if found else None
    tx.emit(kind, about, was=None if about is None else about.status.value, attempt=attempt, data=told)
