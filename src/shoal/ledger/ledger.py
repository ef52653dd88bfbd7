"""The Ledger: nouns with verbs, `ledger.tasks.claim(worker="w1")`, whatever is behind it.

Where a verb runs is the affair of its engine: embedded.py or remote.py.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from shoal.clock import monotonic_seconds
from shoal.errors import LockLost, Refused
from shoal.ledger.engine import Engine
from shoal.ledger.nouns import (
    Audits,
    Checks,
    Costs,
    Events,
    Grants,
    Items,
    Jobs,
    Locks,
    Queues,
    Runs,
    Sessions,
    Stats,
    Supervision,
    Sync,
    Tasks,
)
from shoal.model.event import Event
from shoal.model.lock import Lock
from shoal.services import VERBS
from shoal.services.events import Inbox


class Ledger:
    """A ledger. `actor` is who does what is done through it, and is written into every event."""

    def __init__(self, engine: Engine, *, actor: str) -> None:
        self.engine = engine
        self.actor = actor
        self.tasks = Tasks(engine, actor)
        self.queues = Queues(engine, actor)
        self.events = Events(engine, actor)
        self.locks = Locks(engine, actor)
        self.costs = Costs(engine, actor)
        self.grants = Grants(engine, actor)
        self.sessions = Sessions(engine, actor)
        self.stats = Stats(engine, actor)
        self.sync = Sync(engine, actor)
        self.supervision = Supervision(engine, actor)
        self.jobs = Jobs(engine, actor)
        self.runs = Runs(engine, actor)
        self.items = Items(engine, actor)
        self.checks = Checks(engine, actor)
        self.audits = Audits(engine, actor)

    @property
    def address(self) -> str:
        """Where it is: a path or URL, without secrets."""
        return self.engine.address

    def acting_as(self, actor: str) -> Ledger:
        """The same ledger for someone else."""
        return Ledger(self.engine, actor=actor)

    def with_patience(self, seconds: float) -> Ledger:
        """The same ledger for calls that are better made anew: they give up when a server has not answered for so many
        seconds, or cannot be reached, where others try again for a while.
        """
        return Ledger(self.engine.with_patience(seconds), actor=self.actor)

    def submit(self, key: str, **given: Any) -> Future[Any]:
        """Run the verb `noun.name` without waiting; the future is done after its commit."""
        return self.engine.submit(VERBS[key], given, self.actor)

    def wait_for_events(self, after: int, seconds: float) -> bool:
        """Wait until there is an event behind `after`, for so many seconds at most; whether there is one."""
        return self.engine.wait_for_events(after, seconds)

    def watch(self, *, agent: str, limit: int = 100, wait_seconds: float = 0.0, peek: bool = False) -> Inbox:
        """The unread events of an agent; waits for some, for so many seconds at most."""
        deadline = monotonic_seconds() + wait_seconds
        while True:
            inbox = self.events.watch(agent=agent, limit=limit, peek=peek)
            left = deadline - monotonic_seconds()
            if inbox.events or left <= 0:
                return inbox
            self.wait_for_events(inbox.position, left)

    def follow(self, after: int | None = None, **filters: Any) -> Iterator[Event]:
        """Every event behind `after` (from now on, when left out), each once and in order, for ever."""
        position = reached = self.stats.get().last_event if after is None else after
        while True:
            page = self.events.list(after=position, **filters)
            yield from page
            if page:
                position = page[-1].id
                continue
            # What others did up to here was looked through: waiting behind it, not behind the last event that fitted.
            position = max(position, reached)
            self.wait_for_events(position, 5.0)
            newest = self.events.list(limit=1)
            reached = newest[0].id if newest else 0

    @contextlib.contextmanager
    def lock(
        self,
        name: str,
        *,
        owner: str | None = None,
        ttl_seconds: int = 60,
        wait_seconds: float = 0.0,
        quiet: bool = False,
    ) -> Iterator[Lock]:
        """Hold a lock for a block of work and keep it renewed from a thread; `quiet` leaves no events.

        Raises Refused when it is not free within `wait_seconds`, and LockLost at the end when it was lost meanwhile.
        """
        owner = owner or self.actor
        deadline = monotonic_seconds() + wait_seconds
        while not (outcome := self.locks.acquire(name, owner=owner, ttl_seconds=ttl_seconds, quiet=quiet)).acquired:
            if monotonic_seconds() >= deadline:
                wait = (outcome.retry_after_ms or 0) / 1000
                raise Refused(f"lock {name!r} is held by {outcome.lock.owner} for another {wait:.0f} s", field="name")
            threading.Event().wait(min(0.2, max(0.0, deadline - monotonic_seconds())))
        lock = outcome.lock
        ended = threading.Event()
        lost: list[LockLost] = []

        def renew() -> None:
            while not ended.wait(ttl_seconds / 3):
                try:
                    self.locks.renew(name, owner=owner, fence=lock.fence, ttl_seconds=ttl_seconds)
                except LockLost as error:
                    lost.append(error)
                    return

        renewer = threading.Thread(target=renew, name=f"shoal-lock-{name}", daemon=True)
        renewer.start()
        try:
            yield lock
        finally:
            ended.set()
            renewer.join()
            if not lost:
                with contextlib.suppress(LockLost):
                    self.locks.release(name, owner=owner, fence=lock.fence, quiet=quiet)
        if lost:
            raise lost[0]

    def close(self) -> None:
        """Let go of connections and threads."""
        self.engine.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
