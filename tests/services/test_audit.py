"""The audit of tokens: every line, paged, and forgotten in time."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Forbidden, NotFound
from shoal.services import audit
from tests.conftest import FakeClock
from tests.services.broker import at_work, audited


def test_line_says_who_what_and_until_when(broker: Ledger) -> None:
    claim = at_work(broker)
    given = broker.acting_as("claude-1").tasks.token("T1", key=claim.key)
    line = broker.grants.audit(task="T1", action="issued")[0]
    assert (line.task, line.attempt, line.actor, line.repositories) == (1, 1, "claude-1", ["acme/web"])
    assert (line.permissions, line.expires_at, line.reason) == (given.permissions, given.expires_at, None)


def test_refusal_of_a_task_that_is_none_is_found_by_what_it_was_called(broker: Ledger) -> None:
    for name in ("no-such", "x" * 300, "tab\tin it"):
        with pytest.raises(NotFound):
            broker.tasks.token(name, key="k")
        assert [line.action for line in broker.grants.audit(task=name)] == ["refused"]
    assert broker.grants.audit(task="never asked for") == []
    with pytest.raises((NotFound, BadInput)):
        broker.tasks.token("a\x00b", key="k")
    assert broker.grants.audit(task="ab")[0].reference == "ab"


def test_pages_by_task_action_and_time(broker: Ledger, clock: FakeClock) -> None:
    claim, other = at_work(broker), at_work(broker)
    for _ in range(5):
        with pytest.raises(Forbidden):
            broker.tasks.token(1, key=other.key)
        clock.advance(1)
    broker.tasks.token(1, key=claim.key)
    broker.tasks.token(2, key=other.key)
    assert audited(broker, task=1) == [*["refused"] * 5, "registered", "issued"]
    assert audited(broker, action="issued") == ["issued", "issued"]
    assert len(audited(broker, since=clock.now - 1000)) == 5
    first = broker.grants.audit(task=1, limit=4)
    second = broker.grants.audit(task=1, limit=4, cursor=first.next)
    assert [line.id for line in [*first, *second]] == sorted((line.id for line in [*first, *second]), reverse=True)
    assert (len(second), second.next) == (3, None)
    page = broker.grants.list(limit=1)
    assert [one.task for one in [*page, *broker.grants.list(limit=1, cursor=page.next)]] == [2, 1]
    with pytest.raises(BadInput):
        broker.grants.audit(action="stolen")


def test_only_living_tokens_are_listed(broker: Ledger, clock: FakeClock) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    assert len(broker.grants.list(alive=True)) == 1
    clock.advance(3601)
    assert broker.grants.list(alive=True) == []
    assert len(broker.grants.list(task=1)) == 1


def test_old_lines_are_forgotten(broker: Ledger, clock: FakeClock) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    clock.advance(365 * 86_400)
    assert broker.engine.write(audit.prune) == 0  # type: ignore[attr-defined]
    clock.advance(1)
    assert broker.engine.write(audit.prune) == 3  # type: ignore[attr-defined]
    assert (audited(broker), broker.grants.list()) == ([], [])
