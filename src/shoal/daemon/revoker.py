"""Ends tokens of tasks that are over: those that this server gave out, within a second or so of the event.

A token that cannot be ended now is tried again, less and less often, until its hour is over by itself.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from shoal.clock import monotonic_seconds
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import revocations
from shoal.services.revocations import Over

log = structlog.get_logger()
LOOK_SECONDS = 1.0
REST_SECONDS = 0.1  # between looks while much happens
AT_ONCE = 8
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
LEFT_BEHIND_SECONDS = 30.0


class Revoker:
    """Looks after the tokens in this process's memory."""

    seconds = LOOK_SECONDS

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self._looked = 0
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._at_work: set[str] = set()
        self._later: dict[str, tuple[float, float]] = {}
        self._told_at = 0.0

    def wait(self, stopping: threading.Event) -> None:
        """Until something happened that may have ended a task, or a moment has passed."""
        if not self._engine.sources.purse:
            stopping.wait(LOOK_SECONDS / 2)
            return
        if not stopping.wait(REST_SECONDS):
            self._engine.wait_for_events(self._looked, LOOK_SECONDS)

    def tick(self) -> int:
        """Begin to end every token that has to; how many. It does not wait for the forge."""
        sources, engine = self._engine.sources, self._engine
        if monotonic_seconds() - self._told_at > LEFT_BEHIND_SECONDS:
            self._told_at = monotonic_seconds()
            engine.write(partial(revocations.tell_left_behind, server=sources.server))
        if not sources.purse:
            return 0
        sources.purse.drop_expired(engine.clock.now_ms())
        with self._lock:
            self._later = {hashed: at for hashed, at in self._later.items() if sources.purse.find(hashed) is not None}
        self._looked = engine.read(lambda tx: tx.horizon())
        begun = 0
        for one in engine.read(partial(revocations.over, server=sources.server)):
            if self._takes(one.hashed):
                begun += 1
                self._workers().submit(self._end, one)
        return begun

    def close(self) -> None:
        """Wait for what is being ended now."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _takes(self, hashed: str) -> bool:
        with self._lock:
            at, _ = self._later.get(hashed, (0.0, 0.0))
            if hashed in self._at_work or at > monotonic_seconds():
                return False
            self._at_work.add(hashed)
            return True

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, "shoal-broker")
            return self._pool

    def _end(self, one: Over) -> None:
        done = False
        try:
            world = self._engine.world("shoal")
            done = revocations.revoke(world, world.token_source(), one)
        except Exception as error:
            log.error("token not ended", grant=one.grant, reason=f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._at_work.discard(one.hashed)
                if done:
                    self._later.pop(one.hashed, None)
                else:
                    _, before = self._later.get(one.hashed, (0.0, 0.0))
                    seconds = min(max(RETRY_SECONDS, 2 * before), LONGEST_RETRY_SECONDS)
                    self._later[one.hashed] = (monotonic_seconds() + seconds, seconds)
