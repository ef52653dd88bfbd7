"""What Shoal brings along for jobs to run: a name, and a function that does it in the server.

A member is a file here with its function `run(context)`, which answers with the text of its output, and its line in
BUILT_INS. What it raises ends the run: a ShoalError as `failed`, anything else as `error`. `shoal job built-ins` shows
the first line of its docstring, and the OPTIONS of its file: what each one means.
"""

from __future__ import annotations

import inspect
import sys
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


class Described(Struct, frozen=True):
    """A built-in as people read about it: its name, what it does, its options and what they mean."""

    name: str
    description: str
    options: dict[str, str]


def described() -> list[Described]:
    """All of them, in the order of their names."""
    found = []
    for name, function in sorted(BUILT_INS.items()):
        first = (inspect.getdoc(function) or "").partition("\n")[0]
        found.append(Described(name, first, getattr(sys.modules[function.__module__], "OPTIONS", {})))
    return found
