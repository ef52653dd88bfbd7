"""What the attempts of one process share: the folders of their home, the processes they run, the word to give up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from msgspec.structs import replace

from shoal.adapters.processes.groups import Groups
from shoal.clock import SystemClock
from shoal.errors import ShoalError
from shoal.ledger import Ledger
from shoal.ledger.outbox import Outbox, Report
from shoal.model.task import Claim
from shoal.settings import Settings
from shoal.worker.attempt import Attempt, Terms
from shoal.worker.open_episodes import OpenEpisodes, count_dropped
from shoal.worker.reports import dropped
from shoal.worker.workspaces import Workspaces

log = structlog.get_logger()
SWEEP_SECONDS = 3600.0
SETTLE_SECONDS = 60.0
LEAVE_SECONDS = 5.0  # for a sweep under way to come to a good end


class Workshop:
    """Makes attempts, and clears up behind those that were killed or ended long ago.

    `give_up` is set when reports are not to be repeated any more.
    """

    def __init__(self, ledger: Ledger, terms: Terms, settings: Callable[[], Settings] | None = None) -> None:
        """`settings` are asked for with each attempt; without, those of the terms hold to the end."""
        self._ledger = ledger
        self._terms = terms
        self._settings = settings or (lambda: terms.settings)
        self._groups = Groups()
        self._open_episodes = OpenEpisodes(terms.folder, ledger, self._settings)
        self._outbox = Outbox(terms.folder, on_dropped=self._dropped)
        self.give_up = threading.Event()
        self._closing = threading.Event()
        self._tending = threading.Thread(target=self._tend, name="shoal_tend", daemon=True)

    def start(self) -> None:
        """Settle every minute, and remove the folders of attempts of long ago every hour, until `close`."""
        self._tending.start()

    def attempt(self, claim: Claim) -> Attempt:
        """The attempt of a claim."""
        terms = replace(self._terms, settings=self._settings())
        return Attempt(
            claim,
            ledger=self._ledger,
            groups=self._groups,
            terms=terms,
            workspaces=self._workspaces(terms.settings),
            open_episodes=self._open_episodes,
            outbox=self._outbox,
            give_up=self.give_up,
        )

    def settle(self) -> None:
        """Deliver the reports that wait in this home, and say what the agents of killed workers spent."""
        try:
            self._outbox.deliver(self._ledger)
        except OSError as error:
            log.warning("reports cannot be delivered", reason=str(error))
        self._open_episodes.settle()

    def sweep(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Remove the folders of attempts of long ago, until `stop` says so."""
        settings = self._settings()
        days = settings.workspace_days
        try:
            for name in self._workspaces(settings).sweep(SystemClock().now_ms(), days, stop=stop):
                log.info("workspace removed", attempt=name, days=days)
        except OSError as error:
            log.warning("workspaces cannot be swept", reason=str(error))

    def close(self) -> None:
        """End with whatever still runs."""
        self._closing.set()
        if self._tending.is_alive():
            self._tending.join(LEAVE_SECONDS)
        self._groups.close()

    def _tend(self) -> None:
        seconds = 0.0
        while not self._closing.is_set():
            self.settle()
            if seconds <= 0:
                self.sweep(self._closing.is_set)
                seconds = SWEEP_SECONDS
            self._closing.wait(SETTLE_SECONDS)
            seconds -= SETTLE_SECONDS

    def _dropped(self, report: Report, error: ShoalError) -> None:
        dropped(report, error)
        if report.verb == "sessions.record":
            try:
                count_dropped(self._ledger, report.given)
            except ShoalError as problem:
                log.warning("what a dropped report had spent is not counted", reason=problem.message)

    def _workspaces(self, settings: Settings) -> Workspaces:
        return Workspaces(self._terms.folder, settings.repositories, ephemeral=settings.ephemeral)
