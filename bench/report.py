"""The tables: for the terminal and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
MARK = "\n## Beside others\n"


@dataclass(frozen=True)
class Line:
    """One row of the first table: Shoal against what it promises."""

    what: str
    got: str
    wanted: str
    met: bool | None
    latency: str = ""


@dataclass(frozen=True)
class Beside:
    """One row of the second table: Shoal beside another queue."""

    what: str
    own: str
    peer: str
    figure: str
    ratio: str


def show(lines: list[Line], beside: list[Beside], notes: list[str]) -> None:
    """The tables for the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=150)
    if lines:
        table = Table("what", "measured", "promised", "", "p50 / p99 µs", title="Shoal")
        for line in lines:
            mark = "" if line.met is None else "[green]met" if line.met else "[red]missed"
            table.add_row(line.what, line.got, line.wanted, mark, line.latency)
        console.print(table)
    if beside:
        table = Table("what", "Shoal", "peer", "figure", "ratio", title="Beside others")
        for row in beside:
            table.add_row(row.what, row.own, row.peer, row.figure, row.ratio)
        console.print(table)
        for note in notes:
            console.print(f"- {note}", markup=False, highlight=False)


def write(first: str, second: str) -> None:
    """The page anew; a part that was not measured this time stays as it is."""
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    was_first, mark, was_second = old.partition(MARK)
    second = second or was_second
    PAGE.write_text((first or was_first) + (MARK + second if second else mark), encoding="utf-8")


def promises(how: str, lines: list[Line]) -> str:
    """The first part of the page."""
    rows = ["| what | measured | promised | | p50 / p99 µs |", "| --- | --- | --- | --- | --- |"]
    for line in lines:
        mark = "" if line.met is None else "met" if line.met else "**missed**"
        rows.append(f"| {line.what} | {line.got} | {line.wanted} | {mark} | {line.latency} |")
    return f"# Benchmarks\n\n{how}\n\n" + "\n".join(rows) + "\n"


def others(how: str, beside: list[Beside], notes: list[str]) -> str:
    """The second part."""
    rows = ["| what | Shoal | peer | figure | ratio |", "| --- | --- | --- | --- | --- |"]
    rows += [f"| {row.what} | {row.own} | {row.peer} | {row.figure} | {row.ratio} |" for row in beside]
    return f"\n{how}\n\n" + "\n".join([*rows, "", *(f"- {note}" for note in notes)]) + "\n"
