"""Tables and details for people. rich is imported here and nowhere else, when something is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from shoal.cli import moments
from shoal.model.task import Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STATUS_STYLES = {
    "queued": "cyan",
    "scheduled": "blue",
    "blocked": "yellow",
    "active": "bold green",
    "review": "magenta",
    "completed": "green",
    "failed": "bold red",
    "cancelled": "dim",
}
WIDTH_WITHOUT_TERMINAL = 200
GROWS_FROM = 12  # the least width of a column that grows
GAP = 3  # between two columns


def clean(text: str, *, lines: bool = False) -> str:
    """A text without what a terminal would obey: it may come from anybody's file. With `lines` their ends stay."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or (lines and letter == "\n") else " " for letter in text)


def console() -> Console:
    """Where people read: colours on a terminal, unless NO_COLOR is set; in a pipe, lines are not cut to 80."""
    from rich.console import Console

    width = None if _is_fixed() else WIDTH_WITHOUT_TERMINAL
    return Console(highlight=False, width=width, emoji=False)


def columns() -> int | None:
    """How wide lines may be that are wrapped here; None in a pipe, where they are not."""
    import shutil

    return shutil.get_terminal_size().columns if _is_fixed() else None


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, grows: str | None = None, cut: bool = False
) -> None:
    """A table, or a sentence when there is nothing; the column that `grows` takes what width is left.

    Where it is too narrow for the columns, their cells stand below each other. Nothing is left out, but with `cut` what
    of the column that grows has no room in its line. In a pipe a line is as wide as it must be.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    out = console()
    lines = [[_cell(cell) for cell in row] for row in rows]
    if not lines:
        out.print(empty, markup=False)
        return
    widths = [max(len(name), *(row[place].cell_len for row in lines)) for place, name in enumerate(columns)]
    if grows is not None and _is_fixed():
        place = columns.index(grows)
        widths[place] = min(widths[place], GROWS_FROM)
    needed = sum(widths) + GAP * (len(widths) - 1)
    if needed > out.width and _is_fixed():
        _stacked(out, columns, lines)
        return
    out.width = max(out.width, needed)
    shown = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    for column in columns:
        is_cut = cut and column == grows
        shown.add_column(
            column,
            overflow="ellipsis" if is_cut else "fold",
            ratio=1 if column == grows else None,
            no_wrap=is_cut or column != grows,
        )
    for line in lines:
        shown.add_row(*line)
    out.print(shown)


def _stacked(out: Console, columns: Sequence[str], lines: list[list[Any]]) -> None:
    """Each row as a heading, its first cell, and a line for each further one that has something in it."""
    from rich.text import Text

    margin = max(map(len, columns)) + 4
    for first, *others in lines:
        out.print(Text.assemble((columns[0], "dim"), " " if columns[0] else "", (first.plain, "bold")), overflow="fold")
        for name, cell in zip(columns[1:], others, strict=True):
            if cell.plain:
                parts = cell.wrap(out, max(out.width - margin, 8), overflow="fold")
                for number, part in enumerate(parts):
                    head = "" if number else name
                    out.print(Text.assemble((f"  {head:<{margin - 2}}", "dim"), part), soft_wrap=True)


def _cell(cell: Any) -> Text:
    from rich.text import Text

    if isinstance(cell, Text):
        return cell if cell.plain.isprintable() else Text(clean(cell.plain), cell.style)
    return Text("" if cell is None else clean(str(cell).rstrip("\r\n")))


def _is_fixed() -> bool:
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def status(value: str) -> Any:
    """A status in its colour."""
    from rich.text import Text

    return Text(value, STATUS_STYLES.get(value, ""))


def tasks(found: Iterable[Task], *, empty: str) -> None:
    """A list of tasks."""
    table(
        ["Task", "Status", "P", "Queue", "Assignee", "Title"],
        [(one.task_id, status(one.status), one.priority, one.queue, one.assignee, one.title) for one in found],
        empty=empty,
        grows="Title",
    )


def sentence(text: str) -> None:
    """One line for a person; nothing in it is markup."""
    console().print(clean(text, lines=True), markup=False, soft_wrap=True)


def remark(text: str) -> None:
    """What a person should know beside the answer, on standard error."""
    import click

    click.echo(clean(text, lines=True), err=True)


def task(found: Task) -> None:
    """Everything about one task that has a value."""
    from rich.text import Text

    out = console()
    out.print(
        Text.assemble((found.task_id, "bold"), " ", clean(found.title), "  ", status(found.status)), soft_wrap=True
    )
    details: list[tuple[str, Any]] = [
        ("type", found.type),
        ("priority", f"P{found.priority}"),
        ("queue", found.queue),
        ("labels", ", ".join(found.labels)),
        ("assignee", found.assignee),
        ("parent", found.parent and f"{found.task_id.rstrip('0123456789')}{found.parent}"),
        ("repos", ", ".join(found.repos)),
        ("model", found.model),
        ("workflow", found.workflow),
        ("held", found.hold_reason),
        ("waits for", found.blockers and f"{found.blockers} tasks"),
        ("progress", _progress(found)),
        ("attempt", found.attempt and f"{found.attempt} ({found.failures} of {found.max_attempts} failed)"),
        ("worker", found.worker),
        ("leased until", moments.shown(found.leased_until)),
        ("runs at", moments.shown(found.run_at) if found.status == "scheduled" else None),
        ("deadline", moments.shown(found.deadline)),
        ("estimate", found.estimate_minutes is not None and f"{found.estimate_minutes} min"),
        ("took", found.actual_minutes is not None and f"{found.actual_minutes} min"),
        ("slug", found.slug),
        ("external key", found.external_key),
        ("participants", ", ".join(one.agent for one in found.participants)),
        ("created", f"{moments.shown(found.created_at)} by {found.created_by}"),
        ("completed", moments.shown(found.completed_at)),
        ("feedback", found.feedback and f"quality {found.feedback.quality} of 5"),
    ]
    for name, value in details:
        if value:
            out.print(Text.assemble((f"  {name:<13}", "dim"), clean(str(value))), soft_wrap=True)
    for one in found.success_criteria:
        measured = f"  ({one.measurable})" if one.measurable else ""
        out.print(Text(clean(f"  [ ] {one.criterion}{measured}")), soft_wrap=True)
    for name, text in (("summary", found.summary), ("last error", found.last_error)):
        if text:
            out.print(Text.assemble((f"  {name}\n", "dim"), _indented(clean(text, lines=True))), soft_wrap=True)


def _progress(found: Task) -> str:
    percent = "" if found.progress is None else f"{found.progress} %"
    return " ".join(part for part in (percent, found.progress_message or "") if part)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
