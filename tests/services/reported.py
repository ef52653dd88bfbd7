"""What the tests of sessions are made of: a session, what its agent reports, what came of that."""

from __future__ import annotations

from collections import Counter
from typing import Any

from shoal import Ledger
from shoal.model.cost import Usage
from shoal.model.session import Finished, Item, Line, Said, Session, Spent, Started, ToolBegun, ToolEnded
from tests.conftest import START_MS


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
