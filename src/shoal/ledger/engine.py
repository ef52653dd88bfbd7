"""What runs the verbs of a ledger: on a database of this process (embedded.py), or over HTTP (remote.py)."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol

from shoal.services import Verb


class Engine(Protocol):
    """Runs verbs for a ledger."""

    @property
    def address(self) -> str:
        """Where it is: a path or URL, without secrets."""
        ...

    def call(self, verb: Verb[Any, Any], args: tuple[Any, ...], given: dict[str, Any], actor: str) -> Any:
        """Run a verb and give its answer."""
        ...

    def submit(self, verb: Verb[Any, Any], given: dict[str, Any], actor: str) -> Future[Any]:
        """Run a verb without waiting for its commit."""
        ...

    def wait_for_events(self, after: int, seconds: float) -> bool:
        """Wait until the log reaches beyond `after`; whether it does."""
        ...

    def with_patience(self, seconds: float) -> Engine:
        """The same one; a call gives up when a server has not answered for so many seconds, or cannot be reached."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
