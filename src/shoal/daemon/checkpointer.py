"""Folds SQLite's write-ahead log into the database now and then, so that neither grows without bound."""

from __future__ import annotations

from shoal.ledger.embedded import EmbeddedEngine


def tick(engine: EmbeddedEngine) -> None:
    """Do the database's housekeeping."""
    engine.database.maintain()
