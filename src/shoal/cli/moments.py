"""Times as people write and read them; inside they are epoch milliseconds."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import click

from shoal.clock import SystemClock
from shoal.clock import span as span

_SPAN = re.compile(r"^(\d+)\s*(s|m|min|h|d|w)$")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Moment(click.ParamType[int]):
    """A moment: 2026-12-24, 2026-12-24T18:00, with or without an offset, or a span from now such as 90m, 2h, 3d."""

    name = "time"

    def __init__(self, *, past: bool = False) -> None:
        """A span leads from now into the future, or into the `past`."""
        self._sign = -1 if past else 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Epoch milliseconds."""
        if isinstance(value, int):
            return value
        text = str(value).strip().removeprefix("+")
        if span := _SPAN.match(text):
            return SystemClock().now_ms() + self._sign * 1000 * int(span[1]) * _SECONDS[span[2]]
        try:
            return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is not a time; write 2026-12-24T18:00, or a span such as 90m, 2h, 3d", param, ctx)


MOMENT = Moment()
PAST = Moment(past=True)


def shown(milliseconds: int | None) -> str:
    """A moment in the reader's own time zone."""
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
