"""The one door: a Ledger runs a verb here, on SQLite or PostgreSQL, or over HTTP; same methods, same types."""

from shoal.ledger.connect import connect
from shoal.ledger.ledger import Ledger

__all__ = ["Ledger", "connect"]
