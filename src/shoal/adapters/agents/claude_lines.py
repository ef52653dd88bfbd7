"""What the lines of Claude Code say: those of its stream (stream-json with partial messages) and of its transcripts.

Both give a line the same uuid, a model call the same message id and a tool call the same id, so that their items have
the same keys. Of sub-agents the tool calls and the tokens are told; what they say among themselves is in the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from shoal.adapters.agents.agent import Malformed
from shoal.adapters.agents.claude_calls import KEY_LIMIT, Calls, Sums, Tokens
from shoal.clock import Clock
from shoal.model.fields import TIME_LIMIT, Name
from shoal.model.session import MESSAGE_LIMIT, Finished, Item, Said, Spent, Started, ToolBegun, ToolEnded, preview

SYNTHETIC = "<synthetic>"  # the model of what Claude Code says itself, an error of the API for one
HARMLESS = {
    *("keep_alive", "rate_limit_event", "tool_progress", "tool_use_summary", "auth_status", "prompt_suggestion"),
    *("control_response", "control_cancel_request", "transcript_mirror"),
    *("queue-operation", "last-prompt", "summary", "file-history-snapshot", "progress", "ai-title", "custom-title"),
}


class Block(Struct, frozen=True):
    """A part of a message."""

    type: str
    text: str | None = None
    thinking: str | None = None
    id: Name | None = None
    name: Name | None = None
    input: Raw = Raw()
    tool_use_id: Name | None = None
    content: Raw = Raw()
    is_error: bool | None = None


class ApiMessage(Struct, frozen=True):
    """A message of a conversation."""

    content: str | list[Block] = ""
    id: Name | None = None
    model: Name | None = None
    stop_reason: str | None = None
    usage: Tokens | None = None


class Event(Struct, frozen=True):
    """A part of an answer as it streams in."""

    type: str
    message: ApiMessage | None = None
    usage: Tokens | None = None


class Head(Struct, frozen=True):
    """What every line has."""

    type: str
    subtype: str | None = None


class Line(Head, frozen=True):
    """A line with a message or an event. Stream and transcript write the session's name differently."""

    uuid: Name | None = None
    session_id: Name | None = None
    session: Name | None = msgspec.field(default=None, name="sessionId")
    timestamp: str | None = None
    parent_tool_use_id: Name | None = None
    sidechain: bool = msgspec.field(default=False, name="isSidechain")
    replay: bool = msgspec.field(default=False, name="isReplay")
    source: str | None = msgspec.field(default=None, name="promptSource")
    origin: Any = None
    message: ApiMessage | None = None
    event: Event | None = None


class Init(Head, frozen=True):
    """The beginning of a turn."""

    session_id: Name | None = None
    model: Name | None = None


class Retry(Head, frozen=True):
    """The model's provider did not answer, and is asked again."""

    uuid: Name | None = None
    attempt: int | None = None
    max_retries: int | None = None
    error_status: int | None = None
    error: str | None = None


class Result(Head, frozen=True):
    """The end of a turn; money and sums are of the episode so far."""

    is_error: bool = False
    result: str | None = None
    errors: list[str] = []
    total_cost_usd: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    models: dict[Name, Sums] = msgspec.field(default_factory=dict, name="modelUsage")


class QueuedCommand(Struct, frozen=True):
    """A message that the transcript has as read in the middle of a turn."""

    prompt: str | list[Block] = ""
    source_uuid: Name | None = None
    mode: str | None = msgspec.field(default=None, name="commandMode")


class Attachment(Head, frozen=True):
    """What was laid beside a message."""

    attachment: Raw = Raw(b"{}")
    timestamp: str | None = None


class Reading:
    """Reads the lines of one episode, or with `session` the transcripts of one session; `run` is the prompt's uuid."""

    def __init__(self, clock: Clock, *, run: str, session: str | None = None) -> None:
        self._clock = clock
        self._run = run
        self._live = session is None
        self._session = session
        self._model: str | None = None
        self._began: dict[str, int | None] = {}
        self._current: dict[str | None, str] = {}
        self._calls = Calls()
        self._turns: set[str] = set()
        self._models: dict[str, Sums] = {}
        self._since: int | None = None

    def read(self, line: bytes) -> list[Item]:
        """The items of a line. Raises Malformed for what is no line of Claude Code's."""
        if not line.strip():
            return []
        try:
            return self._read(line, msgspec.json.decode(line, type=Head))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(preview(str(error))) from error

    def calls(self) -> Iterator[Spent]:
        """The model calls of transcripts that have been read: there the last line of a call is the one that counts."""
        yield from map(Spent, self._calls.end_all())

    def untold(self, transcripts: Reading) -> Iterator[Spent]:
        """What neither this stream nor the transcripts had as a call of its own."""
        yield from map(Spent, self._calls.cut_off(transcripts._calls))
        since, key = self._since or transcripts._since or 0, f"{self._session}:{self._run}"
        yield from map(Spent, self._calls.untold(transcripts._calls, since=since, models=self._models, key=key))

    def _read(self, line: bytes, head: Head) -> list[Item]:
        match head.type:
            case "assistant":
                return list(self._assistant(msgspec.json.decode(line, type=Line)))
            case "user":
                return list(self._user(msgspec.json.decode(line, type=Line)))
            case "stream_event":
                return list(self._event(msgspec.json.decode(line, type=Line)))
            case "system":
                return list(self._system(line, head.subtype))
            case "result":
                return [self._result(msgspec.json.decode(line, type=Result))]
            case "attachment":
                return list(self._attachment(msgspec.json.decode(line, type=Attachment)))
        if head.type in HARMLESS or not self._live:
            return []
        raise Malformed(f"unknown type {preview(head.type, 100)!r}")

    def _system(self, line: bytes, subtype: str | None) -> Iterator[Item]:
        if subtype == "init":
            init = msgspec.json.decode(line, type=Init)
            if init.session_id is not None and (init.session_id, init.model) != (self._session, self._model):
                self._session, self._model = init.session_id, init.model
                yield Started(init.session_id, init.model)
        elif subtype == "api_retry":
            retry = msgspec.json.decode(line, type=Retry)
            why = " ".join(str(part) for part in (retry.error_status, retry.error) if part is not None)
            text = f"The model does not answer ({why}): try {retry.attempt} of {retry.max_retries} follows."
            if retry.uuid is not None:
                yield Said(retry.uuid, "system", preview(text, MESSAGE_LIMIT), self._clock.now_ms())

    def _assistant(self, line: Line) -> Iterator[Item]:
        message, at = line.message, self._at(line)
        if message is None:
            return
        synthetic, apart = message.model == SYNTHETIC, line.sidechain or line.parent_tool_use_id is not None
        for key, block in _blocks(line):
            if block.type in ("tool_use", "server_tool_use", "mcp_tool_use") and block.id and block.name:
                self._began[block.id] = at
                yield ToolBegun(block.id, block.name, _argument(block.input), at)
            elif block.type.endswith("tool_result"):
                yield from self._ended(block, at)
            elif key and not apart and (text := block.text or block.thinking or "").strip():
                role = "reasoning" if block.type == "thinking" else "system" if synthetic else "assistant"
                yield Said(key, role, preview(text, MESSAGE_LIMIT), at)  # type: ignore[arg-type]
        if message.id is None or synthetic:
            return
        if not apart:
            self._turns.add(message.id)
        # The stream gives a reason to stop only with an answer that did not come in parts; then its figures are final.
        if message.usage is not None and message.model and (message.stop_reason is not None or not self._live):
            key = self._begin(line, message)
            if self._live:
                yield from self._end(key)

    def _user(self, line: Line) -> Iterator[Item]:
        at = self._at(line)
        ours = line.replay or (not self._live and line.source is not None and line.origin is None)
        if ours and line.uuid == self._run:
            self._since = at
        for key, block in _blocks(line):
            if block.type.endswith("tool_result"):
                yield from self._ended(block, at)
            elif key and ours and not line.sidechain and (block.text or "").strip():
                yield Said(key, "user", preview(block.text or "", MESSAGE_LIMIT), at)

    def _attachment(self, line: Attachment) -> Iterator[Item]:
        told = msgspec.json.decode(line.attachment, type=QueuedCommand)
        if told.mode != "prompt" or told.source_uuid is None:
            return
        parts = [Block("text", told.prompt)] if isinstance(told.prompt, str) else told.prompt
        for key, block in _keyed(told.source_uuid, parts):
            if key and (block.text or "").strip():
                yield Said(key, "user", preview(block.text or "", MESSAGE_LIMIT), _moment(line.timestamp))

    def _event(self, line: Line) -> Iterator[Item]:
        event, thread = line.event, line.parent_tool_use_id
        if event is None:
            return
        if event.type == "message_start" and event.message is not None and event.message.id and event.message.model:
            self._current[thread] = self._begin(line, event.message)
            if thread is None:
                self._turns.add(event.message.id)
        elif event.type == "message_delta" and event.usage is not None and (key := self._current.get(thread)):
            self._calls.update(key, event.usage)
        elif event.type == "message_stop" and (key := self._current.pop(thread, None)):
            yield from self._end(key)

    def _result(self, line: Result) -> Finished:
        self._models = line.models or self._models
        ok = not line.is_error and line.subtype == "success"
        text = line.result or ""
        error = "; ".join(line.errors) or text or line.subtype or "it ended with an error"
        cost = line.total_cost_usd
        return Finished(
            ok=ok,
            text=preview(text, MESSAGE_LIMIT),
            error=None if ok else preview(error),
            turns=len(self._turns),
            cost_usd_micros=None if cost is None else round(cost * 1_000_000),
            over_limit=(line.subtype or "").startswith("error_max_"),
        )

    def _ended(self, block: Block, at: int | None) -> Iterator[ToolEnded]:
        call = block.tool_use_id
        if call is None:
            return
        began, text = self._began.pop(call, None), _result_text(block.content)
        duration = None if began is None or at is None else max(0, at - began)
        if block.is_error:
            text = re.sub(r"</?tool_use_error>", "", text)
            yield ToolEnded(call, error=preview(text or "it failed"), duration_ms=duration, at=at)
        else:
            yield ToolEnded(call, preview(text), duration_ms=duration, at=at)

    def _begin(self, line: Line, message: ApiMessage) -> str:
        session = line.session_id or line.session or self._session
        key = f"{session}:{message.id}"[:KEY_LIMIT]
        self._calls.begin(key, message.model or "unknown", message.usage or Tokens(), self._at(line))
        return key

    def _end(self, key: str) -> Iterator[Spent]:
        if (usage := self._calls.end(key)) is not None:
            yield Spent(usage)

    def _at(self, line: Line) -> int | None:
        return _moment(line.timestamp) if line.timestamp is not None or not self._live else self._clock.now_ms()


def _blocks(line: Line) -> Iterator[tuple[str | None, Block]]:
    content = line.message.content if line.message is not None else ""
    return _keyed(line.uuid, [Block("text", content)] if isinstance(content, str) else content)


def _keyed(uuid: str | None, blocks: list[Block]) -> Iterator[tuple[str | None, Block]]:
    """Each block with its key: the line's uuid, numbered from the second on."""
    for number, block in enumerate(blocks):
        yield None if uuid is None else f"{uuid}:{number}"[-KEY_LIMIT:] if number else uuid, block


def _argument(given: Raw) -> str:
    text = bytes(given).decode(errors="replace")
    if "\\u" in text:  # a fish, not \\ud83d\\udc1f
        with suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), ensure_ascii=False)
    return preview(text)


def _result_text(content: Raw) -> str:
    if not bytes(content):
        return ""
    try:
        parts = msgspec.json.decode(content, type=str | list[Block] | None)
    except msgspec.MsgspecError:
        return bytes(content).decode(errors="replace")
    if isinstance(parts, str):
        return parts
    return "\n".join(f"[{part.type}]" if part.text is None else part.text for part in parts or [])


def _moment(timestamp: str | None) -> int | None:
    try:
        moment = int(datetime.fromisoformat(timestamp or "").timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if 0 <= moment <= TIME_LIMIT else None
