"""The loads: threads at one ledger, counted and timed."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from shoal import Ledger

WARM_UP_SHARE = 0.1


@dataclass(frozen=True)
class Measured:
    """Operations in some seconds, and the time that single ones took."""

    per_second: float
    p50_us: float
    p99_us: float


def run(operation: Callable[[int], int], *, callers: int, seconds: float) -> Measured:
    """Call `operation(caller)` from so many threads; it answers how much it did, 0 ends its thread."""
    counts = [0] * callers
    times: list[list[float]] = [[] for _ in range(callers)]
    stopping = threading.Event()

    def call(number: int) -> None:
        while not stopping.is_set():
            began = time.perf_counter()
            did = operation(number)
            if did == 0:
                return
            times[number].append(time.perf_counter() - began)
            counts[number] += did

    gc.collect()
    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    while time.perf_counter() - began < seconds and any(thread.is_alive() for thread in threads):
        time.sleep(0.02)
    stopping.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    every = sorted(one for part in times for one in part) or [0.0]
    return Measured(sum(counts) / elapsed, every[len(every) // 2] * 1e6, every[int(len(every) * 0.99)] * 1e6)


def fill(ledger: Ledger, count: int, **fields: object) -> None:
    """Put so many tasks into the ledger."""
    task = {"title": "a task", **fields}
    for start in range(0, count, 5000):
        ledger.tasks.create_many(tasks=[task] * min(5000, count - start))


def settle(ledger: Ledger) -> None:
    """Let PostgreSQL do its housekeeping now, rather than by itself in the middle of a measurement."""
    if ledger.engine.database.kind == "postgresql":
        with psycopg.connect(ledger.engine.database.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


def create(ledger: Ledger) -> Callable[[int], int]:
    """One durable create per call."""

    def operation(_: int) -> int:
        ledger.tasks.create(title="a task")
        return 1

    return operation


def claim_and_complete(ledger: Ledger, *, batch: int = 1) -> Callable[[int], int]:
    """Claim and complete, one by one or in batches."""

    def operation(caller: int) -> int:
        claims = ledger.tasks.claim(worker=f"w{caller}", limit=batch).claims
        if batch == 1:
            for claim in claims:
                ledger.tasks.complete(claim.task.id, attempt=claim.attempt)
        elif claims:
            ledger.tasks.complete_many(
                completions=[{"task": claim.task.id, "attempt": claim.attempt} for claim in claims]
            )
        return len(claims)

    return operation


def handover(ledger: Ledger) -> Callable[[int], int]:
    """Complete and claim the next in one call."""
    held: dict[int, tuple[int, int]] = {}

    def operation(caller: int) -> int:
        if caller not in held:
            claims = ledger.tasks.claim(worker=f"w{caller}").claims
        else:
            task, attempt = held.pop(caller)
            claims = ledger.tasks.handover(task, attempt=attempt, worker=f"w{caller}").next.claims
        for claim in claims:
            held[caller] = (claim.task.id, claim.attempt)
        return len(claims)

    return operation


def reads(ledger: Ledger) -> Iterator[tuple[str, Callable[[], object]]]:
    """The reads and the claim whose time must not grow with the ledger."""
    ledger.events.watch(agent="reader")
    yield "claim", lambda: ledger.tasks.claim(worker="w")
    yield "ready", lambda: ledger.tasks.ready(limit=20)
    yield "list, first page", lambda: ledger.tasks.list(limit=50)
    yield "list --status blocked", lambda: ledger.tasks.list(status="blocked", limit=50)
    yield "watch", lambda: ledger.events.watch(agent="reader")


def median_us(operation: Callable[[], object], times: int = 200) -> float:
    """How long one call takes, as the median of many."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        operation()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2] * 1e6
