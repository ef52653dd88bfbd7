"""huey on SQLite, durable: so many processes at one file, as its consumers are."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import SAMPLES, Teller, arguments
from huey import SqliteHuey

FORK = multiprocessing.get_context("fork")


def queue(path: str) -> tuple[SqliteHuey, Any]:
    """A connection of its own for each process."""
    huey = SqliteHuey("bench", filename=path, fsync=True, timeout=30)

    @huey.task()
    def work() -> None:
        pass

    return huey, work


def enqueue(path: str) -> Callable[[], int]:
    _, work = queue(path)

    def operation() -> int:
        work()
        return 1

    return operation


def drain(path: str) -> Callable[[], int]:
    huey, _ = queue(path)

    def operation() -> int:
        task = huey.dequeue()
        if task is None:
            return 0
        huey.execute(task)
        return 1

    return operation


def child(
    make: Callable[[str], Callable[[], int]], path: str, seconds: float, samples: int | None, start, told
) -> None:
    operation = make(path)
    times: list[float] = []
    start.wait()
    first = time.perf_counter()
    while (began := time.perf_counter()) < first + seconds and (samples is None or len(times) < samples):
        if not operation():
            break
        times.append(time.perf_counter() - began)
    told.put((first, time.perf_counter(), times))


def processes(make, path: str, workers: int, seconds: float, samples: int | None = None):
    """Each process loops by itself; all begin together."""
    start, told = FORK.Barrier(workers), FORK.SimpleQueue()
    running = [FORK.Process(target=child, args=(make, path, seconds, samples, start, told)) for _ in range(workers)]
    for process in running:
        process.start()
    parts = [told.get() for _ in running]
    for process in running:
        process.join()
    times = [one for _, _, part in parts for one in part]
    return len(times), max(part[1] for part in parts) - min(part[0] for part in parts), times


def fill(path: str, count: int) -> None:
    """Empty the queue, put one job by its own call and multiply the row."""
    huey, work = queue(path)
    huey.storage.flush_queue()
    work()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO task (queue, data, priority) SELECT queue, data, priority FROM task, n",
            (count,),
        )
    connection.close()


def main() -> None:
    folder, sizes = arguments()
    path = str(Path(folder) / "huey.db")
    teller = Teller("huey", version("huey"))
    huey, _ = queue(path)
    [(synchronous,)] = huey.storage.conn.execute("PRAGMA synchronous").fetchall()
    assert synchronous == 2, "not durable"
    huey.storage.close()
    for callers in (1, 16):
        teller.tell("enqueue", callers, processes(enqueue, path, callers, sizes.seconds))
    teller.none("bulk", "has none")
    for workers in (1, 4, 8):
        fill(path, sizes.drain)
        teller.tell("drain", workers, processes(drain, path, workers, sizes.seconds))
    teller.none("batched", "has none")
    for backlog in (sizes.small, sizes.large):
        fill(path, backlog)
        teller.tell("latency", 1, processes(drain, path, 1, sizes.seconds, SAMPLES), backlog=backlog)


main()
