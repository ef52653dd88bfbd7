"""Sessions of agents: run by run, their limits, who may write. What is reported of them: test_transcripts.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import BadInput, LeaseLost, NotFound, Refused
from shoal.model.cost import Usage
from shoal.model.session import Finished, Outcome, Spent
from tests.conftest import FakeClock
from tests.services.reported import batch, begin, kinds, session_events, spent


def test_session_is_told_whole(ledger: Ledger, clock: FakeClock) -> None:
    session = begin(ledger, model="opus", max_usd_micros=500_000, workspace="/w/T1.1", log="/l/T1.1.log")
    assert (session.task_id, session.attempt, session.episodes, session.outcome) == ("T1", 1, 1, None)
    assert (session.started_at, session.max_usd_micros, session.takes_messages) == (clock.now, 500_000, False)
    branch = {"repository": "o/r", "branch": "shoal/T1", "base": "a", "head": "b", "commits": 2, "pushed": True}
    ended = ledger.sessions.end(session.id, attempt=1, outcome="completed", turns=3, branches=[branch])
    assert (ended.outcome, ended.turns, ended.ended_at) == ("completed", 3, clock.now)
    assert ended.branches[0].commits == 2
    assert ledger.sessions.get(session.id) == ended
    assert ledger.tasks.sessions("T1") == [ended]
    assert [(event.kind, event.data["session"], event.data["episode"]) for event in session_events(ledger, 1)] == [
        ("session.started", 1, 1),
        ("session.ended", 1, 1),
    ]


def test_stale_attempt_writes_nothing(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.tasks.release(1, attempt=1)
    ledger.tasks.claim(worker="w2", task=1)
    before = ledger.events.list(after=0)
    for write in (
        lambda: ledger.sessions.record(session.id, attempt=1, items=batch(), malformed=1),
        lambda: ledger.sessions.end(session.id, attempt=1, outcome="completed"),
        lambda: ledger.tasks.begin_session(1, attempt=1, agent="a", kind="claude"),
    ):
        with pytest.raises(LeaseLost, match="T1 is held by w2 in attempt 2, not 1"):
            write()
    with pytest.raises(Refused, match="session 1 is of attempt 1; attempt 2 begins one of its own"):
        ledger.sessions.record(session.id, attempt=2, items=batch())
    assert ledger.events.list(after=0) == before
    assert ledger.sessions.transcript(session.id) == []
    assert ledger.sessions.get(session.id).malformed == 0


def test_session_whose_attempt_lost_the_task_is_lost(ledger: Ledger, clock: FakeClock) -> None:
    session = begin(ledger)
    clock.advance(10_000)
    assert ledger.sessions.get(session.id).outcome is None
    ledger.tasks.claim(worker="w2", task=1)
    ledger.tasks.claim(worker="w2")  # an idle claimer takes back what was lost
    assert ledger.tasks.get(1).attempt == 2
    assert ledger.sessions.get(session.id).outcome == "lost"
    assert ledger.tasks.sessions(1)[0].outcome == "lost"
    resumed = ledger.tasks.begin_session(1, attempt=2, agent="claude-2", kind="claude", resumes=session.id)
    assert (resumed.id, resumed.outcome, resumed.episodes, resumed.attempt) == (session.id, None, 2, 2)
    assert (resumed.agent, resumed.provider) == ("claude-2", "anthropic")


def test_unknown_session_is_said_so(ledger: Ledger) -> None:
    begin(ledger)
    for ask in (ledger.sessions.get, ledger.sessions.transcript):
        with pytest.raises(NotFound, match="there is no session 9"):
            ask(9)
    with pytest.raises(NotFound):
        ledger.sessions.record(9, attempt=1)
    with pytest.raises(BadInput, match="no line 77"):
        ledger.sessions.transcript(1, after=77)


def test_session_of_another_task_or_agent_cannot_be_resumed(ledger: Ledger) -> None:
    first, second = begin(ledger), begin(ledger)
    with pytest.raises(BadInput, match=f"session {first.id} is about T1, not T2"):
        ledger.tasks.begin_session(2, attempt=1, agent="a", kind="claude", resumes=first.id)
    with pytest.raises(BadInput, match="codex cannot go on with it"):
        ledger.tasks.begin_session(2, attempt=1, agent="a", kind="codex", resumes=second.id)


def test_turns_add_up_over_runs_and_end_is_said_once(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.record(session.id, attempt=1, items=[Finished(ok=False, error="odd", turns=3)])
    for _ in range(2):
        ended = ledger.sessions.end(session.id, attempt=1, outcome=Outcome.FAILED, turns=3)
    assert (ended.turns, ended.error, ended.outcome) == (3, "odd", "failed")
    again = ledger.tasks.begin_session(1, attempt=1, agent="claude-1", kind="claude", resumes=session.id)
    assert (again.turns, again.error, again.ended_at) == (3, None, None)
    for _ in range(2):
        ledger.sessions.record(session.id, attempt=1, items=[Finished(ok=True, turns=2)])
    assert ledger.sessions.end(session.id, attempt=1, outcome="completed").turns == 5
    assert kinds(ledger, 1)["session.ended"] == 2


@pytest.mark.parametrize(
    ("limits", "stop"),
    [
        ({"max_usd_micros": 500_000}, "max_usd 0.50 is exceeded: 0.61 spent"),
        ({"max_usd_micros": 609_999}, "max_usd 0.609999 is exceeded: 0.61 spent"),
        ({"max_usd_micros": 610_000}, None),
        ({"max_tokens": 1}, "max_tokens 1 is exceeded: 300 used"),
        ({"max_turns": 1}, "max_turns 1 is exceeded: 2 taken"),
        ({"max_turns": 2, "max_tokens": 300}, None),
        (
            {"max_turns": 1, "max_usd_micros": 0},
            "max_usd 0.00 is exceeded: 0.61 spent; max_turns 1 is exceeded: 2 taken",
        ),
        ({}, None),
    ],
)
def test_run_over_a_limit_is_told_to_stop_until_it_does(
    ledger: Ledger, limits: dict[str, int], stop: str | None
) -> None:
    session = begin(ledger, **limits)
    assert ledger.sessions.record(session.id, attempt=1).stop is None
    usage = Usage(
        request_key="r1", provider="p", model="m", output_tokens=50, cache_read_tokens=30, cost_usd_micros=600_000
    )
    answer = ledger.sessions.record(session.id, attempt=1, items=[Spent(usage), spent("r2", 220)])
    assert answer.stop == stop
    assert ledger.sessions.record(session.id, attempt=1).stop == stop
    assert ledger.sessions.get(session.id).stop == stop


def test_limits_count_the_session_over_its_attempts(ledger: Ledger) -> None:
    session = begin(ledger, max_usd_micros=15_000)
    assert ledger.sessions.record(session.id, attempt=1, items=[spent("r1")]).stop is None
    ledger.sessions.end(session.id, attempt=1, outcome="failed")
    ledger.tasks.release(1, attempt=1)
    ledger.tasks.claim(worker="w2", task=1)
    ledger.tasks.begin_session(1, attempt=2, agent="claude-1", kind="claude", resumes=session.id)
    assert ledger.sessions.record(session.id, attempt=2, items=[spent("r2")]).stop
    raised = ledger.tasks.begin_session(
        1, attempt=2, agent="claude-1", kind="claude", resumes=session.id, max_usd_micros=30_000
    )
    assert raised.stop is None
    assert ledger.sessions.record(session.id, attempt=2).stop is None


def test_worker_that_goes_on_over_a_limit_loses_the_task_at_a_beat(ledger: Ledger, clock: FakeClock) -> None:
    session = begin(ledger, max_tokens=99)
    other = begin(ledger)
    assert ledger.sessions.record(session.id, attempt=1, items=[spent("r1")]).stop
    mine = {"T1": 1, "T2": 1}
    clock.advance(59)
    assert ledger.tasks.beat(worker="w1", tasks=mine).lost == []  # time to end it in good order
    clock.advance(2)
    beat = ledger.tasks.beat(worker="w1", tasks=mine)
    assert (beat.lost, beat.held) == (["T1"], {"T2": 1})
    task = ledger.tasks.get(1)
    assert (task.status, task.failures) == ("failed", 1)
    assert task.last_error == "max_tokens 99 is exceeded: 100 used in session 1, and its worker went on"
    assert kinds(ledger, 1)["task.failed"] == 1
    assert ledger.sessions.get(session.id).outcome == "lost"
    assert ledger.sessions.get(other.id).outcome is None
    with pytest.raises(LeaseLost):
        ledger.sessions.record(session.id, attempt=1)


def test_worker_that_ends_the_session_in_time_keeps_its_word(ledger: Ledger, clock: FakeClock) -> None:
    session = begin(ledger, max_tokens=99)
    ledger.sessions.record(session.id, attempt=1, items=[spent("r1")])
    ledger.sessions.end(session.id, attempt=1, outcome="over_limit", error="max_tokens")
    clock.advance(100)
    assert ledger.tasks.beat(worker="w1", tasks={"T1": 1}).lost == []
    assert ledger.tasks.fail(1, attempt=1, error="too much", permanent=True).status == "failed"
    assert ledger.sessions.get(session.id).outcome == "over_limit"


def test_what_agents_do_fills_no_inbox(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.record(session.id, attempt=1, items=batch())
    for agent in ("ana", "claude-1"):
        seen = {event.kind for event in ledger.events.watch(agent=agent).events}
        assert "task.claimed" in seen
        assert not any(kind.startswith(("session.", "tool.")) for kind in seen)


def test_sessions_make_no_commit_of_the_vault(ledger: Ledger, tmp_path: Path) -> None:
    session = begin(ledger)
    sync = VaultSync(ledger.engine)  # type: ignore[arg-type]
    assert sync.run().commit is not None
    words = [item for item in batch() if not isinstance(item, Spent)]
    ledger.sessions.record(session.id, attempt=1, items=words)
    ledger.tasks.tell(1, text="hurry")
    ledger.sessions.record(session.id, attempt=1)
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    sync._looked = -1
    assert not sync._is_called_for()
    report = sync.run()
    assert (report.commit, report.tasks, ledger.sync.status().commits) == (None, 0, 1)
    assert report.position == ledger.sync.status().position
    assert ledger.sync.status().pending == 0
