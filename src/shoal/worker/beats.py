"""Keeps a worker's leases: renews them, ends what was lost, and ends everything before a lease can run out unseen.

Beats come from a thread of their own, so that a busy command or a slow claim never delays one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from shoal.clock import monotonic_seconds
from shoal.errors import ServerUnreachable, StoreError
from shoal.ledger import Ledger
from shoal.worker.attempt import Attempt
from shoal.worker.contact import Contact
from shoal.worker.processes import StopReason

log = structlog.get_logger()
BEATS_PER_LEASE = 3
AGAIN_SECONDS = 0.25  # until the next try of a beat that failed
SHORTEST_TRY_SECONDS, LONGEST_TRY_SECONDS = 1.0, 5.0  # for the answer to one
KILL_SHARE = 0.1  # of the lease: how long a command may take to end by itself then
FENCE_SHARE = 0.8  # of the lease: without a renewal for so long, stop the children before somebody else may start


class Beats:
    """The leases of one worker and the attempts that they are for."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        worker: str,
        lease_seconds: int,
        grace_seconds: float,
        running: Callable[[], Sequence[Attempt]],
        ended: threading.Event,
        contact: Contact | None = None,
    ) -> None:
        """`running` tells the attempts that are under way; it goes on until `ended` is set."""
        self._every = lease_seconds / BEATS_PER_LEASE / 2
        # What counts is when the one that came through was sent: none may spend an outage on being sent again.
        self._ledger = ledger.with_patience(min(max(self._every, SHORTEST_TRY_SECONDS), LONGEST_TRY_SECONDS))
        self._contact = contact or Contact()
        self._worker = worker
        self._lease = lease_seconds
        self._grace = grace_seconds
        self._running = running
        self._ended = ended
        self._renewed = monotonic_seconds()

    def start(self) -> None:
        """Begin."""
        self._renewed = monotonic_seconds()
        for watch in (self._beat, self._fence):
            threading.Thread(target=watch, name=f"shoal{watch.__name__}", daemon=True).start()

    def _beat(self) -> None:
        """Renew every lease a few times per its length, and stop what was lost."""
        wait = self._every
        while not self._ended.wait(wait):
            wait = self._every
            attempts = self._running()
            began = monotonic_seconds()
            held = {attempt.claim.task.task_id: attempt.claim.attempt for attempt in attempts}
            try:
                beat = self._ledger.tasks.beat
                lost = beat(worker=self._worker, tasks=held, lease_seconds=self._lease).lost if held else []
            except (ServerUnreachable, StoreError) as error:
                self._contact.lost(error)
                wait = min(self._every, AGAIN_SECONDS)
                continue
            if held:
                self._contact.made()
            self._renewed = began
            end([attempt for attempt in attempts if attempt.claim.task.task_id in lost], StopReason.LOST, self._grace)

    def _fence(self) -> None:
        """When no renewal came through for most of a lease, stop the commands before somebody else may start them."""
        limit = FENCE_SHARE * self._lease
        while not self._ended.wait(limit / 20):
            attempts = self._running()
            if attempts and monotonic_seconds() - self._renewed > limit:
                log.error("cannot renew in time: stopping the commands before their leases end")
                end(attempts, StopReason.LOST, min(self._grace, KILL_SHARE * self._lease))


def end(attempts: Sequence[Attempt], reason: StopReason, grace_seconds: float) -> None:
    """Stop attempts side by side, without waiting for them."""
    for attempt in attempts:
        threading.Thread(target=attempt.stop, args=(reason, grace_seconds), daemon=True).start()
