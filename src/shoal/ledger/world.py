"""The outside world as a verb of this process gets it: services/outside.py says what is asked of it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from shoal.errors import NotConfigured
from shoal.model.manifest import Manifest
from shoal.services.outside import ManifestSource, TokenSource
from shoal.services.purse import Purse
from shoal.services.transaction import Tx
from shoal.settings import Settings

T = TypeVar("T")


class Sources:
    """Where what verbs ask for comes from, in this process. `server` is a name that is new at every start."""

    def __init__(
        self,
        *,
        tokens: Callable[[], TokenSource] | None = None,
        manifest: ManifestSource | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.server = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.tokens = tokens
        self.manifest = manifest
        self.purse = Purse()
        self._close = close

    def close(self) -> None:
        """Let go of what they hold open."""
        self._close()


class World:
    """The outside world for one call."""

    def __init__(
        self,
        sources: Sources,
        settings: Settings,
        actor: str,
        *,
        read: Callable[[Callable[[Tx], Any]], Any],
        write: Callable[[Callable[[Tx], Any]], Any],
    ) -> None:
        self.settings = settings
        self.actor = actor
        self.server = sources.server
        self.purse = sources.purse
        self._sources = sources
        self._read = read
        self._write = write

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run in a transaction that only reads."""
        answer: T = self._read(work)
        return answer

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run in a transaction, and answer after its commit."""
        answer: T = self._write(work)
        return answer

    def token_source(self) -> TokenSource:
        """Where tokens come from. Raises NotConfigured."""
        source = self._sources.tokens
        if source is None:
            raise NotConfigured("this ledger was opened without a home, so there is no GitHub App to ask for tokens")
        return source()

    def manifest(self) -> Manifest:
        """The jobs' manifest, read now. Raises BadInput."""
        source = self._sources.manifest
        if source is None:
            raise NotConfigured("this ledger was opened without a home, so there is no manifest of jobs")
        return source()
