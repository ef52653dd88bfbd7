"""Codex's rollout: the file that it writes of a session. What its stream says: codex.py.

A rollout is $CODEX_HOME/sessions/YYYY/MM/DD/rollout-…-THREAD.jsonl, appended to while Codex works and when the session
is resumed. It alone has the tokens of each model call: the stream's turn.completed sums up the whole session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from shoal.adapters.agents.codex_keys import KINDS, CodexItem, Keys, as_text, ended, one_line, texts
from shoal.model.cost import Usage
from shoal.model.fields import Count
from shoal.model.session import Item, Spent, Started, ToolBegun, ToolEnded, preview

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_THREAD = re.compile(r"[0-9A-Za-z-]{1,100}")
_REFUSALS = ("failed to parse function arguments", "unsupported call")


class Tokens(Struct, frozen=True):
    """As OpenAI counts them: cached ones are among the input, those of reasoning among the output."""

    input_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_input_tokens: Count = 0
    output_tokens: Count = 0

    def minus(self, other: Tokens) -> Tokens:
        """What came on top of others."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Tokens(*(max(0, all_of_it - earlier) for all_of_it, earlier in pairs))

    def usage(self, *, request_key: str, provider: str, model: str) -> Usage:
        """As Shoal counts them."""
        return Usage(
            request_key=request_key,
            provider=one_line(provider, "openai"),
            model=one_line(model, "unknown"),
            input_tokens=max(0, self.input_tokens - self.cached_input_tokens - self.cache_write_input_tokens),
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cached_input_tokens,
            cache_write_tokens=self.cache_write_input_tokens,
        )


class Line(Struct):
    """One line of a rollout."""

    type: str
    payload: Raw
    timestamp: str = ""

    @property
    def at(self) -> int | None:
        """When, in milliseconds since 1970."""
        try:
            return max(0, round(datetime.fromisoformat(self.timestamp).timestamp() * 1000))
        except (ValueError, OverflowError):
            return None


class _Meta(Struct):
    model_provider: str | None = None


class _Context(Struct):
    model: str | None = None


class _Record(Struct):
    usage: Tokens
    thread_token_usage: Tokens | None = None
    thread_id: str | None = None


class _CountInfo(Struct):
    last_token_usage: Tokens
    total_token_usage: Tokens


class _Event(Struct):
    type: str
    item: CodexItem | None = None
    info: _CountInfo | None = None


class _Response(Struct):
    type: str
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    input: str = ""
    output: Any = None


class Rollout:
    """The rollout of one thread, read as it grows."""

    def __init__(self, home: Path, thread: str) -> None:
        self.thread = thread
        self._home = home
        self._path: Path | None = None
        self._read = 0
        self.number = 0  # of the line read last

    def find(self) -> Path | None:
        """Where it is, if it has been begun."""
        if self._path is None and _THREAD.fullmatch(self.thread):
            self._path = max(self._home.glob(f"sessions/*/*/*/rollout-*-{self.thread}.jsonl"), default=None)
        return self._path

    def lines(self) -> Iterator[Line]:
        """The whole lines that have come since the last time; those that cannot be read are passed over."""
        path = self.find()
        if path is None:
            return
        try:
            with path.open("rb") as file:
                file.seek(self._read)
                written = file.read()
        except OSError:
            return
        whole, newline, _ = written.rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.splitlines() if newline else ():
            self.number += 1
            try:
                yield msgspec.json.decode(line, type=Line)
            except UNREADABLE:
                continue


class _Thread:
    """What is known of a thread while its model calls are counted."""

    def __init__(self, home: Path, name: str) -> None:
        self.rollout = Rollout(home, name)
        self.provider = "openai"
        self.model = "unknown"
        self.total: Tokens | None = None


class Meter:
    """The model calls of a session, those of the agents that it spawned too."""

    def __init__(self, home: Path, thread: str) -> None:
        self._home = home
        self._threads = {thread: _Thread(home, thread)}
        self.calls = 0

    @property
    def works(self) -> bool:
        """Whether there is a rollout to read from."""
        return next(iter(self._threads.values())).rollout.find() is not None

    def spent(self) -> Iterator[Spent]:
        """The calls that have come since the last time."""
        waiting = list(self._threads.values())
        while waiting:
            thread = waiting.pop()
            for line in thread.rollout.lines():
                try:
                    tokens = self._read(thread, line, waiting)
                except UNREADABLE:
                    continue
                if tokens is not None:
                    self.calls += 1
                    key = f"codex:{thread.rollout.thread}:{thread.rollout.number}"
                    yield Spent(tokens.usage(request_key=key, provider=thread.provider, model=thread.model))

    def _read(self, thread: _Thread, line: Line, waiting: list[_Thread]) -> Tokens | None:
        if line.type == "session_meta":
            thread.provider = msgspec.json.decode(line.payload, type=_Meta).model_provider or thread.provider
        elif line.type == "turn_context":
            thread.model = msgspec.json.decode(line.payload, type=_Context).model or thread.model
        elif line.type == "token_usage_record":
            record = msgspec.json.decode(line.payload, type=_Record)
            # A thread that was forked off begins with lines of the one it comes from.
            if record.thread_id in (None, thread.rollout.thread):
                thread.total = record.thread_token_usage
                return record.usage
        elif line.type == "event_msg":
            event = msgspec.json.decode(line.payload, type=_Event)
            if event.item is not None:
                for name in event.item.receiver_thread_ids:
                    if name not in self._threads:
                        self._threads[name] = _Thread(self._home, name)
                        waiting.append(self._threads[name])
            # Older Codex writes nothing but this, and writes it again when nothing has been added.
            elif event.info is not None and event.info.total_token_usage != thread.total:
                thread.total = event.info.total_token_usage
                return event.info.last_token_usage
        return None


class _Call(Struct):
    """A call of a tool, from the model's request for it to its end."""

    at: int | None
    request: _Response | None = None
    item: CodexItem | None = None
    output: Any = None
    ended_at: int | None = None


class _Turn:
    """What a turn said, in the order in which the stream has it: a call stands where the model asked for it."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._said: list[Item | _Call] = []
        self._calls: dict[str, _Call] = {}

    def add(self, line: Line) -> None:
        """Take in a line."""
        if line.type == "response_item":
            self._add_response(msgspec.json.decode(line.payload, type=_Response), line.at)
        elif line.type == "event_msg":
            item = msgspec.json.decode(line.payload, type=_Event).item
            if item is not None:
                self._add_item(item, line.at)

    def items(self) -> Iterator[Item]:
        """All of it; the turn is known whole then."""
        for one in self._said:
            if not isinstance(one, _Call):
                yield one
            elif one.item is not None:
                begun = self._keys.begun(one.item, one.at)
                yield begun
                yield ended(begun.tool_call_id, one.item, at=one.ended_at)
            elif one.request is not None:
                yield from _bare(self._keys, one, one.request)

    def _add_response(self, said: _Response, at: int | None) -> None:
        if said.type in ("function_call", "custom_tool_call"):
            call = _Call(at=at, request=said)
            self._said.append(call)
            self._calls[said.call_id] = call
        elif said.type in ("function_call_output", "custom_tool_call_output") and said.call_id in self._calls:
            call = self._calls[said.call_id]
            call.output, call.ended_at = said.output, at

    def _add_item(self, item: CodexItem, at: int | None) -> None:
        if item.type == "AgentMessage":
            self._said.append(self._keys.said("assistant", "".join(texts(item.content)), at))
        elif item.type == "Reasoning" and item.summary_text:
            self._said.append(self._keys.said("reasoning", "\n".join(item.summary_text), at))
        elif item.type in KINDS:
            if item.id not in self._calls:
                self._said.append(_Call(at=at, item=item, ended_at=at))
            else:
                call = self._calls[item.id]
                call.item, call.ended_at = item, at


def turns(home: Path, thread: str) -> int:
    """How many turns a session has begun."""
    return sum(_begins_turn(line) for line in Rollout(home, thread).lines())


def exists(home: Path, thread: str) -> bool:
    """Whether there is a rollout of a thread."""
    return bool(_THREAD.fullmatch(thread)) and any(home.glob(f"sessions/*/*/*/rollout-*-{thread}.jsonl"))


def items(home: Path, thread: str) -> Iterator[Item]:
    """All that the rollout says of a session, in order; then what was spent."""
    keys = Keys()
    turn = _Turn(keys)
    for line in Rollout(home, thread).lines():
        try:
            if _begins_turn(line):
                yield from turn.items()
                keys.next_turn()
                turn = _Turn(keys)
            elif line.type == "turn_context":
                model = msgspec.json.decode(line.payload, type=_Context).model
                yield Started(provider_session=thread, model=one_line(model or "", "") or None)
            else:
                turn.add(line)
        except UNREADABLE:
            continue
    yield from turn.items()
    yield from Meter(home, thread).spent()


def _begins_turn(line: Line) -> bool:
    try:
        return line.type == "event_msg" and msgspec.json.decode(line.payload, type=_Event).type == "task_started"
    except UNREADABLE:
        return False


def _bare(keys: Keys, call: _Call, request: _Response) -> Iterator[Item]:
    """A call that became no item: refused, interrupted, or of a tool that the stream is silent about."""
    arguments = request.arguments or request.input
    name = one_line(request.name, "tool")
    script = _script(arguments) if name == "exec_command" else None
    if script is not None:
        name, arguments, key = "command_execution", script, keys.command(script)
    else:
        key = keys.key("call", request.call_id)
    yield ToolBegun(tool_call_id=key, name=name, arguments=preview(arguments), at=call.at)
    if call.output is None:
        return
    output = "\n".join(texts(call.output)) if isinstance(call.output, list) else as_text(call.output)
    if output.startswith(_REFUSALS):
        yield ToolEnded(tool_call_id=key, error=preview(output), at=call.ended_at)
    else:
        yield ToolEnded(tool_call_id=key, result=preview(output), at=call.ended_at)


class _Arguments(Struct):
    cmd: str


def _script(arguments: str) -> str | None:
    try:
        return msgspec.json.decode(arguments, type=_Arguments).cmd
    except UNREADABLE:
        return None
