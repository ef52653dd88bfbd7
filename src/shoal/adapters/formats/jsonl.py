"""JSON Lines: one task per line, an object with the fields of a task, `id`, `parent`, `depends_on` and `status`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from shoal.adapters.formats.line import Line, exported
from shoal.model.task import Task

_decode = msgspec.json.Decoder().decode


def read(text: str) -> Iterator[Line]:
    """The tasks of a file, in its order."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = _decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield Line(number, refused=f"not JSON: {error}")
            continue
        if isinstance(found, dict):
            yield line_from(number, found)
        else:
            yield Line(number, refused="not a JSON object")


def write(tasks: Iterable[tuple[Task, list[str]]]) -> Iterator[str]:
    """One line per task."""
    for task, depends_on in tasks:
        yield msgspec.json.encode(exported(task, depends_on)).decode() + "\n"


def line_from(number: int, found: dict[str, Any]) -> Line:
    """A line from an object of fields."""
    key = found.pop("id", None)
    depends_on = found.pop("depends_on", None) or []
    parent = found.pop("parent", None)
    status = found.pop("status", None)
    if not isinstance(depends_on, list):
        return Line(number, refused="depends_on must be a list")
    fields = {name: value for name, value in found.items() if value is not None}
    return Line(
        number,
        fields,
        key=None if key is None else str(key),
        parent=None if parent is None else str(parent),
        depends_on=[str(one) for one in depends_on],
        status=None if status is None else str(status),
    )
