"""What an attempt says to the ledger: asked until there is an answer, told until it is heard.

What is told while nobody listens stands on the disk of the home (ledger/outbox.py): when this worker is killed, the
next one of the home delivers it. What the ledger refuses then, because another attempt has the task, is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from shoal.errors import ServerUnreachable, ShoalError, StoreError
from shoal.ledger import Ledger
from shoal.ledger.outbox import Outbox, Report

log = structlog.get_logger()
T = TypeVar("T")
BUSY_SECONDS = 1.0  # before a database that was busy is asked again


class Reports:
    """Those of one attempt. `waits` are the seconds between tries; `give_up` is set when there is no more time."""

    def __init__(
        self, ledger: Ledger, *, outbox: Outbox, waits: list[int], give_up: threading.Event, task: str
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._waits = waits
        self._give_up = give_up
        self._task = task

    def ask(self, call: Callable[[], T]) -> T:
        """Ask until there is an answer, LeaseLost says that it is too late, or the worker must end."""
        tries = 0
        while True:
            try:
                return call()
            except (ServerUnreachable, StoreError) as error:
                log.warning("report waits", task=self._task, reason=error.message)
                if self._give_up.wait(seconds(error, self._waits, tries)):
                    raise
                tries += 1

    def leave(self, verb: str, **given: Any) -> None:
        """Have something reported before whatever is told next, without waiting for it."""
        self._outbox.keep(self._ledger, verb, **given)

    def tell(self, verb: str, **given: Any) -> None:
        """Report something. Raises what the ledger refuses it with; when the worker must end, it stays on the disk."""
        id = self._outbox.say(self._ledger, verb, **given)
        tries = 0
        while id is not None:
            self._outbox.deliver(self._ledger)
            if not self._outbox.waits(id):
                return
            reason = self._outbox.trouble
            told = {} if reason is None else {"reason": reason.message}
            if self._give_up.is_set():
                log.warning("report is kept for the next worker of this home", task=self._task, verb=verb, **told)
                return
            log.warning("report waits", task=self._task, **told)
            self._give_up.wait(seconds(reason, self._waits, tries))
            tries += 1


def seconds(error: ShoalError | None, waits: list[int], tries: int) -> float:
    """How long to wait before the next try: the longer, the more there were of a server that does not answer."""
    return waits[min(tries, len(waits) - 1)] if isinstance(error, ServerUnreachable) else BUSY_SECONDS


def dropped(report: Report, error: ShoalError) -> None:
    """Log a kept report that the ledger does not take any more."""
    log.warning("report dropped", verb=report.verb, task=report.given.get("task"), reason=error.message)
