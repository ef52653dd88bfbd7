"""Transcripts: what agents report stands once, whoever reports it, how often, and in whatever order."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal import Ledger
from shoal.errors import BadInput
from shoal.model.session import Finished, Item, Spent, Started, ToolBegun, ToolEnded, preview
from tests import fleet
from tests.conftest import START_MS
from tests.services.reported import bare, batch, begin, kinds, said, session_events, spent

Open = Callable[..., Ledger]


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
