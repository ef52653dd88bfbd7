"""The tokens that this process has given out and that may still live: in its memory, and nowhere else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from shoal.model.grant import Token


class Scope(NamedTuple):
    """What a token is for. The same scope is answered with the same token while that is good."""

    task: int | None
    attempt: int | None
    service: str | None
    repositories: tuple[str, ...]
    permissions: tuple[tuple[str, str], ...]


class Purse:
    """Tokens by their scope and by their hash; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alive: dict[str, Token] = {}
        self._current: dict[Scope, str] = {}
        self._asking: dict[Scope, tuple[threading.Lock, int]] = {}

    def __repr__(self) -> str:
        return f"Purse({len(self._alive)} tokens)"

    def __bool__(self) -> bool:
        return bool(self._alive)

    def current(self, scope: Scope) -> Token | None:
        """The newest token of a scope."""
        with self._lock:
            return self._alive.get(self._current.get(scope, ""))

    def keep(self, token: Token) -> str:
        """Keep a token, so that it can be revoked; its hash."""
        hashed = hash_of(token.token)
        with self._lock:
            self._alive[hashed] = token
        return hashed

    def answer_with(self, scope: Scope, hashed: str) -> None:
        """From now on this is the token of a scope, if it is kept still."""
        with self._lock:
            if hashed in self._alive:
                self._current[scope] = hashed

    def answer_no_more(self, scope: Scope, token: Token) -> None:
        """This is no scope's token any more; it is kept until it is revoked."""
        with self._lock:
            if self._current.get(scope) == hash_of(token.token):
                del self._current[scope]

    def find(self, hashed: str) -> Token | None:
        """A token by its hash."""
        with self._lock:
            return self._alive.get(hashed)

    def drop(self, hashed: str) -> None:
        """Forget a token that was revoked."""
        with self._lock:
            self._alive.pop(hashed, None)
            self._current = {scope: one for scope, one in self._current.items() if one != hashed}

    def drop_expired(self, now: int) -> None:
        """Forget the tokens whose time is over."""
        with self._lock:
            self._alive = {hashed: one for hashed, one in self._alive.items() if one.expires_at > now}
            self._current = {scope: one for scope, one in self._current.items() if one in self._alive}

    @contextmanager
    def asking(self, scope: Scope) -> Iterator[None]:
        """One at a time asks the forge for a scope; the others wait and find what it got."""
        with self._lock:
            lock, waiting = self._asking.get(scope, (threading.Lock(), 0))
            self._asking[scope] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._asking[scope]
                if waiting == 1:
                    del self._asking[scope]
                else:
                    self._asking[scope] = (lock, waiting - 1)


def hash_of(token: str) -> str:
    """What is kept of a token in the ledger, beside its end."""
    return hashlib.sha256(token.encode()).hexdigest()
