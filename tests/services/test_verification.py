"""What is told of success criteria."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger
from shoal.errors import LeaseLost, Refused
from shoal.model.session import Branch


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


def test_agent_does_not_vouch_for_itself(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    seal = "what only the worker knows"
    session = ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command", seal=seal).id
    ledger.sessions.end(session, attempt=1, outcome="completed", seal=seal)
    for guess in ({}, {"seal": "some other secret"}):
        with pytest.raises(Refused, match="attempt 1 of T1 is sealed by its worker"):
            ledger.tasks.verified(1, attempt=1, failed=[], **guess)
    assert "task.verified" not in events_of(1)
    ledger.tasks.verified(1, attempt=1, failed=[], seal=seal)
    assert events_of(1)[-1] == "task.verified"


def test_agent_does_not_say_which_commit_was_verified(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    branch = Branch(repository="acme/web", branch="shoal/T1", base="0" * 40, head="e" * 40)
    ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command", seal="what only the worker knows")
    with pytest.raises(Refused, match="sealed"):
        ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command", branches=[branch])
    own = ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command").id
    with pytest.raises(Refused, match="sealed"):
        ledger.sessions.end(own, attempt=1, outcome="completed", branches=[branch])
    assert ledger.sessions.end(own, attempt=1, outcome="completed").branches == []
