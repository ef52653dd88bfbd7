"""Claims tasks and runs them side by side, stops in good order. How their leases are kept: beats.py."""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue

import structlog
from msgspec import Struct

from shoal.clock import monotonic_seconds
from shoal.errors import ServerUnreachable, StoreError
from shoal.ledger import Ledger
from shoal.model.task import Claim
from shoal.pause import FIRST_SECONDS, Pause
from shoal.settings import Settings
from shoal.worker.attempt import REPORT_SECONDS, Attempt, Terms
from shoal.worker.beats import Beats, end
from shoal.worker.contact import Contact
from shoal.worker.processes import StopReason
from shoal.worker.reports import seconds
from shoal.worker.workshop import Workshop

log = structlog.get_logger()
HASTY_SECONDS = 5.0  # for the answer to what is only a look
STOP_SECONDS = 1.0  # how late an idle worker may notice that it is to stop


class Orders(Struct, frozen=True):
    """What a worker takes and how much at once."""

    queues: list[str]
    concurrency: int
    lease_seconds: int
    poll_seconds: float
    type: str | None = None
    label: str | None = None
    until_empty: bool = False
    pause_seconds: float = FIRST_SECONDS  # after the first fault of the worker's set-up


class Worker:
    """Runs an agent for each task until it is stopped; its id is new at every start."""

    def __init__(
        self,
        ledger: Ledger,
        orders: Orders,
        terms: Terms,
        *,
        settings: Callable[[], Settings] | None = None,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        """`settings` are asked for with each claim; without, those of the terms hold to the end."""
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._ledger = ledger
        self._orders = orders
        self._terms = terms
        self._say = on_change or (lambda _: None)
        self._workshop = Workshop(ledger, terms, settings)
        self._pause = Pause(orders.pause_seconds)
        self._settings = settings or (lambda: terms.settings)
        self._unheard = 0  # looks in a row for a server that does not answer
        self._running: dict[threading.Thread, Attempt] = {}
        self._changed = threading.Condition()
        self._calls_to_stop: SimpleQueue[None] = SimpleQueue()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._contact = Contact()
        self._hasty_ledger = ledger.with_patience(HASTY_SECONDS)
        self._beats = Beats(
            ledger,
            worker=self.id,
            lease_seconds=orders.lease_seconds,
            grace_seconds=terms.grace_seconds,
            running=self._attempts,
            ended=self._ended,
            contact=self._contact,
        )

    def run(self) -> None:
        """Work until stopped, or until the queues are empty when that was asked for.

        Raises AgentError in place of the latter when the worker's set-up was at fault several times in a row.
        """
        threading.Thread(target=self._heed, name="shoal_heed", daemon=True).start()
        self._workshop.start()
        self._beats.start()
        try:
            position: int | None = None
            while not self._stopping.is_set():
                if self._given_up:
                    break
                if (pause := self._pause.seconds_left) > 0:
                    self._wait(pause)
                elif self._free_slots() == 0:
                    self._wait(self._orders.poll_seconds)
                elif self._contact.error is not None and self._latest_event() is None:
                    self._wait(seconds(self._contact.error, self._settings().unreachable_seconds, self._unheard))
                    self._unheard += 1
                elif self._claim():
                    position = None
                elif position is None:
                    # Where the log stood before the next look: what comes after it will wake us.
                    position = self._latest_event() or 0
                elif self._idle(position):
                    break
                else:
                    position = None
            self._finish()
            if not self._stopping.is_set():
                self._workshop.settle()
        finally:
            self._ended.set()
            self._workshop.close()
        if self._given_up:
            raise self._pause.error

    def stop(self) -> None:
        """Take nothing new; what runs may finish within the grace time. A second call ends it at once."""
        # For signal handlers, which interrupt each other: a lock taken here could be held by the one underneath.
        self._calls_to_stop.put(None)

    @property
    def _given_up(self) -> bool:
        return self._orders.until_empty and self._pause.is_hopeless

    def _heed(self) -> None:
        self._calls_to_stop.get()
        self._stopping.set()
        names = ", ".join(sorted(attempt.claim.task.task_id for attempt in self._attempts()))
        if names:
            self._say(f"stopping: {names} may go on for {self._terms.grace_seconds:g} s; Ctrl-C again ends it now")
        else:
            self._say("stopping")
        self._calls_to_stop.get()
        self._say("stopping now")
        self._end_all()

    def _free_slots(self) -> int:
        with self._changed:
            return self._orders.concurrency - len(self._running)

    def _claim(self) -> int:
        """Claim as much as there is room for, from the queues in their order; how many."""
        taken = 0
        for queue in self._orders.queues:
            room = self._free_slots()
            if room == 0 or self._stopping.is_set():
                break
            try:
                outcome = self._ledger.tasks.claim(
                    worker=self.id,
                    queue=queue,
                    limit=room,
                    lease_seconds=self._orders.lease_seconds,
                    **{
                        name: value
                        for name, value in (("type", self._orders.type), ("label", self._orders.label))
                        if value is not None
                    },
                )
            except (ServerUnreachable, StoreError) as error:
                self._contact.lost(error)
                break
            self._contact.made()
            self._unheard = 0
            for claim in outcome.claims:
                self._begin(claim)
            taken += len(outcome.claims)
        return taken

    def _begin(self, claim: Claim) -> None:
        attempt = self._workshop.attempt(claim)
        thread = threading.Thread(target=self._carry_out, args=(attempt,), name=claim.task.task_id)
        with self._changed:
            self._running[thread] = attempt
        self._say(f"{claim.task.task_id} attempt {claim.attempt}: {claim.task.title}")
        thread.start()

    def _carry_out(self, attempt: Attempt) -> None:
        try:
            attempt.run()
            if attempt.fault is not None:
                self._pause.fault(attempt.fault)
            elif attempt.worked:
                self._pause.worked()
        finally:
            with self._changed:
                del self._running[threading.current_thread()]
                self._changed.notify_all()

    def _latest_event(self) -> int | None:
        """Where the log stands; None when nobody answers now."""
        try:
            newest = self._hasty_ledger.events.list(limit=1)
        except (ServerUnreachable, StoreError) as error:
            self._contact.lost(error)
            return None
        self._contact.made()
        return newest[0].id if newest else 0

    def _idle(self, position: int) -> bool:
        """Wait for something to happen; True when there is nothing left and that ends the work."""
        if self._orders.until_empty and not self._running and self._is_drained():
            return True
        seconds = self._orders.poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311
        deadline = monotonic_seconds() + seconds
        try:
            while not self._stopping.is_set() and (left := deadline - monotonic_seconds()) > 0:
                if self._hasty_ledger.wait_for_events(position, min(left, STOP_SECONDS)):
                    break
        except (ServerUnreachable, StoreError) as error:
            self._contact.lost(error)
            self._wait(seconds)
        return False

    def _is_drained(self) -> bool:
        try:
            return bool(self._ledger.stats.get().is_drained(self._orders.queues))
        except (ServerUnreachable, StoreError):
            return False

    def _wait(self, seconds: float) -> None:
        """Until a slot becomes free or the time is up; in short turns, so that a stop is noticed."""
        deadline = monotonic_seconds() + seconds
        with self._changed:
            busy = len(self._running)
            while not self._stopping.is_set() and len(self._running) >= busy:
                left = deadline - monotonic_seconds()
                if left <= 0:
                    return
                self._changed.wait(min(left, 0.2))

    def _finish(self) -> None:
        """Let what runs finish within the grace time, then give it back."""
        deadline = monotonic_seconds() + self._terms.grace_seconds
        with self._changed:
            while self._running and (left := deadline - monotonic_seconds()) > 0:
                self._changed.wait(min(left, 0.2))
        self._end_all()
        with self._changed:
            threads = list(self._running)
        deadline = monotonic_seconds() + self._terms.grace_seconds + REPORT_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic_seconds()))
        # Whatever still cannot be reported comes back when its lease ends.
        self._workshop.give_up.set()
        for thread in threads:
            thread.join()

    def _end_all(self) -> None:
        end(self._attempts(), StopReason.RELEASED, self._terms.grace_seconds)

    def _attempts(self) -> list[Attempt]:
        with self._changed:
            return list(self._running.values())
