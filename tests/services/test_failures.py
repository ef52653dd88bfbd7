"""What follows when an attempt ends badly: the same, whoever says so."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from shoal import Ledger
from shoal.services import leases, orphans
from shoal.services.orphans import Rescue
from tests.conftest import FakeClock


def test_attempts_lost_together_end_as_those_lost_one_by_one(ledger: Ledger, clock: FakeClock) -> None:
    for attempts in (9, 2, 9, 2):
        task = ledger.tasks.create(title="a", max_attempts=attempts, labels=["gpu"]).id
        ledger.tasks.claim(worker="w1", task=task)
        ledger.tasks.fail(task, attempt=1, error="no", retry_after_seconds=0)
        ledger.tasks.claim(worker="w1", task=task)
        ledger.tasks.release(task, attempt=2)
    ledger.tasks.claim(worker="w1", limit=4, lease_seconds=60)
    clock.advance(61)
    engine: Any = ledger.engine
    for task in (1, 2):
        engine.write(partial(orphans.rescue, task=task, attempt=3, gone=False, left=Rescue()))
    assert len(engine.write(leases.expire)) == 2

    again, failed, *together = (known(ledger, task) for task in (1, 2, 3, 4))
    assert together == [again, failed]
    assert (again["status"], again["failures"], again["releases"], again["worker"]) == ("queued", 2, 0, None)
    assert (failed["status"], failed["failures"], failed["completed_at"]) == ("failed", 2, clock.now)
    assert [claim.task.id for claim in ledger.tasks.claim(worker="w2", label="gpu", limit=4).claims] == [1, 3]


def known(ledger: Ledger, task: int) -> dict[str, Any]:
    """All of a task but its name, and what was told of its end."""
    event = ledger.events.list(task=task)[0]
    facts = msgspec.structs.asdict(ledger.tasks.get(task))
    return facts | {"id": 0, "task_id": "", "event": (event.kind, event.attempt, event.data["error"])}
