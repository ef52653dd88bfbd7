"""The lines of a session's transcript: what the items of a report add to them, and which of it is news.

A line is known by its role and key within the session, which the database holds unique: what is read twice, by whoever
and in whatever order, stands once and is told once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from shoal.model.event import Kind
from shoal.model.prompt import TAG
from shoal.model.session import (
    MESSAGE_LIMIT,
    Item,
    Line,
    Said,
    Told,
    ToolBegun,
    ToolCall,
    ToolEnded,
    live_message,
    preview,
)
from shoal.model.task import Task
from shoal.services.transaction import Tx
from shoal.store.database import Row

TOOL = "tool"
_BY_AGENT = {"assistant", "reasoning"}
_json = msgspec.json.Encoder().encode


class News:
    """What a report brought that was not known: line ids by key."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], int] = {}
        self.begun: dict[str, int] = {}
        self.ended: dict[str, tuple[int, str | None, int | None]] = {}  # line, the tool's name, milliseconds

    @property
    def went_on(self) -> bool:
        """Whether the agent itself said or began something."""
        return bool(self.begun) or any(role in _BY_AGENT for role, _ in self.said)


def add(tx: Tx, task: Task, *, session: int, attempt: int, agent: str, items: Iterable[Item]) -> News:
    """Write what the items say, each thing once, and tell of what is new. The task must be locked.

    Our own prompts, which agents repeat, are no part of it: a prompt would have the ones before it in its conversation.
    Nor are messages that people told and the agent repeats: `add_heard` has written them.
    """
    told = [item for item in items if isinstance(item, Said | ToolBegun | ToolEnded) and not _is_prompt(item)]
    if any(isinstance(item, Said) and item.role == "user" for item in told):
        said = (live_message(actor, text) for actor, text in tx.all("tells.said", task=task.id))
        echoes = {preview(text, MESSAGE_LIMIT).strip() for text in said}
        told = [item for item in told if not _is_one_of(echoes, item)]
    news = News()
    if told:
        _write(tx, news, _rows(told, tx.now), session=session, attempt=attempt)
        _tell(tx, news, told, task=task, attempt=attempt, session=session, agent=agent)
    return news


def heard_key(told: Told) -> str:
    """What the line of a message that people told is known by."""
    return f"told-{told.id}"


def add_heard(tx: Tx, *, session: int, attempt: int, texts: dict[str, str]) -> None:
    """Write what people said to the agent, by key."""
    rows = [_row("user", key, tx.now) | {"text": preview(text, MESSAGE_LIMIT)} for key, text in texts.items()]
    tx.all("sessions.add_lines", session=session, attempt=attempt, rows=_json(rows).decode())


def line_from_row(row: Row) -> Line:
    """A line from its row."""
    id, at, attempt, role, key, text, name, arguments, result, error, duration_ms, ended_at = row
    if role != TOOL:
        return Line(id, at, attempt, role, text=text)
    took = _took(duration_ms, at if name else None, ended_at)
    return Line(id, at, attempt, role, tool=ToolCall(key, name or "", arguments or "", result, error, took))


def _is_prompt(item: Item) -> bool:
    return isinstance(item, Said) and item.role == "user" and item.text.lstrip().startswith(f"<{TAG}")


def _is_one_of(echoes: set[str], item: Item) -> bool:
    return isinstance(item, Said) and item.role == "user" and item.text.strip() in echoes


def _rows(items: list[Said | ToolBegun | ToolEnded], now: int) -> dict[tuple[str, str], dict[str, Any]]:
    """The lines that the items make by themselves, in their order; of two that say the same the first counts."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items:
        at = now if item.at is None else item.at
        if isinstance(item, Said):
            said = _row(item.role, item.key, at) | {"text": preview(item.text, MESSAGE_LIMIT)}
            rows.setdefault((item.role, item.key), said)
            continue
        row = rows.setdefault((TOOL, item.tool_call_id), _row(TOOL, item.tool_call_id, at))
        if isinstance(item, ToolBegun):
            if row["tool_name"] is None:
                row |= {"tool_name": item.name, "arguments": preview(item.arguments), "at": at}
        elif row["ended_at"] is None:
            error = None if item.error is None else preview(item.error)
            row |= {"result": preview(item.result), "error": error, "duration_ms": item.duration_ms, "ended_at": at}
    return rows


def _row(role: str, key: str, at: int) -> dict[str, Any]:
    empty = ("text", "tool_name", "arguments", "result", "error", "duration_ms", "ended_at")
    return {"role": role, "key": key, "at": at} | dict.fromkeys(empty)


def _write(tx: Tx, news: News, rows: dict[tuple[str, str], dict[str, Any]], *, session: int, attempt: int) -> None:
    """Write the lines in one statement, and what they add to known tool calls in one each."""
    given = _json(list(rows.values())).decode()
    for id, role, key in tx.all("sessions.add_lines", session=session, attempt=attempt, rows=given):
        row = rows.pop((role, key))
        if role != TOOL:
            news.said[role, key] = id
            continue
        if row["tool_name"] is not None:
            news.begun[key] = id
        if row["ended_at"] is not None:
            news.ended[key] = id, row["tool_name"], _took_of(row, row["at"])
    known = [row for (role, _), row in rows.items() if role == TOOL]
    if begun := [row for row in known if row["tool_name"] is not None]:
        for id, key in tx.all("sessions.begin_tools", session=session, rows=_json(begun).decode()):
            news.begun[key] = id
    if ended := [row for row in known if row["ended_at"] is not None]:
        for id, key, at, name in tx.all("sessions.end_tools", session=session, rows=_json(ended).decode()):
            news.ended[key] = id, name, _took_of(rows[TOOL, key] | {"tool_name": name}, at)


def _tell(
    tx: Tx,
    news: News,
    items: list[Said | ToolBegun | ToolEnded],
    *,
    task: Task,
    attempt: int,
    session: int,
    agent: str,
) -> None:
    """An event for each thing that is new, in the order of the items."""
    told: set[tuple[str, str]] = set()
    mark: tuple[str, str]
    for item in items:
        if isinstance(item, Said):
            line, mark = news.said.get((item.role, item.key)), (item.role, item.key)
            kind, data = Kind.SESSION_SAID, {"role": item.role, "text": preview(item.text)}
        elif isinstance(item, ToolBegun):
            line, mark = news.begun.get(item.tool_call_id), ("begun", item.tool_call_id)
            kind = Kind.TOOL_STARTED
            data = {"tool_call_id": item.tool_call_id, "name": item.name, "arguments": preview(item.arguments)}
        else:
            line, name, took = news.ended.get(item.tool_call_id, (None, None, None))
            mark = ("ended", item.tool_call_id)
            data = {"tool_call_id": item.tool_call_id, "result": preview(item.result)}
            data |= _without_none(name=name, duration_ms=took)
            kind = Kind.TOOL_COMPLETED
            if item.error is not None:
                kind = Kind.TOOL_FAILED
                data["error"] = preview(item.error)
        if line is None or mark in told:
            continue
        told.add(mark)
        tx.emit(
            kind,
            task,
            was=task.status.value,
            attempt=attempt,
            data={"session": session, "line": line, **data},
            actor=agent,
        )


def _took_of(row: dict[str, Any], began_at: int) -> int | None:
    return _took(row["duration_ms"], began_at if row["tool_name"] else None, row["ended_at"])


def _took(duration_ms: int | None, began_at: int | None, ended_at: int | None) -> int | None:
    """How long a tool took: as it was told, else from its beginning to its end where both were seen.

    When both came in one report that says no times, nobody knows.
    """
    if duration_ms is not None or began_at is None or ended_at is None or ended_at <= began_at:
        return duration_ms
    return ended_at - began_at


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
