"""A server on loopback that speaks Anthropic's Messages API and says what a test wrote for it.

Which script a conversation follows is told by a word in its first prompt, so that many run at once; a sub-agent's
prompt begins a conversation of its own. Each request takes the next answer of its script, a resumed conversation goes
on where it stood, and a request that comes when the script is at its end gets an error.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Tokens:
    """As Anthropic counts: what the cache gave or took is not among the input. `begun` is the output told at first."""

    input: int = 10
    output: int = 20
    cache_read: int = 0
    cache_write: int = 0
    begun: int = 1

    def at_first(self) -> dict[str, int]:
        return {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_write,
            "cache_read_input_tokens": self.cache_read,
            "output_tokens": self.begun,
        }


@dataclass(frozen=True)
class Tool:
    """A call of a tool."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one request gets. With a `status` other than 200 an error; `hangs` sends all but the end, then nothing.

    It says that it is of the `model` that was asked for, or of another one, as gateways do.
    """

    text: str = ""
    tools: tuple[Tool, ...] = ()
    thinking: str = ""
    tokens: Tokens = Tokens()
    status: int = 200
    hangs: bool = False
    wait_seconds: float = 0
    model: str | None = None


@dataclass(frozen=True)
class Served:
    """An answer that was given, the request it was given to, and the ids it bore."""

    word: str
    body: dict[str, Any]
    answer: Answer
    message_id: str
    tool_ids: list[str]


@dataclass
class Script:
    """The answers of one conversation."""

    answers: list[Answer]
    served: list[Served] = field(default_factory=list)


class MessagesApi:
    """The server; use it in a `with`."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.strays: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def script(self, word: str, *answers: Answer) -> None:
        """What conversations get whose first prompt has this word."""
        with self._lock:
            self._scripts[word] = Script(list(answers))

    def served(self, word: str) -> list[Served]:
        """What a conversation was given so far."""
        with self._lock:
            return list(self._scripts[word].served)

    def take(self, body: dict[str, Any]) -> Served | None:
        """The next answer to a request; None when no script has one."""
        prompt = first_prompt(body)
        with self._lock:
            word = next((word for word in self._scripts if word in prompt), None)
            script = self._scripts[word] if word is not None else Script([])
            if word is None or len(script.served) >= len(script.answers):
                self.strays.append(f"{word}: {prompt[-200:]}")
                return None
            answer = script.answers[len(script.served)]
            name = f"{word}_{len(script.served)}_{secrets.token_hex(4)}"
            tools = [f"toolu_{name}_{number}" for number in range(len(answer.tools))]
            script.served.append(Served(word, body, answer, f"msg_{name}", tools))
            return script.served[-1]

    def pause(self, seconds: float | None) -> None:
        """Wait so long, or until the server closes."""
        self._closing.wait(seconds)


def texts(message: dict[str, Any]) -> list[str]:
    """The texts of a message, results of tools included."""
    content = message["content"]
    if isinstance(content, str):
        return [content]
    found = []
    for block in content:
        if block["type"] == "tool_result":
            found += texts({"content": block.get("content") or ""})
        elif "text" in block:
            found.append(block["text"])
    return found


def first_prompt(body: dict[str, Any]) -> str:
    """What the conversation began with, without what the agent adds by itself."""
    begun = next(message for message in body["messages"] if message["role"] == "user")
    return "\n".join(text for text in texts(begun) if not text.startswith("<system-reminder>"))


def _blocks(served: Served) -> list[dict[str, Any]]:
    answer = served.answer
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": "signed"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    for tool, name in zip(answer.tools, served.tool_ids, strict=True):
        blocks.append({"type": "tool_use", "id": name, "name": tool.name, "input": tool.input})
    return blocks


def _events(served: Served) -> Iterator[dict[str, Any]]:
    answer = served.answer
    yield {"type": "message_start", "message": _message(served, [], None, answer.tokens.at_first())}
    for index, block in enumerate(_blocks(served)):
        match block["type"]:
            case "thinking":
                empty = {"thinking": "", "signature": ""}
                deltas: list[dict[str, Any]] = [
                    {"type": "thinking_delta", "thinking": block["thinking"]},
                    {"type": "signature_delta", "signature": block["signature"]},
                ]
            case "text":
                empty, deltas = {"text": ""}, [{"type": "text_delta", "text": block["text"]}]
            case _:
                empty, given = {"input": {}}, json.dumps(block["input"])
                deltas = [{"type": "input_json_delta", "partial_json": given}]
        yield {"type": "content_block_start", "index": index, "content_block": block | empty}
        yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        yield {"type": "content_block_stop", "index": index}
    if not answer.hangs:
        end = {"stop_reason": "tool_use" if answer.tools else "end_turn", "stop_sequence": None}
        yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": answer.tokens.output}}
        yield {"type": "message_stop"}


def _message(served: Served, content: list[Any], stop: str | None, usage: dict[str, int]) -> dict[str, Any]:
    return {
        "id": served.message_id, "type": "message", "role": "assistant",
        "model": served.answer.model or served.body["model"],
        "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    api: MessagesApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """The tests have their own."""

    def handle(self) -> None:
        # An agent that is killed leaves in the middle of an answer.
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def do_HEAD(self) -> None:
        self._reply(200, {})

    def do_GET(self) -> None:
        self._reply(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._reply(200, {"input_tokens": 1})
        elif path != "/v1/messages":
            self.do_GET()
        elif (served := self.api.take(body)) is None:
            self._fail(400, "no script has an answer for this")
        else:
            self.api.pause(served.answer.wait_seconds)
            self._answer(served)

    def _answer(self, served: Served) -> None:
        answer = served.answer
        if answer.status != 200:
            self._fail(answer.status, "scripted")
            return
        if not served.body.get("stream"):
            usage = answer.tokens.at_first() | {"output_tokens": answer.tokens.output}
            stop = "tool_use" if answer.tools else "end_turn"
            self._reply(200, _message(served, _blocks(served), stop, usage), hangs=answer.hangs)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in _events(served):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        if answer.hangs:
            self.api.pause(None)

    def _fail(self, status: int, message: str) -> None:
        kind = "overloaded_error" if status == 529 else "invalid_request_error" if status < 500 else "api_error"
        self._reply(status, {"type": "error", "error": {"type": kind, "message": message}})

    def _reply(self, status: int, document: dict[str, Any], *, hangs: bool = False) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:-1] if hangs else content)
            self.wfile.flush()
        if hangs:
            self.api.pause(None)
