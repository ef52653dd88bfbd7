"""CSV with a header line: the columns are the fields of a task; lists are joined by commas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from shoal.adapters.formats.jsonl import line_from
from shoal.adapters.formats.line import EXPORTED, Line, exported
from shoal.model.task import Task

LISTS = ("labels", "repos", "depends_on")
NUMBERS = ("estimate_minutes", "deadline", "max_attempts", "timeout_seconds", "run_at")
TRUE = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read(text: str) -> Iterator[Line]:
    """The tasks of a file, in its order; a line's number is that of its last physical line."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        for row in reader:
            yield _line(reader.line_num, row)
    except csv.Error as error:
        yield Line(reader.line_num, refused=f"not CSV: {error}; the lines after it were not read")


def write(tasks: Iterable[tuple[Task, list[str]]]) -> Iterator[str]:
    """A header, then one row per task."""
    yield _row(EXPORTED)
    for task, depends_on in tasks:
        found = exported(task, depends_on)
        yield _row([_cell(name, found.get(name)) for name in EXPORTED])


def _line(number: int, row: dict[str | Any, Any]) -> Line:
    if None in row:
        return Line(number, refused="more cells than the header has")
    found: dict[str, Any] = {}
    for column, cell in row.items():
        name, text = column.strip().lower(), (cell or "").strip()
        if not text:
            continue
        if name in LISTS:
            found[name] = [part.strip() for part in text.split(",") if part.strip()]
        elif name in NUMBERS or (name == "priority" and text.isdecimal()):
            if not text.isdecimal():
                return Line(number, refused=f"{name}: {text!r} is not a whole number")
            found[name] = int(text)
        elif name == "requires_qa":
            found[name] = TRUE.get(text.lower(), text)
        elif name == "success_criteria":
            try:
                found[name] = msgspec.json.decode(text)
            except msgspec.DecodeError:
                found[name] = [{"criterion": part.strip()} for part in text.split(";") if part.strip()]
        else:
            found[name] = text
    return line_from(number, found)


def _cell(name: str, value: Any) -> Any:
    if name in LISTS:
        return ",".join(value or [])
    if name == "success_criteria" and value:
        return msgspec.json.encode(value).decode()
    return "" if value is None else value


def _row(cells: Iterable[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
