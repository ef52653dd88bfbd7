"""Runs verbs in this process, on a database."""

from __future__ import annotations

import random
import secrets
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from shoal.clock import Clock, SystemClock, monotonic_seconds
from shoal.ledger.settler import Settler
from shoal.ledger.world import Sources, World
from shoal.services import Arguments, Call, Identity, Tx, Verb
from shoal.settings import Settings
from shoal.store.database import Database, Joint, Transaction


class VaultPlace(NamedTuple):
    """Where a vault is, and where content waits on its way there: outside of what git and other people reach."""

    folder: Path
    spool: Path


class EmbeddedEngine:
    """Verbs on a database of this process: one verb, one transaction."""

    def __init__(
        self,
        database: Database,
        *,
        settings: Settings | Callable[[], Settings],
        clock: Clock | None = None,
        vault: VaultPlace | None = None,
        sources: Sources | None = None,
    ) -> None:
        """`settings` are asked for at each use, when they can be."""
        self.database = database
        self._settings = settings if callable(settings) else lambda: settings
        self.clock = clock or SystemClock()
        self.sources = sources or Sources()
        self.identity = _identity(database, self.settings.prefix)
        # Entered by itself: Ctrl-C inside of Condition.__enter__ would leave it locked for ever.
        self._lock = threading.Lock()
        self._committed = threading.Condition(self._lock)
        self._commits = 0
        database.on_commit = self._tell
        self.settler: Settler | None = None
        if vault is not None:
            self.settler = Settler(vault.folder, vault.spool, self.settings, read=self.read, tell=self._submit)
            database.journal = self.settler

    @property
    def address(self) -> str:
        """The database's address."""
        return self.database.address

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings()

    def call(self, verb: Verb[Any, Any], args: tuple[Any, ...], given: dict[str, Any], actor: str) -> Any:
        """Check the input, run the verb in a transaction, answer after its commit."""
        return self.call_checked(verb, verb.arguments(args, given), actor)

    def call_checked(self, verb: Verb[Any, Any], arguments: Arguments, actor: str) -> Any:
        """Run a verb whose input has been checked."""
        if verb.outside:
            return verb.run(self.world(actor), arguments)
        if verb.reads_vault and self.settler is not None:
            self.settler.settle()
        if not verb.writes:
            return self.database.read(self.work(verb, arguments, actor))
        return self.database.write(self.work(verb, arguments, actor), self._joint(verb, arguments, actor))

    def submit(self, verb: Verb[Any, Any], given: dict[str, Any], actor: str) -> Future[Any]:
        """The same for a verb that writes, without waiting."""
        arguments = verb.arguments((), given)
        return self.submit_checked(verb, arguments, actor)

    def submit_checked(self, verb: Verb[Any, Any], arguments: Arguments, actor: str) -> Future[Any]:
        """Submit a verb whose input has been checked."""
        return self.database.submit(self.work(verb, arguments, actor), self._joint(verb, arguments, actor))

    def work(self, verb: Verb[Any, Any], arguments: Arguments, actor: str) -> Any:
        """The verb as a piece of work for the database; it may be run more than once."""

        def run(store: Transaction) -> Any:
            return verb.run(self.tx(store, actor), arguments)

        return run

    def read(self, work: Any, actor: str = "shoal") -> Any:
        """Run a service function that is no verb, reading only."""
        return self.database.read(lambda store: work(self.tx(store, actor)))

    def write(self, work: Any, actor: str = "shoal") -> Any:
        """Run a service function that is no verb, in a transaction."""
        return self.database.write(lambda store: work(self.tx(store, actor)))

    def tx(self, store: Transaction, actor: str) -> Tx:
        """What a service function is handed."""
        return Tx(
            store,
            now=self.clock.now_ms(),
            actor=actor,
            identity=self.identity,
            settings=self.settings,
            vault=None if self.settler is None else self.settler.open_vault,
        )

    def world(self, actor: str) -> World:
        """What a verb is handed that asks the outside world."""
        return World(
            self.sources,
            self.settings,
            actor,
            read=lambda work: self.read(work, actor),
            write=lambda work: self.write(work, actor),
        )

    def wait_for_events(self, after: int, seconds: float, *, poll_seconds: float | None = None) -> bool:
        """Wake at a commit of this process at once, at one of another when the database tells of it, or by polling.

        A loop that can hear of other processes a little later says so by `poll_seconds`: polling costs an idle server.
        """
        deadline = monotonic_seconds() + seconds
        while True:
            commits, seen = self._commits, self.database.changed(None)
            if self.database.read(lambda store: store.event_horizon()) > after:
                return True
            while True:
                left = deadline - monotonic_seconds()
                if left <= 0:
                    return False
                poll = poll_seconds or self.database.poll_seconds
                with self._lock:
                    if self._commits == commits:
                        self._committed.wait(min(left, poll * random.uniform(0.75, 1.25)))  # noqa: S311
                if self._commits != commits or self.database.changed(seen) != seen:
                    break

    def with_patience(self, seconds: float) -> EmbeddedEngine:
        """This one: there is no server to wait for."""
        return self

    def close(self) -> None:
        """Finish what is under way and let go of vault and database."""
        self.database.finish()
        if self.settler is not None:
            self.settler.close()
        self.sources.close()
        self.database.close()

    def _submit(self, work: Any) -> Future[Any]:
        return self.database.submit(lambda store: work(self.tx(store, "shoal")))

    def _joint(self, verb: Verb[Any, Any], arguments: Arguments, actor: str) -> Joint | None:
        """How this call can be done together with others, if it can."""
        joined = verb.joined
        if joined is None or (kind := verb.joins(arguments.input)) is None:
            return None

        def run(store: Transaction, calls: list[Call]) -> Callable[[], list[Any]]:
            return joined(self.tx(store, actor), calls)

        return Joint((verb.key, kind), run, Call(actor, arguments.input))

    def _tell(self) -> None:
        self._commits += 1
        if self._committed._waiters:  # type: ignore[attr-defined]
            with self._lock:
                self._committed.notify_all()


def _identity(database: Database, prefix: str) -> Identity:
    """What the ledger is called; made when it is opened for the first time, and kept."""
    new = {"ledger_id": uuid.uuid4().hex, "prefix": prefix, "secret": secrets.token_hex(32)}

    def read(store: Transaction) -> list[str | None]:
        rows = [store.one("facts.get", name=name) for name in new]
        return [row[0] if row else None for row in rows]

    def make(store: Transaction) -> list[str | None]:
        for name, value in new.items():
            store.all("facts.put", name=name, value=value)
        return read(store)

    found = database.read(read)
    if None in found:
        found = database.write(make)
    return Identity(*(str(value) for value in found))
