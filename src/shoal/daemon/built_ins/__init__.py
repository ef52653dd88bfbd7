"""What Shoal brings along for jobs to run: a name, and a function that does it in the server.

A member is a file here with its function `run(context)`, which answers with the text of its output, its line in
BUILT_INS, and one for its options in model/built_in.py. What it raises ends the run: a ShoalError as `failed`, anything
else as `error`. `shoal job built-ins` shows the first line of its docstring, and what its options mean.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from msgspec import Struct

from shoal.daemon.built_ins import backup, flush_logs, review_pull_requests, status_report, supervise
from shoal.daemon.built_ins.context import Context
from shoal.model.built_in import meanings

__all__ = ["BUILT_INS", "BuiltIn", "Context", "Described", "described"]

BuiltIn = Callable[[Context], str]
BUILT_INS: dict[str, BuiltIn] = {
    "backup": backup.run,
    "flush_logs": flush_logs.run,
    "review_pull_requests": review_pull_requests.run,
    "status_report": status_report.run,
    "supervise": supervise.run,
}


class Described(Struct, frozen=True):
    """A built-in as people read about it: its name, what it does, its options and what they mean."""

    name: str
    description: str
    options: dict[str, str]


def described() -> list[Described]:
    """All of them, in the order of their names."""
    return [
        Described(name, (inspect.getdoc(function) or "").partition("\n")[0], meanings(name))
        for name, function in sorted(BUILT_INS.items())
    ]
