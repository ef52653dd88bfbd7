"""The model calls of an episode of Claude Code, to the token: what its lines tell of them, and what only its sums tell.

The assistant lines of the stream repeat what a call's beginning knew, once for each block; the output is told only at
its end, in `message_delta`. A transcript has the final figures in each line. The last line of a turn has sums by model
of the whole episode, with the calls in them that no line told. Prices are left to who sums: Claude Code reports money
of a whole episode only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from shoal.model.cost import Usage
from shoal.model.fields import Count

PROVIDER = "anthropic"
KEY_LIMIT = 200
KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Tokens(Struct, frozen=True):
    """The usage of a call as the Messages API tells it."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None


class Sums(Struct, frozen=True, rename="camel"):
    """What an episode used of one model so far, the calls beside the conversation included; in the order of KINDS."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count = 0
    cache_creation_input_tokens: Count = 0


class Calls:
    """The model calls that one reader has seen, by their request keys."""

    def __init__(self) -> None:
        self._begun: dict[str, Usage] = {}
        self._ended: dict[str, Usage] = {}
        self._at: dict[str, int | None] = {}

    def begin(self, key: str, model: str, counts: Tokens, at: int | None) -> None:
        """A call as its beginning, or a line of a transcript, tells it."""
        figures = (
            counts.input_tokens,
            counts.output_tokens,
            counts.cache_read_input_tokens,
            counts.cache_creation_input_tokens,
        )
        self._begun[key] = _usage(key, model, [figure or 0 for figure in figures])
        self._at.setdefault(key, at)

    def update(self, key: str, counts: Tokens) -> None:
        """The figures at a call's end: the output always, what it read only where that is told again."""
        begun = self._begun[key]
        self._begun[key] = msgspec.structs.replace(
            begun,
            input_tokens=counts.input_tokens or begun.input_tokens,
            output_tokens=begun.output_tokens if counts.output_tokens is None else counts.output_tokens,
            cache_read_tokens=counts.cache_read_input_tokens or begun.cache_read_tokens,
            cache_write_tokens=counts.cache_creation_input_tokens or begun.cache_write_tokens,
        )

    def end(self, key: str) -> Usage | None:
        """The call's usage when it ends; None when it had ended before."""
        if key in self._ended:
            return None
        self._ended[key] = self._begun[key]
        return self._ended[key]

    def end_all(self) -> Iterator[Usage]:
        """Every call that has not ended yet."""
        yield from (usage for key in self._begun if (usage := self.end(key)) is not None)

    def cut_off(self, others: Calls) -> Iterator[Usage]:
        """Those that never ended, here or there. Their input was read and paid for, and the sums leave them out."""
        yield from (usage for key, usage in self._begun.items() if key not in self._ended and key not in others._ended)

    def untold(self, others: Calls, *, since: int, models: dict[str, Sums], key: str) -> Iterator[Usage]:
        """What an episode's sums have beyond the calls seen here, or there since it began, a usage for each model."""
        there = {name: usage for name, usage in others._ended.items() if (others._at[name] or since) >= since}
        for model, counts in _rest(models, (self._ended | there).values()).items():
            yield _usage(f"{key}:{model}", model, counts)


def _usage(key: str, model: str, counts: list[int]) -> Usage:
    return Usage(request_key=key[:KEY_LIMIT], provider=PROVIDER, model=model, **dict(zip(KINDS, counts, strict=True)))


def _rest(models: dict[str, Sums], calls: Iterable[Usage]) -> dict[str, list[int]]:
    """The sums less the calls. Calls of a model that no sum names are taken from wherever there is room."""
    left: dict[str, tuple[str, list[int]]] = {}
    for name, sums in models.items():
        _, counts = left.setdefault(_plain(name), (name, [0] * len(KINDS)))
        counts[:] = [before + more for before, more in zip(counts, msgspec.structs.astuple(sums), strict=True)]
    strays = [0] * len(KINDS)
    for usage in calls:
        used = [getattr(usage, kind) for kind in KINDS]
        if (plain := _plain(usage.model)) in left:
            _, counts = left[plain]
            counts[:] = [before - less for before, less in zip(counts, used, strict=True)]
        else:
            strays = [before + more for before, more in zip(strays, used, strict=True)]
    for _, counts in left.values():
        taken = [min(max(count, 0), stray) for count, stray in zip(counts, strays, strict=True)]
        strays = [stray - less for stray, less in zip(strays, taken, strict=True)]
        counts[:] = [max(count - less, 0) for count, less in zip(counts, taken, strict=True)]
    return {name: counts for name, counts in left.values() if any(counts)}


def _plain(model: str) -> str:
    """A model's name without the date and the size of window that one side may say and the other not."""
    return re.sub(r"(-\d{8})?(\[[^]]*\])?$", "", model.lower())
