"""Everything fails at once, and still every task is completed, by an attempt that ran once."""

from __future__ import annotations

import random
import threading
from collections import Counter

from shoal import Ledger
from tests.conftest import wait_until
from tests.kubernetes.api import Api
from tests.kubernetes.conftest import Dispatch, finish

CALLS = [("POST", "jobs"), ("POST", "secrets"), ("PATCH", "jobs"), ("DELETE", "jobs"), ("GET", "jobs"), ("GET", "pods")]
TASKS = 12


def test_nothing_is_lost_or_doubled_whatever_fails(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 10} for n in range(TASKS)])
    ended = threading.Event()

    def trouble() -> None:
        chance = random.Random(7)
        while not ended.wait(chance.uniform(0.2, 0.6)):
            api.lost.append(chance.choice(CALLS))
            if chance.random() < 0.2:
                with api.outage():
                    ended.wait(chance.uniform(0.1, 1.0))

    troubling = threading.Thread(target=trouble)
    troubling.start()
    command, options = ("sh", "-c", "sleep 0.5"), ("-n", "4", "--lease", "8")
    try:
        victim = dispatch(*command, options=options)
        wait_until(lambda: ledger.stats.get().counts["completed"] >= TASKS // 3, seconds=90)
        victim.kill()
        victim.wait()
        finish(dispatch(*command, options=(*options, "--until-empty")), seconds=150)
    finally:
        ended.set()
        troubling.join()

    assert ledger.stats.get().counts["completed"] == TASKS
    begun = Counter(
        (event.task, event.attempt) for event in ledger.events.list(after=0, kind="task.started", limit=1000)
    )
    assert max(begun.values()) == 1, "an attempt begins once"
    assert max(Counter(api.nodes.starts).values()) == 1, "an attempt has one pod"
    assert (api.objects.list("Job"), api.objects.list("Secret")) == ([], [])
    assert api.most_at_once <= 4
