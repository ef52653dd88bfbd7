"""All loops of a server together, and the one that looks after the others."""

from __future__ import annotations

import threading
from typing import Any

from shoal.daemon import archiver, backup, checkpointer, pruner, reaper
from shoal.daemon.broker import Broker
from shoal.daemon.dispatcher import Dispatcher
from shoal.daemon.executors import Executors
from shoal.daemon.job_runner import JobRunner
from shoal.daemon.loop import Loop
from shoal.daemon.scheduler import LONGEST_SECONDS, Scheduler
from shoal.daemon.supervisor import Supervisor, forge_of
from shoal.daemon.vault_sync import VaultSync
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import prices
from shoal.settings import Home, Settings

WATCH_SECONDS = 5.0
ARCHIVE_SECONDS = 600.0


class Daemon:
    """Starts the loops, restarts one whose thread has died, stops them in bounded time."""

    def __init__(self, engine: EmbeddedEngine, home: Home, settings: Settings, url: str | None = None) -> None:
        forge, remark = forge_of(settings)
        self.executors = Executors(home, settings)
        self.supervisor = Supervisor(engine, forge, self.executors, remark)
        self.runner = JobRunner(engine, home, url=url)
        scheduler = Scheduler(engine, self.runner)
        self._broker = Broker(engine)
        self.loops = [
            Loop("reaper", settings.reap_seconds, lambda: reaper.tick(engine)),
            Loop("pruner", settings.prune_seconds, lambda: pruner.tick(engine, settings)),
            Loop("checkpointer", settings.checkpoint_seconds, lambda: checkpointer.tick(engine)),
            Loop("backup", settings.backup_seconds, lambda: backup.tick(engine, home, settings)),
            Loop("broker", self._broker.seconds, self._broker.tick, self._broker.wait, vital=False),
            Loop("supervisor", settings.supervise_seconds, self.supervisor.tick, vital=False),
            Loop("scheduler", LONGEST_SECONDS, scheduler.tick, scheduler.wait),
            Loop("runs", scheduler.beat_seconds, self.runner.beat),
        ]
        if engine.settler is not None:
            vault = VaultSync(engine)
            self.loops.append(Loop("vault", settings.vault_sync_seconds, vault.tick, vault.wait, vital=False))
            if settings.vault_archive_days:
                self.loops.append(Loop("archiver", ARCHIVE_SECONDS, lambda: archiver.tick(engine), vital=False))
        self._dispatcher: Dispatcher | None = None
        if settings.dispatch.executor is not None:
            place = self.executors.get(settings.dispatch.executor)
            self._dispatcher = Dispatcher(Ledger(engine, actor="shoal"), place, settings.dispatch, logs=home.logs)
            seconds = settings.dispatch.poll_seconds
            self.loops.append(Loop("dispatch", seconds, self._dispatcher.tick, vital=False))
            self.loops.append(Loop("beats", self._dispatcher.beat_seconds, self._dispatcher.beat, vital=False))
        self._watch = Loop("watch", WATCH_SECONDS, self._revive)

    def start(self) -> None:
        """Start every loop."""
        threading.Thread(target=prices.load, name="shoal-prices", daemon=True).start()
        self.supervisor.begin()
        for loop in [*self.loops, self._watch]:
            loop.start()

    def stop(self, seconds: float) -> None:
        """Stop every loop, waiting so long at most for those that are in the middle of something."""
        for loop in [self._watch, *self.loops]:
            loop.stop()
        self.runner.stop(seconds)
        for loop in self.loops:
            loop.join(seconds)
        self._broker.close()
        self.supervisor.close()
        if self._dispatcher is not None:
            self._dispatcher.close()
        self.executors.close()

    def report(self) -> dict[str, dict[str, Any]]:
        """How each loop is."""
        return {loop.name: loop.report() for loop in self.loops}

    def _revive(self) -> None:
        for loop in self.loops:
            loop.start()
