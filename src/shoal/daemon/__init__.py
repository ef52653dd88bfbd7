"""The loops of `shoal serve`: each tick asks a service, acts through an adapter, tells a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.daemon.daemon import Daemon

__all__ = ["Daemon"]


def __getattr__(name: str) -> Any:
    # A command that needs one module here would else import every loop: 0.2 s.
    if name == "Daemon":
        from shoal.daemon.daemon import Daemon

        return Daemon
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
