"""Shoal keeps a fleet of coding agents working from one ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.ledger.connect import connect as connect
    from shoal.ledger.ledger import Ledger as Ledger

__version__ = "0.1.0"
__all__ = ["Ledger", "connect"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import shoal` alone stays cheap for the command line.
    if name in __all__:
        from shoal import ledger

        return getattr(ledger, name)
    raise AttributeError(f"module 'shoal' has no attribute {name!r}")
