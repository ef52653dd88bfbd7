"""Forgets old events and the old audit of tokens, in small batches so that nobody waits long behind one.

Tasks are never forgotten.
"""

from __future__ import annotations

from functools import partial

from shoal.clock import DAY_MS
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import audit, events, stats


def tick(engine: EmbeddedEngine) -> int:
    """Prune what is older than the setting; how many events."""
    engine.write(stats.counts)  # its cursor is how far pruning may go
    older_than = engine.clock.now_ms() - engine.settings.event_days * DAY_MS
    pruned = 0
    while batch := engine.write(partial(events.prune, older_than=older_than)):
        pruned += batch
    while engine.write(audit.prune):
        pass
    return pruned
