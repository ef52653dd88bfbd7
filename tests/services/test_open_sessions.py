"""An attempt does not end well while its agent runs: the agent could say itself that its work is done."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import Refused

RUNS = "the agent of T1 still runs, in session 1"


def claimed(ledger: Ledger) -> int:
    ledger.tasks.create(title="x")
    ledger.tasks.claim(worker="w")
    return ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command").id


@pytest.mark.parametrize("verb", ["complete", "submit", "handover", "complete_many"])
def test_agent_cannot_complete_its_own_task(ledger: Ledger, verb: str) -> None:
    session = claimed(ledger)
    if verb == "complete_many":
        [outcome] = ledger.tasks.complete_many(completions=[{"task": 1, "attempt": 1}])
        assert outcome.code == "refused"
        assert RUNS in (outcome.error or "")
    else:
        further = {"worker": "w"} if verb == "handover" else {}
        with pytest.raises(Refused, match=RUNS):
            getattr(ledger.tasks, verb)(1, attempt=1, **further)
    assert ledger.tasks.get(1).status == "active"
    ledger.sessions.end(session, attempt=1, outcome="completed")
    assert ledger.tasks.complete(1, attempt=1).status == "completed"


def test_session_of_an_earlier_attempt_is_in_nobodys_way(ledger: Ledger) -> None:
    claimed(ledger)
    ledger.tasks.release(1, attempt=1)
    ledger.tasks.claim(worker="w2")
    assert ledger.tasks.complete(1, attempt=2).status == "completed"


def test_attempt_whose_agent_runs_can_be_given_up(ledger: Ledger) -> None:
    claimed(ledger)
    assert ledger.tasks.fail(1, attempt=1, error="e").status == "scheduled"
