"""What Shoal brings along for jobs to run: a name, and a function that does it in the server.

A member is a file here with its function `run(context)`, which answers with the text of its output, and its line in
BUILT_INS. What it raises ends the run: a ShoalError as `failed`, anything else as `error`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.job import Run
from shoal.settings import Home


class Context(Struct, frozen=True):
    """What a built-in gets: the ledger, its home, the options of its job, and when it must end.

    `stopping` is set when the run is cancelled, its time is over or the server stops.
    """

    engine: EmbeddedEngine
    home: Home
    run: Run
    options: dict[str, Any]
    stopping: threading.Event


BuiltIn = Callable[[Context], str]
BUILT_INS: dict[str, BuiltIn] = {}
