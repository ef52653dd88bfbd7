"""What a built-in gets to work with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.job import Run
from shoal.settings import Home


class Context(Struct, frozen=True):
    """What a built-in gets: the ledger, its home, the options of its job, and when it must end.

    `options` are what model/built_in.py makes of them. `stopping` is set when the run is cancelled, its time is over or
    the server stops. `say` writes to its output at once: what a built-in answers with is lost when it raises.
    """

    engine: EmbeddedEngine
    home: Home
    run: Run
    options: Any
    stopping: threading.Event
    say: Callable[[str], None]

    @property
    def ledger(self) -> Ledger:
        """The ledger, with Shoal itself as the actor."""
        return Ledger(self.engine, actor="shoal")
