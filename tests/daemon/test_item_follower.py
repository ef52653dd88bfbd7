"""A running server lets items follow their tasks, within a moment."""

from __future__ import annotations

import time

from shoal import Ledger
from tests.conftest import wait_until


def test_item_is_done_a_moment_after_its_task(served: Ledger) -> None:
    served.items.create(text="a", accepted=True)
    served.items.run(1)
    served.tasks.complete(1)
    began = time.monotonic()
    wait_until(lambda: served.items.get(1).status == "done", seconds=10)
    assert time.monotonic() - began < 3
    served.tasks.reopen(1)
    wait_until(lambda: served.items.get(1).status == "in_progress", seconds=10)
    served.tasks.cancel(1)
    wait_until(lambda: served.items.get(1).status == "triaged", seconds=10)
