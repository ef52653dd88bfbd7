"""What a verb is handed that asks the outside world: it runs in no transaction, and opens its own before and after.

So nothing waits in the database while a forge answers. Such a verb is declared with `outside=True`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from shoal.model.grant import Token
from shoal.model.manifest import Manifest
from shoal.services.purse import Purse
from shoal.services.transaction import Tx
from shoal.settings import Settings

T = TypeVar("T")


class TokenSource(Protocol):
    """What makes tokens out of the key of an app. Raises ForgeUnreachable, ForgeError."""

    def issue(self, repositories: list[str], permissions: dict[str, str]) -> Token:
        """A token for repositories of one owner, "owner/name" each, with these permissions and no others."""
        ...

    def revoke(self, token: str) -> None:
        """End a token now; one that is dead already is no error."""
        ...


class ManifestSource(Protocol):
    """Where jobs are written down."""

    def __call__(self) -> Manifest:
        """What is written down now. Raises BadInput with file, line and reason, GitError and WorkspaceError."""
        ...

    def mark(self) -> Hashable:
        """What differs when a look at the manifest is due; None when there is none and none was asked for."""
        ...


class Outside(Protocol):
    """The outside world, and the ledger from there."""

    @property
    def actor(self) -> str:
        """Who asks."""
        ...

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        ...

    @property
    def server(self) -> str:
        """What this process is called; new at every start."""
        ...

    @property
    def purse(self) -> Purse:
        """What this process remembers of tokens, in its memory alone."""
        ...

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run in a transaction that only reads."""
        ...

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run in a transaction, and answer after its commit. It may be run more than once."""
        ...

    def token_source(self) -> TokenSource:
        """Where tokens come from. Raises NotConfigured, which names the settings that are missing."""
        ...

    def manifest(self) -> Manifest:
        """The jobs' manifest, read now. Raises BadInput with file, line and reason."""
        ...
