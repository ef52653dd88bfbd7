"""Queues what has come due and takes back what a worker lost. Any number of servers may do it at once."""

from __future__ import annotations

from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import leases


def tick(engine: EmbeddedEngine) -> int:
    """Move everything that is due; how many tasks."""
    moved = 0
    while batch := engine.write(leases.make_ready):
        moved += batch
    return moved
