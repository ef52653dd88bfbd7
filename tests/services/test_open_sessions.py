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


SEAL = "a secret of the worker"


@pytest.mark.parametrize("verb", ["complete", "submit", "handover", "complete_many"])
def test_agent_that_ends_its_own_session_cannot_complete_its_task(ledger: Ledger, verb: str) -> None:
    ledger.tasks.create(title="x")
    ledger.tasks.claim(worker="w")
    session = ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command", seal=SEAL).id

    def end_well(**seal: str) -> str | None:
        if verb == "complete_many":
            [outcome] = ledger.tasks.complete_many(completions=[{"task": 1, "attempt": 1, **seal}])
            return None if outcome.status else str(outcome.error)
        further = {"worker": "w"} if verb == "handover" else {}
        try:
            getattr(ledger.tasks, verb)(1, attempt=1, **seal, **further)
        except Refused as error:
            return error.message
        return None

    for guess in ({}, {"seal": "some other secret"}):
        for call in (
            lambda guess=guess: ledger.sessions.end(session, attempt=1, outcome="completed", **guess),
            lambda guess=guess: ledger.tasks.begin_session(
                1, attempt=1, agent="it", kind="command", resumes=session, **guess
            ),
        ):
            with pytest.raises(Refused, match="attempt 1 of T1 is sealed by its worker"):
                call()
    with pytest.raises(Refused, match="sealed"):
        ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command", seal="some other secret")
    assert RUNS in (end_well(seal=SEAL) or "")
    ledger.sessions.end(session, attempt=1, outcome="completed", seal=SEAL)
    assert "sealed" in (end_well() or "")
    assert "sealed" in (end_well(seal="some other secret") or "")
    assert ledger.tasks.get(1).status == "active"
    assert end_well(seal=SEAL) is None
    assert ledger.tasks.get(1).status == ("review" if verb == "submit" else "completed")


def test_next_attempt_seals_a_session_anew(ledger: Ledger) -> None:
    ledger.tasks.create(title="x")
    ledger.tasks.claim(worker="w")
    session = ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command", seal=SEAL).id
    ledger.tasks.release(1, attempt=1)
    ledger.tasks.claim(worker="w2")
    other = "a secret of another worker"
    ledger.tasks.begin_session(1, attempt=2, agent="it", kind="command", resumes=session, seal=other)
    ledger.sessions.end(session, attempt=2, outcome="completed", seal=other)
    assert ledger.tasks.complete(1, attempt=2, seal=other).status == "completed"


def test_agent_may_hold_a_session_of_its_own_beside_that_of_its_worker(ledger: Ledger) -> None:
    ledger.tasks.create(title="x")
    ledger.tasks.claim(worker="w")
    session = ledger.tasks.begin_session(1, attempt=1, agent="it", kind="command", seal=SEAL).id
    own = ledger.tasks.begin_session(1, attempt=1, agent="helper", kind="command").id
    ledger.sessions.end(own, attempt=1, outcome="completed")
    ledger.sessions.end(session, attempt=1, outcome="completed", seal=SEAL)
    assert ledger.tasks.complete(1, attempt=1, seal=SEAL).status == "completed"


def test_session_of_an_earlier_attempt_is_in_nobodys_way(ledger: Ledger) -> None:
    claimed(ledger)
    ledger.tasks.release(1, attempt=1)
    ledger.tasks.claim(worker="w2")
    assert ledger.tasks.complete(1, attempt=2).status == "completed"


def test_attempt_whose_agent_runs_can_be_given_up(ledger: Ledger) -> None:
    claimed(ledger)
    assert ledger.tasks.fail(1, attempt=1, error="e").status == "scheduled"
