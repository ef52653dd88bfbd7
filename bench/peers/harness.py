"""What the programs of the peers share: the same loads, timed in the same way, told as JSON lines. Knows no Shoal."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

BULK = 1000
SAMPLES = 500


@dataclass(frozen=True)
class Sizes:
    """How long each load runs, and how many jobs wait when it begins."""

    seconds: float = 2.0
    drain: int = 10_000
    batched: int = 50_000
    small: int = 1_000
    large: int = 1_000_000


@dataclass
class Tally:
    """Counts what a framework hands to its handler, where the loop is the framework's own."""

    wanted: int
    seconds: float
    times: list[float] = field(default_factory=list)

    def hit(self) -> None:
        self.times.append(time.perf_counter())

    async def enough(self) -> None:
        """Wait until all jobs were handled, or the time is over."""
        asked = time.perf_counter()
        while len(self.times) < self.wanted:
            now = time.perf_counter()
            if self.times and now - self.times[0] > self.seconds:
                return
            if not self.times and now - asked > 30:
                raise TimeoutError("no job was handled in 30 s")
            await asyncio.sleep(0.005)

    def check(self, completed: int) -> None:
        """What was handled must have been completed when the workers are gone."""
        if completed < len(self.times):
            raise AssertionError(f"{len(self.times)} jobs were handled, but only {completed} completed")

    @property
    def result(self) -> tuple[int, float, list[float]]:
        """From the first handled job to the last: starting up is not counted."""
        steps = [after - before for before, after in zip(self.times, self.times[1:], strict=False)]
        return len(steps), sum(steps), steps


@dataclass(frozen=True)
class Teller:
    """Prints the figures of one peer."""

    peer: str
    version: str

    def tell(
        self,
        workload: str,
        workers: int,
        result: tuple[int, float, list[float]],
        *,
        backlog: int = 0,
        notes: str = "",
    ) -> None:
        count, seconds, times = result
        ordered = sorted(times) or [0.0]
        line = {
            "peer": self.peer,
            "version": self.version,
            "workload": workload,
            "workers": workers,
            "backlog": backlog,
            "count": count,
            "seconds": round(seconds, 4),
            "per_second": round(count / seconds, 1) if seconds else None,
            "p50_us": round(ordered[len(ordered) // 2] * 1e6, 1),
            "p99_us": round(ordered[int(len(ordered) * 0.99)] * 1e6, 1),
            "notes": notes,
        }
        print(json.dumps(line), flush=True)

    def none(self, workload: str, why: str) -> None:
        """The peer has no such mode."""
        self.tell(workload, 0, (0, 0.0, []), notes=why)


async def repeat(
    operation: Callable[[int], Awaitable[int]], *, callers: int, seconds: float, samples: int | None = None
) -> tuple[int, float, list[float]]:
    """Await `operation(caller)` from so many tasks; it answers how much it did, 0 ends its task."""
    times: list[float] = []
    count = 0
    deadline = time.perf_counter() + seconds

    async def call(number: int) -> None:
        nonlocal count
        while (began := time.perf_counter()) < deadline and (samples is None or len(times) < samples):
            did = await operation(number)
            if did == 0:
                return
            times.append(time.perf_counter() - began)
            count += did

    began = time.perf_counter()
    await asyncio.gather(*(call(number) for number in range(callers)))
    return count, time.perf_counter() - began, times


def arguments() -> tuple[str, Sizes]:
    """The place of the database and the sizes, as the runner gives them."""
    return sys.argv[1], Sizes(**json.loads(sys.argv[2]))
