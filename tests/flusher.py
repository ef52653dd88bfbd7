"""A process that flushes the logs of a home again and again until it is killed, as its own program."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from shoal.daemon.built_ins import BUILT_INS, Context
from shoal.ledger.connect import open_home
from shoal.model.built_in import FlushLogsOptions
from shoal.settings import Home


def main(folder: str) -> None:
    """Say so after each time."""
    home = Home(Path(folder))
    ledger = open_home(home, actor="shoal")
    nothing: Any = None
    context = Context(ledger.engine, home, nothing, FlushLogsOptions(), threading.Event(), lambda _: None)  # type: ignore[arg-type]
    while True:
        BUILT_INS["flush_logs"](context)
        print("flushed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
