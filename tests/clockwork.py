"""Servers whose clocks run fast and jump, as processes of their own; what they did is in a file each appends to."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from shoal.daemon import job_runner
from shoal.daemon.built_ins import Context
from shoal.daemon.job_runner import JobRunner
from shoal.daemon.loop import Loop
from shoal.daemon.scheduler import Scheduler
from shoal.ledger.connect import open_ledger
from shoal.model.built_in import OPTIONS
from shoal.settings import Home, Settings


class JumpingClock:
    """So many seconds in one, and now and then set back or forth. It has none of the care of the real one."""

    def __init__(self, start_ms: int, began: float, speed: float) -> None:
        self._start, self._began, self._speed = start_ms, began, speed
        self.offset_ms = 0

    def now_ms(self) -> int:
        passed = time.monotonic() - self._began  # the same in every process of a machine
        return self._start + int(1000 * self._speed * passed) + self.offset_ms


def note(context: Context) -> str:
    """The work of a run: a line that says that it was done."""
    line = f"{context.run.job} {context.run.slot} {context.run.attempt} {context.run.id}\n"
    descriptor = os.open(context.options["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    return line


def serve(address: str, folder: str, start_ms: str, began: str, speed: str, seed: str) -> None:
    """Be a server until killed."""
    chance = random.Random(int(seed))
    clock = JumpingClock(int(start_ms), float(began), float(speed))
    settings = Settings(run_lease_seconds=3, jobs_at_once=4, patience_seconds=10)
    ledger = open_ledger(address, settings=settings, actor="shoal", create=False, clock=clock)
    engine: Any = ledger.engine
    job_runner.BUILT_INS["note"] = note
    OPTIONS["note"] = dict  # type: ignore[assignment]
    runner = JobRunner(engine, Home(Path(folder)))
    scheduler = Scheduler(engine, runner)
    loops = [Loop("scheduler", 1.0, scheduler.tick, scheduler.wait), Loop("runs", 0.4, runner.beat)]
    for loop in loops:
        loop.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    print("ready", flush=True)
    while not ended.wait(chance.uniform(0.2, 1.5)):
        # Minutes and hours either way, and right again.
        clock.offset_ms = chance.choice([0, 0, 30_000, -30_000, 300_000, -300_000, 3_600_000, -3_600_000])
    for loop in loops:
        loop.stop()
    runner.stop(10)
    for loop in loops:
        loop.join(10)
    ledger.close()


if __name__ == "__main__":
    serve(*sys.argv[1:])
