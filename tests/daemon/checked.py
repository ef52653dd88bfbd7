"""Checks of the tests' own, which a server can run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from shoal.adapters.checks.check import Context
from shoal.model.check import Finding

VERSION = "7"


class Options(Struct, frozen=True):
    """What they may be told."""

    word: str = "XXX"


def words(context: Context) -> Iterator[Finding]:
    for path in sorted(context.checkout.rglob("*.md")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if context.options.word in line:
                print("not a finding")
                file = path.relative_to(context.checkout).as_posix()
                yield Finding(rule="word", message=line, file=file, line=number)


def partial(context: Context) -> Iterator[Finding]:
    yield Finding(rule="word", message="the first")
    context.partial("1 of 9 files was read: name fewer")


def crash(context: Context) -> Iterator[dict[str, Any]]:
    yield {"rule": "word", "message": "the first"}
    raise RuntimeError("it went wrong in the middle")
