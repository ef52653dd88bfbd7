"""Loads on the vault: content written, files synced, notes searched."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.workloads import fill, median_us
from shoal import Ledger
from shoal.daemon.vault_sync import VaultSync
from shoal.ledger.connect import open_home
from shoal.model.search import Document, DocumentKind
from shoal.services import search
from shoal.settings import Home

FILES, CHANGED, NOTES, BODIES = 10_000, 100, 100_000, 5_000


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """A ledger with a vault."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        open_home(Home(Path(name)), actor="bench", create=True) as ledger,
    ):
        yield ledger


def create_with_body(ledger: Ledger) -> Callable[[int], int]:
    """A task with two kilobytes of text, acknowledged when it is on the disk."""
    body = "A line of text for people.\n" * 76

    def operation(_: int) -> int:
        ledger.tasks.create(title="a task", body=body)
        return 1

    return operation


def into_files(ledger: Ledger) -> float:
    """How many bodies a second get all the way into their files."""
    engine: Any = ledger.engine
    engine.settler.settle()
    began = time.perf_counter()
    ledger.tasks.create_many(tasks=[{"title": "a task", "body": "A line of text for people.\n" * 76}] * BODIES)
    engine.settler.settle()
    return BODIES / (time.perf_counter() - began)


def syncs(ledger: Ledger) -> Iterator[tuple[str, float, float]]:
    """What a sync takes, in seconds, and what it may take."""
    engine: Any = ledger.engine
    sync = VaultSync(engine)

    def timed() -> float:
        began = time.perf_counter()
        sync.run()
        return time.perf_counter() - began

    yield "sync, all files new", timed(), 20.0
    yield "sync, nothing changed", min(timed() for _ in range(5)), 0.05
    best = 9e9
    for start in range(1, 4):
        for number in range(CHANGED):
            ledger.tasks.update(start + 50 * number, priority=start % 2)
        best = min(best, timed())
    yield "sync, 100 tasks changed", best, 1.0
    for path in (engine.settler.root / "010-tasks" / "active").glob("*.md"):
        path.write_text(path.read_text().replace("type: swe", "type: other"))
    ledger.sync.trigger(everything=True)
    yield "sync, all files rewritten", timed(), 20.0


def searches(ledger: Ledger) -> Iterator[tuple[str, float]]:
    """What a search among many notes takes, in milliseconds."""
    chance = random.Random(1)
    words = [f"word{number}" for number in range(5000)]
    fill(ledger, NOTES)
    for start in range(1, NOTES + 1, 1000):
        documents = [
            Document(
                task=number,
                kind=DocumentKind.NOTE,
                agent="bench",
                text=f"always here n{number} " + " ".join(chance.choices(words, k=95)),
            )
            for number in range(start, start + 1000)
        ]
        ledger.engine.write(lambda tx, documents=documents: search.put(tx, documents))  # type: ignore[attr-defined]
    for what, text in (
        ("a word of all", "always"),
        ("a word of one", "n77777"),
        ("two words", "word1 word2"),
        ("a phrase", '"always here"'),
    ):
        yield what, median_us(lambda text=text: ledger.tasks.search(text=text), times=50) / 1000
