"""Shoal's figures of the loads that the peers run: threads at one ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench import workloads
from bench.peers.harness import BULK, SAMPLES, Sizes
from shoal import Ledger, connect

# What a peer's figure is compared by: the load, how many workers, how many jobs wait.
Figures = dict[tuple[str, int, int], workloads.Measured]


def measure(place: Callable[[str], str | Path], sizes: Sizes) -> Figures:
    """Every load once, each on a ledger of its own."""
    found: Figures = {}

    def run(
        key: tuple[str, int, int],
        load: Callable[[Ledger], Callable[[int], int]],
        *,
        callers: int | None = None,
        backlog: int = 0,
        samples: int | None = None,
    ) -> None:
        where = place("_".join(map(str, key)))
        with connect(where, actor="bench") as ledger:
            if backlog:
                workloads.fill(ledger, backlog)
                workloads.settle(ledger)
            operation = load(ledger) if samples is None else _limited(load(ledger), samples)
            found[key] = workloads.run(operation, callers=callers or key[1], seconds=sizes.seconds)

    def batched(ledger: Ledger) -> Callable[[int], int]:
        return workloads.claim_and_complete(ledger, batch=100)

    for callers in (1, 16):
        run(("enqueue", callers, 0), workloads.create)
    run(("bulk", 1, 0), _create_many)
    for workers in (1, 4, 8):
        run(("drain", workers, 0), workloads.claim_and_complete, backlog=sizes.drain)
    run(("batched", 0, 0), batched, callers=4, backlog=sizes.batched)
    for waiting in (sizes.small, sizes.large):
        run(("latency", 1, waiting), workloads.claim_and_complete, backlog=waiting, samples=SAMPLES)
    return found


def _create_many(ledger: Ledger) -> Callable[[int], int]:
    tasks = [{"title": "a task"}] * BULK

    def operation(_: int) -> int:
        return len(ledger.tasks.create_many(tasks=tasks))

    return operation


def _limited(operation: Callable[[int], int], times: int) -> Callable[[int], int]:
    left = iter(range(times))

    def call(caller: int) -> int:
        return 0 if next(left, None) is None else operation(caller)

    return call
