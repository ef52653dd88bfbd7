"""Findings from outside: submitted, listed, resolved and opened again."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import NotFound, Refused
from tests.conftest import FakeClock
from tests.rows import execute


def test_audits_are_items_with_a_resolution(ledger: Ledger, clock: FakeClock) -> None:
    first = ledger.audits.submit(type="security", message="open port", severity="critical", file="a.py")
    assert (first.item_id, first.check_name, first.origin, first.severity) == (
        "W1",
        "audit:security",
        "check",
        "critical",
    )
    clock.advance(10)
    again = ledger.audits.submit(type="security", message="Open port", severity="warning", file="a.py")
    assert (again.id, again.severity, again.last_seen_at) == (1, "warning", clock.now)
    ledger.audits.submit(type="style", message="long names")
    assert [one.id for one in ledger.audits.list(type="security")] == [1]
    assert [one.id for one in ledger.audits.list(severity="warning")] == [2, 1]
    assert [one.id for one in ledger.audits.list(since=clock.now)] == [2]
    assert [one.id for one in ledger.audits.list(until=clock.now)] == [1]
    ledger.audits.resolve(1, reason="closed")
    assert [one.id for one in ledger.audits.list(resolution="resolved")] == [1]
    assert [one.id for one in ledger.audits.list(resolution="open")] == [2]
    assert ledger.audits.submit(type="security", message="open port", file="a.py").status == "done"
    assert ledger.audits.reopen(1).status == "new"
    by_hand = ledger.items.create(text="x")
    with pytest.raises(NotFound, match=f"{by_hand.item_id} was found by no audit"):
        ledger.audits.resolve(by_hand.id)


def test_audit_is_not_resolved_while_tasks_are_under_way(ledger: Ledger) -> None:
    ledger.audits.submit(type="security", message="open port")
    ledger.items.accept(1)
    ledger.items.run(1)
    with pytest.raises(Refused, match=r"W1 has tasks under way \(T1\); finish or cancel them first"):
        ledger.audits.resolve(1)
    assert ledger.items.get(1).status == "in_progress"


def test_stale_audit_is_not_open(ledger: Ledger, address: str) -> None:
    ledger.audits.submit(type="security", message="open port")
    execute(address, "UPDATE items SET status = 'stale' WHERE id = 1")
    assert list(ledger.audits.list(resolution="open")) == []
