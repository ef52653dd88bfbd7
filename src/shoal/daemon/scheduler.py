"""The clock of a server: fires what is due, takes runs and starts them, ends those of servers that are gone.

Any number of servers do so at once; nobody leads.
"""

from __future__ import annotations

import os
import socket
import threading
from functools import partial

from shoal.clock import DAY_MS, monotonic_seconds
from shoal.daemon.job_runner import JobRunner
from shoal.errors import BadInput, StoreError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.job import Held
from shoal.services import Tx, firing, runs
from shoal.services.firing import Agenda

LONGEST_SECONDS = 1.0
SHORTEST_SECONDS = 0.02  # between looks, however much happens in the ledger
WATCH_SECONDS = 1.0
PRUNE_SECONDS = 3600.0
BEATS_PER_LEASE = 6


class Scheduler:
    """The clock of one server."""

    def __init__(self, engine: EmbeddedEngine, runner: JobRunner) -> None:
        self._engine = engine
        self._runner = runner
        self._position = 0
        self._is_full = False
        self._agenda = Agenda(slots=True, runs=True, next_at=None)
        self._seen: dict[int, tuple[Held, float]] = {}
        self._watched_at = self._pruned_at = float("-inf")
        self.beat_seconds = min(2.0, engine.settings.run_lease_seconds / BEATS_PER_LEASE)

    def wait(self, stopping: threading.Event) -> None:
        """Until something is due or happens, for a second at most."""
        if stopping.wait(SHORTEST_SECONDS):
            return
        seconds = LONGEST_SECONDS
        if self._agenda.next_at is not None:
            seconds = min(seconds, (self._agenda.next_at - self._engine.clock.now_ms()) / 1000)
        if self._is_full:
            self._runner.freed.wait(max(0.0, seconds))
        elif seconds > 0:
            try:
                self._engine.wait_for_events(self._position, seconds)
            except StoreError:  # the tick will tell of it
                stopping.wait(LONGEST_SECONDS)

    def tick(self) -> None:
        """Fire, claim and start what is due."""
        self._position, self._agenda = self._engine.read(_look)
        self._is_full = False
        problems = self._fire() if self._agenda.slots else []
        if self._agenda.runs or self._agenda.slots:
            self._claim()
        now = monotonic_seconds()
        if now - self._watched_at >= WATCH_SECONDS:
            self._watch(now)
            self._watched_at = now
        if now - self._pruned_at >= PRUNE_SECONDS:
            self._pruned_at = now
            self._prune()
        if problems:
            raise BadInput(problems[0])

    def _fire(self) -> list[str]:
        while True:
            fired = self._engine.write(firing.fire)
            if fired.jobs == 0 or fired.problems:
                found: list[str] = fired.problems
                return found

    def _claim(self) -> None:
        while True:
            self._runner.freed.clear()
            room = self._engine.settings.jobs_at_once - self._runner.busy
            self._is_full = room <= 0
            if self._is_full:
                return
            take = partial(runs.claim, server=self._runner.server, limit=room, logs=str(self._runner.logs))
            claimed = self._engine.write(take)
            for one in claimed:
                self._runner.start(one)
            if not claimed:
                return

    def _watch(self, now: float) -> None:
        """End runs whose servers have been silent for a lease, by our own measure of time: clocks may be set."""
        held = self._engine.read(runs.held)
        lease = self._engine.settings.run_lease_seconds
        if now - self._watched_at > max(lease / 2, 4 * WATCH_SECONDS):
            self._seen = {}  # the database was away, or this process slept: others may not have been heard either
        seen = {one.id: self._seen.get(one.id, (one, now)) for one in held}
        self._seen = {one.id: (one, now) if seen[one.id][0] != one else seen[one.id] for one in held}
        silent = [one for one, since in self._seen.values() if now - since > lease]
        if "://" not in self._engine.address:
            silent += [one for one in held if one not in silent and _is_dead(one.server)]
        for one in silent:
            self._engine.write(partial(runs.expire, silent=[one]))

    def _prune(self) -> None:
        settings = self._engine.settings
        before = self._engine.clock.now_ms() - settings.run_days * DAY_MS
        while self._engine.write(partial(runs.prune, before=before)):
            pass
        logs = self._runner.logs
        for folder in logs.iterdir() if logs.is_dir() else []:
            for path in folder.iterdir() if folder.is_dir() else []:
                if path.stat().st_mtime_ns // 1_000_000 < before:
                    path.unlink(missing_ok=True)


def _look(tx: Tx) -> tuple[int, Agenda]:
    return tx.horizon(), firing.agenda(tx)


def _is_dead(server: str) -> bool:
    """Whether a server was a process of this machine that there is no more; one whose number another has may live."""
    host, _, rest = server.rpartition("-")[0].rpartition("-")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
