"""What is told of success criteria."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger
from shoal.errors import LeaseLost


def test_checked_criteria_are_told_of(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    ledger.tasks.verified(1, attempt=1, failed=["tests pass: exit 1"], manual=["looks right"])
    event = ledger.events.list(after=0, task=1)[-1]
    assert (event.kind, event.attempt) == ("task.verified", 1)
    assert event.data == {"failed": ["tests pass: exit 1"], "manual": ["looks right"]}
    assert ledger.tasks.get(1).status == "active"
    with pytest.raises(LeaseLost):
        ledger.tasks.verified(1, attempt=2, failed=[])
