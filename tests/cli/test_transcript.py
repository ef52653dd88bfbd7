"""Watching an agent at its work from the terminal, and telling it something."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger, connect
from shoal.model.event import STEPS, Kind
from shoal.model.session import Said, Session, ToolBegun, ToolEnded
from shoal.store.sqlite import QUERIES
from tests.cli.shell import Shell
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell("init")
    return shell


def begin(ledger: Ledger, **given: Any) -> Session:
    task = ledger.tasks.create(title="Do it")
    ledger.tasks.claim(worker="w", agent="claude-1", task=task.id)
    return ledger.tasks.begin_session(task.id, attempt=1, agent="claude-1", kind="claude", model="opus", **given)


def work(ledger: Ledger, session: Session, name: str = "a") -> None:
    items = [
        Said(f"{name}1", "assistant", "I look at the tests, \x1b[31mwhich say\x1b[0m what is wanted and what is not."),
        ToolBegun(f"{name}t1", "Bash", '{"command":\n"make"}', at=1_000),
        ToolEnded(f"{name}t1", "ok", at=3_300),
        ToolBegun(f"{name}t2", "Read", "a.py", at=4_000),
        ToolEnded(f"{name}t2", error="no such file", duration_ms=7),
    ]
    ledger.sessions.record(session.id, attempt=1, items=items)


@pytest.fixture
def ledger(shell: Shell) -> Any:
    with connect(str(shell.home / "ledger.db"), actor="claude-1") as ledger:
        yield ledger


def test_logs_show_the_newest_session(shell: Shell, ledger: Ledger) -> None:
    shell("add", "nobody spoke about it")
    assert shell("logs", "T1") == "T1: no agent has spoken about it yet\n"
    first = begin(ledger)
    work(ledger, first)
    ledger.sessions.end(first.id, attempt=1, outcome="failed", error="odd")
    second = ledger.tasks.begin_session(2, attempt=1, agent="claude-1", kind="claude")
    ledger.sessions.record(second.id, attempt=1, items=[Said("m", "assistant", "again")])

    newest = shell("logs", "T2")
    assert newest.startswith("session 2 · claude-1 (claude) · attempt 1 · runs\n")
    assert newest.splitlines()[1].endswith(" again")
    older = shell("logs", "T2", "--session", "1")
    assert older.splitlines()[:2] == ["session 1 · claude-1 (claude, opus) · attempt 1 · failed", "  error: odd"]
    for part in ('$ Bash {"command": "make"}', "ok · 2.3 s", "failed · 7 ms: no such file", "tests, which say what"):
        assert part in older
    assert "\x1b" not in older
    assert older in shell("logs", "T2", "--all")
    told = shell.json("logs", "T2", "--all")
    assert [(one["session"]["id"], len(one["lines"])) for one in told] == [(1, 3), (2, 1)]
    assert shell("logs", "T2", "--all", "-q") == "1\n2\n"


def test_logs_fit_a_narrow_terminal(shell: Shell, ledger: Ledger) -> None:
    work(ledger, begin(ledger))
    lines = shell("logs", "T1", COLUMNS="40").splitlines()
    assert max(map(len, lines)) <= 40
    assert "  what is wanted and what is not." in lines


def test_logs_refuse_what_cannot_be_meant(shell: Shell, ledger: Ledger) -> None:
    begin(ledger)
    begin(ledger)
    shell("logs", "T2", "--session", "1", code=2)
    assert "session 1 is about T1, not T2" in shell.errors
    shell("logs", "T2", "--session", "9", code=3)
    shell("logs", "T2", "--session", "1", "--all", code=2)
    shell("logs", "T9", code=3)


def test_tell_says_how_it_will_be_delivered(shell: Shell, ledger: Ledger) -> None:
    shell("add", "a")
    assert shell("tell", "T1", "use", "v2") == "T1: no agent runs now, and the next one gets it\n"
    begin(ledger)
    assert "its agent hears nothing while it runs, and gets it as its next turn" in shell("tell", "T2", "use v2")
    begin(ledger, takes_messages=True)
    assert shell("tell", "T3", "--file", "-", stdin="use v2\nplease") == "T3: its agent gets it now\n"
    assert [told.text for told in ledger.sessions.record(2, attempt=1).told] == ["use v2\nplease"]
    assert shell.json("tell", "T3", "more")["delivery"] == "live"
    shell("tell", "T3", code=2)
    shell("cancel", "T3")
    shell("tell", "T3", "too late", code=4)
    assert "T3 is cancelled, nobody works on it" in shell.errors


def follow(shell: Shell, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*SHOAL, "logs", "T1", "--follow", *arguments],
        cwd=shell.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(HOME=str(shell.folder), **settings),
    )


def read_until(process: subprocess.Popen[str], end: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or end not in lines[-1]:
        line = process.stdout.readline()
        assert line, lines
        lines.append(line.rstrip("\n"))
    return lines


@pytest.mark.parametrize("served", [False, True])
def test_logs_follow_until_the_task_is_finished(shell: Shell, ledger: Ledger, served: bool) -> None:
    server = Server(shell.home) if served else None
    try:
        session = begin(ledger, takes_messages=True)
        work(ledger, session)
        ledger.sessions.record(session.id, attempt=1, items=[ToolBegun("open", "Bash", "sleep", at=5_000)])
        follower = follow(shell)
        read_until(follower, "what is wanted")  # what came before is shown, and the position is known
        ledger.sessions.record(session.id, attempt=1, items=[ToolEnded("open", "ok", at=6_500)])
        work(ledger, session)  # known already: it is not shown again
        work(ledger, session, "b")
        shell("tell", "T1", "use v2")
        ledger.sessions.record(session.id, attempt=1)
        ledger.sessions.end(session.id, attempt=1, outcome="completed")
        ledger.tasks.complete(1, attempt=1)
        shown = read_until(follower, "T1 is completed")
        assert follower.stdout is not None
        assert follower.stdout.read() == ""
        assert follower.wait(10) == 0
        follower.communicate()
    finally:
        if server is not None:
            server.stop()
    assert [line[9:] for line in shown] == [
        "Bash ok · 1.5 s",
        "I look at the tests, which say what is wanted and what is not.",
        '$ Bash {"command": "make"}',
        "Bash ok · 2.3 s",
        "$ Read a.py",
        "Read failed · 7 ms: no such file",
        "> ana: use v2",
        "> claude-1 has it",
        "episode 1 of session 1 ended · completed",
        "T1 is completed",
    ]


def test_logs_follow_through_a_restart_of_the_server(shell: Shell, ledger: Ledger) -> None:
    server = Server(shell.home)
    try:
        session = begin(ledger)
        follower = follow(shell)
        read_until(follower, "task.claimed")
        server.kill()
        ledger.sessions.record(session.id, attempt=1, items=[Said("m", "assistant", "while it was away")])
        assert follower.stderr is not None
        assert follower.stderr.readline() == "server away, waiting\n"
        server = Server(shell.home)  # at another port
        assert read_until(follower, "away")[0].endswith("while it was away")
        ledger.sessions.end(session.id, attempt=1, outcome="completed")
        ledger.tasks.complete(1, attempt=1)
        read_until(follower, "T1 is completed")
        assert follower.communicate(timeout=20) == ("", "")
        assert follower.returncode == 0
    finally:
        server.stop()


def test_logs_follow_as_json_gives_every_event_until_ctrl_c(shell: Shell, ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.tasks.create(title="another")
    work(ledger, session)
    follower = follow(shell, "--json")
    first = [json.loads(line) for line in read_until(follower, "tool.failed")]
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    last = [json.loads(line) for line in read_until(follower, "session.ended")]
    follower.send_signal(signal.SIGINT)
    assert follower.wait(10) == 0
    assert follower.stdout is not None
    follower.communicate()
    assert [event["kind"] for event in first + last] == [
        "task.claimed",
        "session.started",
        "session.said",
        "tool.started",
        "tool.completed",
        "tool.started",
        "tool.failed",
        "session.ended",
    ]
    ledger.tasks.complete(1, attempt=1)
    assert len(shell("logs", "T1", "--follow", "--json").splitlines()) == 8
    assert shell("logs", "T1", "--follow").endswith("T1 is completed\n")
    wait_until(lambda: follower.poll() is not None)


def test_logs_say_why_a_task_runs_again(shell: Shell, ledger: Ledger) -> None:
    session = begin(ledger)
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    assert " · episode 1 completed, the attempt goes on\n" in shell("logs", "T1")
    ledger.tasks.verified(
        1, attempt=1, failed=["tests pass: exit 1\n1 failed, 41 passed", "it is short: no"], manual=[]
    )
    ledger.tasks.begin_session(1, attempt=1, agent="claude-1", kind="claude", resumes=session.id)
    ledger.sessions.end(session.id, attempt=1, outcome="completed")
    ledger.tasks.verified(1, attempt=1, failed=[], manual=["it looks well"])
    ledger.tasks.fail(1, attempt=1, error="a broken\npipe", retry_after_seconds=1)
    shown = shell("logs", "T1").splitlines()
    assert [line[9:] for line in shown[1:]] == [
        "task.claimed: attempt 1 by w",
        "episode 1 of session 1 ended · completed",
        "task.verified: 2 do not hold: tests pass: exit 1 1 failed, 41 passed; it is short: no",
        "session 1 goes on · claude-1 · episode 2",
        "task.verified: a person must judge: it looks well",
        "task.retried: a broken pipe · again in 1s · T1 is scheduled",
    ]

    wait_until(lambda: bool(ledger.tasks.claim(worker="w2").claims), seconds=10)
    assert shell("logs", "T1").splitlines()[-1].endswith("task.claimed: attempt 2 by w2")
    ledger.tasks.begin_session(1, attempt=2, agent="claude-1", kind="claude")
    second = [line[9:] for line in shell("logs", "T1").splitlines()[1:]]
    assert second == ["task.retried: a broken pipe · again in 1s · T1 is scheduled", "task.claimed: attempt 2 by w2"]
    ledger.tasks.release(1, attempt=2, reason="no quota")
    ledger.tasks.claim(worker="w3", task=1)
    ledger.tasks.fail(1, attempt=3, error="a broken\npipe", permanent=True)
    assert [line[9:] for line in shell("logs", "T1").splitlines()[3:]] == [
        "task.released: no quota · T1 is queued",
        "task.claimed: attempt 3 by w3",
        "task.failed: a broken pipe · T1 is failed",
    ]
    everything = shell("logs", "T1", "--all")
    assert everything.count("task.retried") == 1
    assert everything.startswith("session 1 ")


def test_logs_follow_names_who_has_the_task_and_that_a_lease_ended(shell: Shell, ledger: Ledger) -> None:
    shell("add", "Do it")
    shell("tell", "T1", "keep it short")
    follower = follow(shell)
    read_until(follower, "no agent has spoken")
    ledger.tasks.claim(worker="host-17-a", task=1, lease_seconds=1)
    session = ledger.tasks.begin_session(1, attempt=1, agent="claude-1", kind="claude", takes_messages=True)
    ledger.sessions.record(session.id, attempt=1)
    wait_until(lambda: bool(ledger.tasks.claim(worker="host-18-b").claims), seconds=20)
    ledger.tasks.cancel(1)
    shown = [line[9:] for line in read_until(follower, "T1 is cancelled")]
    assert follower.wait(10) == 0
    assert follower.stdout is not None
    follower.communicate()
    assert shown == [
        "task.claimed: attempt 1 by host-17-a",
        "session 1 · claude-1 · episode 1",
        "> ana: keep it short",
        "> claude-1 has it",
        "task.expired: attempt 1 by host-17-a ended without a word · T1 is queued",
        "task.claimed: attempt 2 by host-18-b",
        "T1 is cancelled",
    ]


def test_history_of_a_task_is_not_drowned_by_what_its_agent_does(shell: Shell, ledger: Ledger) -> None:
    work(ledger, begin(ledger))
    ledger.tasks.comment(1, message="first line\nsecond line")
    shown = shell("show", "T1", COLUMNS="200")
    assert "task.claimed" in shown
    assert "session.said" not in shown
    assert "tool." not in shown
    assert "message first line second line" in " ".join(shown.split())
    ledger.costs.record(costs=[{"task": 1, "request_key": "k", "provider": "p", "model": "m"}])
    history = [one["kind"] for one in shell.json("events", "--task", "T1")]
    assert history == ["task.created", "task.claimed", "session.started", "task.commented"]
    assert {"session.said", "tool.failed", "cost.recorded"} <= {
        one["kind"] for one in shell.json("events", "--task", "T1", "--all")
    }
    assert len(shell.json("events", "--task", "T1", "--kind", "tool.started")) == 2
    assert "session.said" in shell("events")


def test_kinds_that_a_history_leaves_out_are_those_of_the_query() -> None:
    text = QUERIES["events.after"].statement({"no_steps": True}).sql
    assert sum(f"'{kind}'" in text for kind in Kind) == sum(f"'{kind}'" in text for kind in STEPS) == len(STEPS)


def test_message_may_come_from_standard_input_and_is_not_empty(shell: Shell) -> None:
    shell("add", "x")
    shell("tell", "T1", "-", stdin="two\nlines")
    assert shell.json("events", "--kind", "task.told")[0]["data"]["text"] == "two\nlines"
    for given in ([""], ["  "], ["-"]):
        shell("tell", "T1", *given, code=2)
        assert "the message is empty" in shell.errors
    shell("tell", "T1", code=2)
    assert "give the text" in shell.errors
