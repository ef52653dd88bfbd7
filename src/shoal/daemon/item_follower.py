"""Follows the tasks of work items: within a second or so of the last one's end the item is done, or waits again.

Any number of servers may do so; each event is taken once.
"""

from __future__ import annotations

import threading

import structlog

from shoal.errors import StoreError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import item_following

log = structlog.get_logger()
LOOK_SECONDS = 2.0
REST_SECONDS = 0.2  # between looks while much happens


class ItemFollower:
    """The follower of one server."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self._looked = 0

    def wait(self, stopping: threading.Event) -> None:
        """Until something happened in the ledger, or a moment has passed."""
        if stopping.wait(REST_SECONDS):
            return
        try:
            self._engine.wait_for_events(self._looked, LOOK_SECONDS, poll_seconds=REST_SECONDS)
        except StoreError:  # the tick will tell of it
            stopping.wait(LOOK_SECONDS)

    def tick(self) -> None:
        """Take what happened to the tasks of items; writes only when something did."""
        self._looked, more = self._engine.read(item_following.waiting)
        while more:
            done, more = self._engine.write(item_following.follow)
            for line in done:
                log.info("item", what=line)
