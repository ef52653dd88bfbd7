"""Messages to whoever works on a task: how they get there, once, and that a death loses none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, NotFound, WrongStatus
from shoal.model.session import Recorded, Said, Session, ToolEnded
from tests.services.reported import begin, said

Open = Callable[..., Ledger]


def texts(answer: Recorded) -> list[str]:
    return [told.text for told in answer.told]


def next_attempt(ledger: Ledger, **given: Any) -> Session:
    """Another worker takes T1 over, and begins a session or goes on with one."""
    attempt = ledger.tasks.get(1).attempt
    ledger.tasks.release(1, attempt=attempt)
    ledger.tasks.claim(worker="w2", task=1)
    return ledger.tasks.begin_session(1, attempt=attempt + 1, agent="claude-1", kind="claude", **given)


def test_delivery_says_how_it_gets_there(ledger: Ledger) -> None:
    ledger.tasks.create(title="waits")
    assert ledger.tasks.tell(1, text="first").delivery == "next_episode"
    ledger.tasks.claim(worker="w")
    assert ledger.tasks.tell("T1", text="nobody speaks yet").delivery == "next_episode"
    deaf = begin(ledger)
    assert ledger.tasks.tell(2, text="later").delivery == "next_turn"
    ledger.sessions.end(deaf.id, attempt=1, outcome="completed")
    assert ledger.tasks.tell(2, text="between").delivery == "next_episode"
    begin(ledger, takes_messages=True)
    told = ledger.tasks.tell(3, text="now")
    assert (told.delivery, told.actor, told.task_id, told.delivered_at) == ("live", "ana", "T3", None)
    event = ledger.events.list(task=3, limit=1)[0]
    assert (event.kind, event.attempt) == ("task.told", 1)
    assert event.data == {"told": told.id, "text": "now", "delivery": "live", "session": 2, "agent": "claude-1"}


def test_agent_that_repeats_what_it_was_told_says_nothing_new(ledger: Ledger) -> None:
    session = begin(ledger, takes_messages=True)
    ledger.tasks.tell(1, text="use v2\nplease ")
    ledger.sessions.record(session.id, attempt=1)
    repeated = [Said("u1", "user", " ana says: use v2\nplease"), Said("u2", "user", "bob says: use v3")]
    ledger.sessions.record(session.id, attempt=1, items=repeated)
    lines = [line.text for line in ledger.sessions.transcript(session.id)]
    assert lines == ["ana: use v2\nplease ", "bob says: use v3"]
    said = [event.data["text"] for event in ledger.events.list(task=1) if event.kind == "session.said"]
    assert said == ["bob says: use v3"]


def test_finished_task_cannot_be_told(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.cancel(1)
    with pytest.raises(WrongStatus, match="T1 is cancelled, nobody works on it; `shoal reopen T1`"):
        ledger.tasks.tell(1, text="hello")
    with pytest.raises(NotFound):
        ledger.tasks.tell(9, text="hello")
    for text in ("", "x" * 4001, "\x00"):
        with pytest.raises(BadInput, match="text"):
            ledger.tasks.tell(1, text=text)


def test_message_comes_to_one_report_and_stands_in_the_transcript(ledger: Ledger) -> None:
    session = begin(ledger, takes_messages=True)
    for text in ("one", "two"):
        ledger.tasks.tell(1, text=text)
    answer = ledger.sessions.record(session.id, attempt=1)
    assert texts(answer) == ["one", "two"]
    assert answer.told[0].delivered_at is not None
    assert ledger.sessions.record(session.id, attempt=1).told == []
    assert [(line.role, line.text) for line in ledger.sessions.transcript(session.id)] == [
        ("user", "ana: one"),
        ("user", "ana: two"),
    ]
    heard = ledger.events.list(after=0, task=1, kind="task.heard")
    assert [(event.attempt, event.data["text"]) for event in heard] == [(1, "one"), (1, "two")]


def test_message_that_is_passed_on_now_stands_in_the_prompt_once(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.tasks.tell(1, text="use v1")
    ledger.sessions.record(session.id, attempt=1, heard=0)
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    ledger.tasks.tell(1, text="use v2")
    again = ledger.tasks.begin_session(1, attempt=1, agent="claude-1", kind="claude", resumes=session.id)
    told = ledger.sessions.record(again.id, attempt=1, heard=1).told
    prompt = ledger.tasks.prompt(1, way="continuation", session=again.id, told=told)
    assert texts(Recorded(told)) == ["use v2"]
    assert "ana: use v1" in prompt.conversation
    assert "use v2" not in prompt.conversation
    assert prompt.latest.count("use v2") == 1


def test_message_is_handed_out_once_by_reports_at_once(open_at: Open) -> None:
    ledgers = [open_at(), open_at()]
    session = begin(ledgers[0], takes_messages=True)
    for round in range(5):
        ledgers[0].tasks.tell(1, text=f"message {round}")
        barrier = threading.Barrier(6)

        def report(number: int, barrier: threading.Barrier = barrier) -> list[str]:
            barrier.wait()
            return texts(ledgers[number % 2].sessions.record(session.id, attempt=1, items=[said(f"{number}")]))

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(report, range(6)))
        assert [text for answer in answers for text in answer] == [f"message {round}"]


def test_messages_told_beside_reports_all_arrive_once_and_in_order(open_at: Open) -> None:
    ledgers = [open_at(), open_at()]
    session = begin(ledgers[0], takes_messages=True)
    arrived: list[str] = []
    ended = threading.Event()

    def tell() -> None:
        for number in range(40):
            ledgers[1].tasks.tell(1, text=str(number))
        ended.set()

    teller = threading.Thread(target=tell)
    teller.start()
    while not ended.is_set():
        arrived += texts(ledgers[0].sessions.record(session.id, attempt=1))
    teller.join()
    arrived += texts(ledgers[0].sessions.record(session.id, attempt=1))
    assert arrived == [str(number) for number in range(40)]


def test_message_of_a_dead_attempt_comes_to_the_next(ledger: Ledger) -> None:
    session = begin(ledger, takes_messages=True)
    ledger.tasks.tell(1, text="use v2")
    assert texts(ledger.sessions.record(session.id, attempt=1)) == ["use v2"]
    again = next_attempt(ledger)
    assert texts(ledger.sessions.record(again.id, attempt=2)) == ["use v2"]
    assert ledger.sessions.record(again.id, attempt=2).told == []


def test_message_is_not_repeated_after_the_agent_went_on(ledger: Ledger) -> None:
    session = begin(ledger, takes_messages=True)
    ledger.tasks.tell(1, text="use v2")
    ledger.sessions.record(session.id, attempt=1, items=[said("before")])
    ledger.sessions.record(session.id, attempt=1, items=[said("before"), ToolEnded("t1")])  # nothing of its own
    first = next_attempt(ledger)
    assert texts(ledger.sessions.record(first.id, attempt=2)) == ["use v2"]
    ledger.sessions.record(first.id, attempt=2, items=[said("v2 then")])
    ended = ledger.sessions.end(first.id, attempt=2, outcome="failed")
    assert ended.outcome == "failed"
    other = next_attempt(ledger, takes_messages=True)
    # The agent of attempt 2 hears nothing while it runs: what it said was no answer to the message.
    assert texts(ledger.sessions.record(other.id, attempt=3)) == ["use v2"]
    ledger.sessions.record(other.id, attempt=3, items=[said("v2 it is")])
    last = next_attempt(ledger)
    assert ledger.sessions.record(last.id, attempt=4).told == []


def test_message_for_the_next_turn_is_heard_when_that_has_begun(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.tasks.tell(1, text="use v2")
    assert texts(ledger.sessions.record(session.id, attempt=1)) == ["use v2"]
    ledger.sessions.record(session.id, attempt=1, items=[said("m1", "of the first episode")])
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    ledger.tasks.begin_session(1, attempt=1, agent="claude-1", kind="claude", resumes=session.id)
    assert ledger.sessions.record(session.id, attempt=1, items=[said("m2", "v2 it is")]).told == []
    again = next_attempt(ledger, resumes=session.id)
    assert ledger.sessions.record(again.id, attempt=2).told == []


def test_worker_that_says_what_was_heard_loses_no_answer(ledger: Ledger) -> None:
    session = begin(ledger, takes_messages=True)
    first = ledger.tasks.tell(1, text="one")
    assert texts(ledger.sessions.record(session.id, attempt=1, heard=0)) == ["one"]
    ledger.tasks.tell(1, text="two")
    # The answer got lost; what the agent says meanwhile proves nothing.
    assert texts(ledger.sessions.record(session.id, attempt=1, heard=0, items=[said("m")])) == ["one", "two"]
    assert texts(ledger.sessions.record(session.id, attempt=1, heard=first.id)) == ["two"]
    again = next_attempt(ledger)
    assert texts(ledger.sessions.record(again.id, attempt=2, heard=0)) == ["two"]
    assert len(ledger.events.list(after=0, task=1, kind="task.heard")) == 3


def test_message_told_between_attempts_comes_to_whoever_is_next(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.end(session.id, attempt=1, outcome="failed")
    ledger.tasks.fail(1, attempt=1, error="odd", retry_after_seconds=0)
    ledger.tasks.tell(1, text="try the other door")
    ledger.tasks.claim(worker="w2", task=1)
    resumed = ledger.tasks.begin_session(1, attempt=2, agent="claude-1", kind="claude", resumes=session.id)
    assert texts(ledger.sessions.record(resumed.id, attempt=2)) == ["try the other door"]


def test_ended_session_is_handed_nothing(ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    ledger.tasks.tell(1, text="wait")
    assert ledger.sessions.record(session.id, attempt=1, items=[said("late")]).told == []
    again = ledger.tasks.begin_session(1, attempt=1, agent="claude-1", kind="claude", resumes=session.id)
    assert texts(ledger.sessions.record(again.id, attempt=1)) == ["wait"]
