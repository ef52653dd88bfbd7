"""What the tests of supervision are made of: tasks whose worker is gone, an executor that says what it is told."""

from __future__ import annotations

from typing import Any

from shoal import Ledger
from shoal.model.task import Task
from shoal.services import leases
from tests.conftest import FakeClock

WEB = "acme/web"
MINUTE, DAY = 60, 86_400


class Jobs:
    """An executor that says what the test wants."""

    def __init__(self, **states: bool | None) -> None:
        self.states = states
        self.asked: list[tuple[str, int]] = []

    def gone(self, task: Task, attempt: int) -> bool | None:
        self.asked.append((task.task_id, attempt))
        return self.states.get(task.task_id, False)


def orphan(ledger: Ledger, clock: FakeClock, **given: Any) -> Task:
    task = ledger.tasks.create(**{"title": "Build it", "repos": [WEB]} | given)
    ledger.tasks.claim(worker="w1", lease_seconds=60)
    clock.advance(61)
    return task


def reap(ledger: Ledger) -> int:
    return int(ledger.engine.write(leases.make_ready))  # type: ignore[attr-defined]
