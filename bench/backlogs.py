"""Loads on the backlog: a long list of things to do, many files with comments, many pages of documents."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from shoal import Ledger, connect
from shoal.errands import checking, scanning
from shoal.errands.scanning import COMMENTS, MARKDOWN, Ask
from shoal.model.check import Check
from shoal.settings import Home, Settings

BOXES, PAGES, RUNS = 2_700, 3_000, 3
WORDS = [
    *("login", "session", "token", "queue", "lease", "vault", "parser", "page"),
    *("table", "error", "retry", "limit", "export", "import", "window", "column"),
]
VERBS = ["Mend", "Test", "Write", "Remove", "Rename", "Measure", "Explain", "Split", "Cache", "Check"]
SETTLED_SECONDS = 2.1  # a file that is younger is read again, as it may change within the same moment


def measured(folder: Path, files: int) -> Iterator[tuple[str, float, float | None]]:
    """What each takes, in seconds, and what it may take, if that was promised; `files` are read for their comments."""
    listed = folder / "list"
    listed.mkdir()
    (listed / "TODO.md").write_text(todo())
    size = (listed / "TODO.md").stat().st_size / 1e6
    first: list[float] = []
    again: list[float] = []
    after_edits: list[float] = []
    for number in range(RUNS):
        (listed / "TODO.md").write_text(todo())
        with connect(folder / f"list{number}.db") as ledger:

            def scan(ledger: Ledger = ledger) -> None:
                scanning.scan(ledger, Settings(), Ask("list", listed, scanner=MARKDOWN))

            first.append(_seconds(scan))
            again.append(_seconds(scan))
            (listed / "TODO.md").write_text(edited(todo()))
            after_edits.append(_seconds(scan))
    boxes = f"scan of {BOXES:,} boxes, {size:.1f} MB"
    yield f"{boxes}: first", min(first), 1.5
    yield f"{boxes}: nothing changed", min(again), 0.3
    yield f"{boxes}: 100 of them moved and reworded", min(after_edits), None
    sources = folder / "sources"
    write_sources(sources, files)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    with connect(folder / "sources.db") as ledger:

        def scan_comments() -> None:
            scanning.scan(ledger, Settings(), Ask("sources", sources, scanner=COMMENTS))

        share = files / 100_000
        yield f"comments of {files:,} files: first", _seconds(scan_comments), 20.0 * share
        yield f"comments of {files:,} files: nothing changed", _seconds(scan_comments), 2.0 * share
    pages = folder / "pages"
    write_pages(pages)
    yield f"doc-health of {PAGES:,} pages", _seconds(lambda: look_at(pages, folder)), 10.0


def todo() -> str:
    """A list of things to do as long ones are: headings, nesting, and words below the boxes."""
    lines = ["# Plan\n"]
    for number in range(BOXES):
        if number % 30 == 0:
            lines.append(f"\n## {WORDS[number // 30 % 16].title()} {number // 30}\n")
        indent = "  " * (number % 3)
        about = f"the {WORDS[number % 16]} of {WORDS[number * 7 % 16]} {number * 31 % 997}"
        lines.append(f"{indent}- [{'x' if number % 5 == 0 else ' '}] {VERBS[number % 10]} {about} (job {number})")
        lines.append(f"{indent}  " + f"It matters, since {about} is not as it was, and people wait. " * 5)
    return "\n".join(lines) + "\n"


def edited(text: str) -> str:
    """The list with a hundred of its boxes moved to its end and reworded."""
    lines = text.split("\n")
    moved = [number for number, line in enumerate(lines) if line.startswith("- [ ]")][:: BOXES // 300][:100]
    ends = [f"{lines[number]}, and say so" for number in moved]
    return "\n".join([line for number, line in enumerate(lines) if number not in set(moved)] + ends) + "\n"


def write_sources(folder: Path, files: int) -> None:
    """Small source files, one in ten with a comment that asks for work; older than a scan may doubt."""
    body = "".join(f"def part_{number}(value):\n    return value + {number}  # as it was\n\n" for number in range(12))
    long_ago = time.time() - SETTLED_SECONDS
    for number in range(files):
        place = folder / f"p{number // 1000}" / f"m{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(body + (f"# TODO(ana): mend number {number}\n" if number % 10 == 0 else ""))
        os.utime(place, (long_ago, long_ago))


def write_pages(folder: Path) -> None:
    """Pages that link to each other and to their parts."""
    for number in range(PAGES):
        place = folder / f"d{number // 100}" / f"p{number}.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        other = number if number % 100 == 99 else number + 1
        place.write_text(
            "".join(
                f"## Part {part}\n\nSome *text* with `code`, [a link](p{other}.md#part-{part}), and more of it.\n"
                "It goes on for a while, as documents do, with **bold words** and a second line.\n\n"
                f"```sh\nmake something-{part}\n```\n\n- one\n- two, [again](../d{number // 100}/p{number}.md)\n\n"
                for part in range(12)
            )
        )


def look_at(pages: Path, folder: Path) -> None:
    """One look of doc-health. Raises AssertionError when it did not come to its end, or found what is not wrong."""
    found, problem = checking.examine(
        Check(name="doc-health"),
        home=Home(folder / "home"),
        root=pages,
        since=None,
        ledger=lambda: connect(folder / "list0.db"),
        environment=dict(os.environ),
        say=print,
    )
    broken = [one.message for one in found.findings if one.rule in ("broken-link", "broken-anchor")]
    if problem is not None or broken:
        raise AssertionError(problem or broken[0])


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
