"""All loops of a server together, and the one that looks after the others."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from shoal.daemon import archiver, checkpointer, occasions, pruner, reaper
from shoal.daemon.dispatcher import Dispatcher
from shoal.daemon.executors import Executors
from shoal.daemon.item_follower import LOOK_SECONDS as LONGEST_LOOK_SECONDS
from shoal.daemon.item_follower import ItemFollower
from shoal.daemon.job_runner import JobRunner
from shoal.daemon.loop import Loop
from shoal.daemon.manifest_watch import LOOK_SECONDS, ManifestWatch
from shoal.daemon.revoker import Revoker
from shoal.daemon.scheduler import LONGEST_SECONDS, Scheduler
from shoal.daemon.supervisor import Supervisor, forge_of
from shoal.daemon.vault_sync import VaultSync
from shoal.errands import backup
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.live_settings import LiveSettings
from shoal.model.event import Kind
from shoal.services import prices
from shoal.settings import Home

WATCH_SECONDS = 5.0
ARCHIVE_SECONDS = 600.0
SETTINGS_SECONDS = 1.0


class Daemon:
    """Starts the loops, restarts one whose thread has died, stops them in bounded time."""

    def __init__(
        self,
        engine: EmbeddedEngine,
        home: Home,
        live: LiveSettings,
        *,
        url: str | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """`url` is where the server listens. `check` raises AgentError when nothing should be dispatched, because the
        set-up is at fault.
        """
        self._engine = engine
        self._live = live
        self._problem: str | None = None
        forge, remark = forge_of(live())
        self.executors = Executors(home, live)
        self.supervisor = Supervisor(engine, forge, self.executors, remark)
        self.runner = JobRunner(engine, home, url=url)
        scheduler = Scheduler(engine, self.runner)
        item_follower = ItemFollower(engine)
        self._revoker = Revoker(engine)
        self.loops = [
            Loop("reaper", lambda: live().reap_seconds, lambda: reaper.tick(engine)),
            Loop("pruner", lambda: live().prune_seconds, lambda: pruner.tick(engine)),
            Loop("checkpointer", lambda: live().checkpoint_seconds, lambda: checkpointer.tick(engine)),
            Loop("backup", lambda: live().backup_seconds, lambda: backup.tick(engine, home)),
            Loop("broker", self._revoker.seconds, self._revoker.tick, self._revoker.wait, vital=False),
            Loop("items", LONGEST_LOOK_SECONDS, item_follower.tick, item_follower.wait, vital=False),
            Loop("supervisor", lambda: live().supervise_seconds, self.supervisor.tick, vital=False),
            Loop("scheduler", LONGEST_SECONDS, scheduler.tick, scheduler.wait),
            Loop("runs", scheduler.beat_seconds, self.runner.beat),
            Loop("occasions", occasions.LOOK_SECONDS, occasions.Occasions(engine, home).tick, vital=False),
            Loop("manifest", LOOK_SECONDS, ManifestWatch(engine).tick, vital=False),
            Loop("settings", SETTINGS_SECONDS, self._follow_settings, vital=False),
        ]
        if engine.settler is not None:
            vault = VaultSync(engine)
            self.loops += [
                Loop("vault", lambda: live().vault_sync_seconds, vault.tick, vault.wait, vital=False),
                Loop("archiver", ARCHIVE_SECONDS, lambda: archiver.tick(engine), vital=False),
            ]
        self._dispatcher: Dispatcher | None = None
        if (executor := live().dispatch.executor) is not None:
            self._dispatcher = Dispatcher(
                Ledger(engine, actor="shoal"),
                self.executors.get(executor),
                lambda: live().dispatch,
                logs=home.logs,
                hold=lambda: self.executors.hold(executor),
                check=check,
            )
            self.loops += self._dispatcher.loops()
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
        self._revoker.close()
        self.supervisor.close()
        self.executors.close()
        if self._dispatcher is not None:
            self._dispatcher.close()

    def report(self) -> dict[str, dict[str, Any]]:
        """How each loop is."""
        return {loop.name: loop.report() for loop in self.loops}

    def _follow_settings(self) -> None:
        """Notice a changed file although nobody asks for a setting; a broken one is told of once."""
        self._live()
        problem = self._live.problem
        if problem is not None and problem != self._problem:
            line = re.search(r"\bline (\d+)", problem)
            data = {"reason": problem} | ({"line": int(line[1])} if line else {})
            self._engine.write(lambda tx: tx.emit(Kind.SETTINGS_REFUSED, data=data))
        self._problem = problem

    def _revive(self) -> None:
        for loop in self.loops:
            loop.start()
