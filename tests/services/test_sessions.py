"""Sessions of agents: what is reported stands once, whoever repeats it; limits; who may write."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal import Ledger
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import BadInput, LeaseLost, NotFound, Refused
from shoal.model.cost import Usage
from shoal.model.session import (
    Finished,
    Item,
    Line,
    Outcome,
    Said,
    Session,
    Spent,
    Started,
    ToolBegun,
    ToolEnded,
    preview,
)
from tests import fleet
from tests.conftest import START_MS, FakeClock

Open = Callable[..., Ledger]


def begin(ledger: Ledger, *, worker: str = "w1", **given: Any) -> Session:
    """A session about a new task, in its first attempt."""
    task = ledger.tasks.create(title="Do it")
    claim = ledger.tasks.claim(worker=worker, agent="claude-1", task=task.id).claims[0]
    terms: dict[str, Any] = {"agent": "claude-1", "kind": "claude", "provider": "anthropic"} | given
    return ledger.tasks.begin_session(task.id, attempt=claim.attempt, **terms)


def said(key: str, text: str = "hello", **given: Any) -> Said:
    return Said(**{"key": key, "role": "assistant", "text": text} | given)


def spent(key: str, tokens: int = 100, micros: int | None = 10_000) -> Spent:
    usage = Usage(request_key=key, provider="anthropic", model="m", input_tokens=tokens, cost_usd_micros=micros)
    return Spent(usage)


def batch() -> list[Item]:
    """What a run of two model calls says."""
    return [
        Started(provider_session="abc", model="opus"),
        said("m1", "I look at it.", at=START_MS + 1),
        ToolBegun("t1", "Bash", '{"command": "make"}', at=START_MS + 2),
        spent("r1"),
        ToolEnded("t1", "ok", at=START_MS + 1502),
        ToolBegun("t2", "Read", "a.py", at=START_MS + 1600),
        ToolEnded("t2", "", error="no such file", duration_ms=7, at=START_MS + 1700),
        said("m2", "Done.", at=START_MS + 1800),
        spent("r2", 50, 5_000),
        Finished(ok=True, text="Done.", turns=2, cost_usd_micros=15_000),
    ]


def kinds(ledger: Ledger, task: int) -> Counter[str]:
    return Counter(event.kind for event in ledger.events.list(after=0, task=task, limit=1000))


def session_events(ledger: Ledger, task: int) -> list[Any]:
    found = ledger.events.list(after=0, task=task, limit=1000)
    return [event for event in found if event.kind.startswith(("session.", "tool."))]


def bare(lines: list[Line]) -> list[Any]:
    return [(line.at, line.role, line.text, line.tool) for line in lines]


def test_session_is_told_whole(ledger: Ledger, clock: FakeClock) -> None:
    session = begin(ledger, model="opus", max_usd_micros=500_000, workspace="/w/T1.1", log="/l/T1.1.log")
    assert (session.task_id, session.attempt, session.runs, session.outcome) == ("T1", 1, 1, None)
    assert (session.started_at, session.max_usd_micros, session.takes_messages) == (clock.now, 500_000, False)
    branch = {"repository": "o/r", "branch": "shoal/T1", "base": "a", "head": "b", "commits": 2, "pushed": True}
    ended = ledger.sessions.end(session.id, attempt=1, outcome="completed", turns=3, branches=[branch])
    assert (ended.outcome, ended.turns, ended.ended_at) == ("completed", 3, clock.now)
    assert ended.branches[0].commits == 2
    assert ledger.sessions.get(session.id) == ended
    assert ledger.tasks.sessions("T1") == [ended]
    assert [(event.kind, event.data["session"], event.data["run"]) for event in session_events(ledger, 1)] == [
        ("session.started", 1, 1),
        ("session.ended", 1, 1),
    ]


def test_report_becomes_lines_events_and_costs(ledger: Ledger) -> None:
    session = begin(ledger)
    answer = ledger.sessions.record(session.id, attempt=1, items=batch(), malformed=2)
    assert (answer.told, answer.stop) == ([], None)
    now = ledger.sessions.get(session.id)
    assert (now.provider_session, now.model, now.turns, now.malformed) == ("abc", "opus", 2, 2)
    lines = ledger.sessions.transcript(session.id)
    assert [line.role for line in lines] == ["assistant", "tool", "tool", "assistant"]
    shell, read = lines[1].tool, lines[2].tool
    assert shell is not None
    assert read is not None
    assert (shell.name, shell.result, shell.duration_ms, shell.error) == ("Bash", "ok", 1500, None)
    assert (read.duration_ms, read.error) == (7, "no such file")
    events = session_events(ledger, 1)
    assert [event.kind for event in events] == [
        "session.started",
        "session.said",
        "tool.started",
        "tool.completed",
        "tool.started",
        "tool.failed",
        "session.said",
    ]
    assert events[3].data == {
        "session": 1,
        "line": lines[1].id,
        "tool_call_id": "t1",
        "name": "Bash",
        "result": "ok",
        "duration_ms": 1500,
    }
    assert events[5].data["error"] == "no such file"
    assert {event.actor for event in events[1:]} == {"claude-1"}
    assert kinds(ledger, 1)["cost.recorded"] == 1


def test_same_report_again_changes_nothing(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.record(session.id, attempt=1, items=batch())
    before = ledger.sessions.get(session.id), ledger.sessions.transcript(session.id), ledger.events.list(after=0)
    for part in (batch(), batch()[3:6], batch()[::-1], batch() + batch()):
        ledger.sessions.record(session.id, attempt=1, items=part)
    assert (ledger.sessions.get(session.id), ledger.sessions.transcript(session.id)) == before[:2]
    assert ledger.events.list(after=0) == before[2]


def test_same_report_from_many_threads_at_once_stands_once(open_at: Open) -> None:
    ledgers = [open_at(), open_at()]
    session = begin(ledgers[0])
    barrier = threading.Barrier(8)

    def report(number: int) -> None:
        barrier.wait()
        for part in (batch()[:5], batch(), batch()[4:]):
            ledgers[number % 2].sessions.record(session.id, attempt=1, items=part)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(report, range(8)))
    found = kinds(ledgers[0], 1)
    assert len(ledgers[0].sessions.transcript(session.id)) == 4
    assert {kind: n for kind, n in found.items() if kind.startswith(("session.s", "tool."))} == {
        "session.started": 1,
        "session.said": 2,
        "tool.started": 2,
        "tool.completed": 1,
        "tool.failed": 1,
    }
    over = ledgers[0].tasks.begin_session(
        1, attempt=1, agent="claude-1", kind="claude", resumes=session.id, max_tokens=149
    )
    assert ledgers[0].sessions.record(over.id, attempt=1).stop == "max_tokens 149 is exceeded: 150 used"


def test_same_report_from_processes_at_once_stands_once(address: str, open_at: Open) -> None:
    ledger = open_at()
    session = begin(ledger)
    reporters = [fleet.start("converse", address, str(session.id)) for _ in range(3)]
    for reporter in reporters:
        reporter.communicate(timeout=60)
        assert reporter.returncode == 0
    assert len(ledger.sessions.transcript(session.id, limit=1000)) == 60
    assert kinds(ledger, 1)["session.said"] == 30
    assert (kinds(ledger, 1)["tool.started"], kinds(ledger, 1)["tool.completed"]) == (30, 30)


def test_large_report_takes_few_statements(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.store.postgres import PostgresTransaction
    from shoal.store.sqlite import SQLiteTransaction

    session = begin(ledger)
    asked: list[str] = []
    for transaction in (SQLiteTransaction, PostgresTransaction):
        for name in ("all", "later") if transaction is SQLiteTransaction else ("later",):
            real = getattr(transaction, name)

            def counting(self: Any, query: str, /, real: Any = real, **parameters: Any) -> Any:
                asked.append(query)
                return real(self, query, **parameters)

            monkeypatch.setattr(transaction, name, counting)
    items: list[Item] = []
    for number in range(100):
        items += [said(f"m{number}"), ToolBegun(f"t{number}", "Bash"), ToolEnded(f"t{number}"), spent(f"r{number}")]
    ledger.sessions.record(session.id, attempt=1, items=items)
    assert len(set(asked)) <= 10
    assert len(asked) <= 14  # on SQLite `later` is counted twice: it asks by `all`
    assert len(ledger.sessions.transcript(session.id, limit=1000)) == 200


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
    assert (resumed.id, resumed.outcome, resumed.runs, resumed.attempt) == (session.id, None, 2, 2)
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


def test_previews_are_cut_and_made_storable(ledger: Ledger) -> None:
    session = begin(ledger)
    # A worker in the same process hands over structs, which nobody has measured.
    long: list[Item] = [
        said("m", "ü" * 9000),
        ToolBegun("t", "Bash", "a\x00" * 800),
        ToolEnded("t", "\ud83d" * 900, error="x" * 900),
    ]
    ledger.sessions.record(session.id, attempt=1, items=long)
    message, call = ledger.sessions.transcript(session.id)
    assert message.text == "ü" * 3999 + "…"
    assert call.tool is not None
    assert call.tool.result is not None
    assert call.tool.error is not None
    assert [len(text) for text in (call.tool.arguments, call.tool.result, call.tool.error)] == [500, 500, 500]
    assert call.tool.arguments.startswith("a�a�")
    told = [event.data for event in session_events(ledger, 1)[1:]]
    assert all(len(str(value)) <= 500 for data in told for value in data.values())
    assert preview("short") == "short"
    with pytest.raises(BadInput, match="items"):
        ledger.sessions.record(
            session.id, attempt=1, items=[{"item": "said", "key": "k", "role": "assistant", "text": "x" * 4001}]
        )
    with pytest.raises(BadInput, match="items"):
        ledger.sessions.record(session.id, attempt=1, items=[{"item": "danced"}])


def test_end_of_a_tool_whose_beginning_nobody_saw_makes_a_line(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.record(session.id, attempt=1, items=[ToolEnded("t1", "ok", at=START_MS + 900)])
    [line] = ledger.sessions.transcript(session.id)
    assert line.tool is not None
    assert (line.tool.name, line.tool.result, line.tool.duration_ms) == ("", "ok", None)
    ledger.sessions.record(session.id, attempt=1, items=[ToolBegun("t1", "Bash", "make", at=START_MS + 100)])
    [line] = ledger.sessions.transcript(session.id)
    assert line.tool is not None
    assert (line.at, line.tool.name, line.tool.duration_ms) == (START_MS + 100, "Bash", 800)
    assert [event.kind for event in session_events(ledger, 1)[1:]] == ["tool.completed", "tool.started"]


def test_what_is_read_later_stands_where_it_happened(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.record(session.id, attempt=1, items=[said("a", at=START_MS + 1), said("c", at=START_MS + 9)])
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    ledger.sessions.record(session.id, attempt=1, items=[ToolBegun("b", "Read", at=START_MS + 5)])
    assert [line.at - START_MS for line in ledger.sessions.transcript(session.id)] == [1, 5, 9]


def test_transcript_comes_in_pages(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.record(session.id, attempt=1, items=[said(f"m{n}", str(n)) for n in range(25)])
    texts, page = [], ledger.sessions.transcript(session.id, limit=10)
    while True:
        texts += [line.text for line in page]
        if page.next is None:
            break
        page = ledger.sessions.transcript(session.id, cursor=page.next, limit=10)
    assert texts == [str(n) for n in range(25)]
    behind = ledger.sessions.transcript(session.id, limit=10)[4].id
    assert [line.text for line in ledger.sessions.transcript(session.id, after=behind, limit=2)] == ["5", "6"]


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


@st.composite
def stories(draw: st.DrawFn) -> list[list[Item]]:
    """The items of one session, each some times, in some order, in some reports."""
    items: list[Item] = []
    for number in range(draw(st.integers(1, 6))):
        at = START_MS + 100 * number
        items += [
            said(f"m{number}", f"text {number}", at=at),
            ToolBegun(f"t{number}", "Bash", f"arguments {number}", at=at + 1),
            ToolEnded(f"t{number}", f"result {number}", error="bad" if number % 2 else None, at=at + 50),
            spent(f"r{number}", number, 10 * number),
        ]
    items += [Finished(ok=True, turns=len(items)), Started(provider_session="abc", model="m")]
    told = draw(st.permutations(items + draw(st.lists(st.sampled_from(items), max_size=20))))
    cuts = sorted(draw(st.lists(st.integers(0, len(told)), max_size=5)))
    return [told[a:b] for a, b in zip([0, *cuts], [*cuts, len(told)], strict=True)]


@pytest.mark.timeout(300)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=stories())
def test_any_order_and_repetition_of_items_gives_the_same_session(ledger: Ledger, reports: list[list[Item]]) -> None:
    items = {json.dumps(str(item)): item for report in reports for item in report}.values()
    whole = sorted(items, key=lambda item: (getattr(item, "at", None) or 0, isinstance(item, ToolEnded)))
    straight, mixed = begin(ledger), begin(ledger)

    def renamed(item: Item, session: int) -> Item:
        # Keys of requests are unique in the whole ledger.
        if not isinstance(item, Spent):
            return item
        key = f"{session}-{item.usage.request_key}"
        return spent(key, item.usage.input_tokens, item.usage.cost_usd_micros)

    ledger.sessions.record(straight.id, attempt=1, items=[renamed(item, straight.id) for item in whole])
    for report in reports:
        ledger.sessions.record(mixed.id, attempt=1, items=[renamed(item, mixed.id) for item in report])

    assert bare(ledger.sessions.transcript(mixed.id)) == bare(ledger.sessions.transcript(straight.id))
    told = [session_events(ledger, session.task) for session in (straight, mixed)]
    assert Counter(event.kind for event in told[0]) == Counter(event.kind for event in told[1])
    ends = [ledger.sessions.end(session.id, attempt=1, outcome="completed") for session in (straight, mixed)]
    assert {(end.turns, end.provider_session, end.model) for end in ends} == {(len(whole) - 2, "abc", "m")}
    spoken = [
        [event.data for event in ledger.events.list(after=0, task=session.task, kind="cost.recorded", limit=1000)]
        for session in (straight, mixed)
    ]
    for name in ("calls", "input_tokens", "cost_usd_micros"):
        assert sum(data[name] for data in spoken[0]) == sum(data[name] for data in spoken[1])


def test_prompt_of_ours_is_not_kept_and_what_a_person_says_is(ledger: Ledger) -> None:
    session = begin(ledger)
    prompt = said("p", '<shoal_said by="you">\nearlier\n</shoal_said>\n\n<shoal_task>\n…', role="user")
    items = [prompt, said("u", "look at <shoal_task> once", role="user"), said("a", "<shoal_task> is a tag")]
    ledger.sessions.record(session.id, attempt=1, items=items)
    kept = [(line.role, line.text) for line in ledger.sessions.transcript(session.id)]
    assert kept == [("user", "look at <shoal_task> once"), ("assistant", "<shoal_task> is a tag")]
    assert len(ledger.events.list(task=1, kind="session.said")) == 2
    again = ledger.tasks.prompt(1, way="continuation")
    assert "&lt;shoal_said" not in again.conversation
