"""A server on loopback that speaks OpenAI's Responses API and says what a test wrote for it.

A conversation is a thread of Codex's; which script it follows is told by a word in its first prompt, so that many run
at once. Each request takes the next step of its conversation; a resumed one goes on where it stood.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "gpt-5.1-codex"


@dataclass(frozen=True)
class Usage:
    """As OpenAI counts: the cached ones are among the input, those of reasoning among the output."""

    input: int = 1000
    cached: int = 0
    cache_written: int = 0
    output: int = 50
    reasoning: int = 0

    def document(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.cache_written},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Think:
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Shell:
    """A command, by whatever shell tool the request offers."""

    script: str


@dataclass(frozen=True)
class Call:
    """A call of any tool; `namespace` is that of an MCP server, mcp__NAME."""

    name: str
    arguments: dict[str, Any] | str
    namespace: str | None = None


@dataclass(frozen=True)
class Search:
    query: str


@dataclass(frozen=True)
class Answer:
    """One answer of the model."""

    outputs: tuple[Say | Think | Shell | Call | Search, ...]
    usage: Usage = Usage()
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class Fail:
    """An HTTP error."""

    status: int
    message: str = "scripted failure"


@dataclass(frozen=True)
class Hang:
    """Begin to answer, and say nothing more until the server is closed."""


@dataclass(frozen=True)
class Cut:
    """Begin to answer, and close the connection."""


Step = Answer | Fail | Hang | Cut


@dataclass
class Conversation:
    """One thread: its script, and the requests that it has made."""

    name: str
    steps: list[Step]
    requests: list[dict[str, Any]] = field(default_factory=list)


def answer(*outputs: Say | Think | Shell | Call | Search | str, usage: Usage | None = None) -> Answer:
    """An answer of these outputs; a text is said."""
    return Answer(tuple(Say(one) if isinstance(one, str) else one for one in outputs), usage or Usage())


class ResponsesAPI:
    """The server; `with ResponsesAPI() as api`."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Step]] = {}
        self.conversations: dict[str, Conversation] = {}
        self.closing = threading.Event()
        self.hanging = threading.Semaphore(0)  # released once for each request that hangs
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def __enter__(self) -> ResponsesAPI:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def script(self, word: str, *steps: Step) -> None:
        """What is answered in conversations whose first prompt has this word."""
        self.scripts[word] = list(steps)

    def requests(self, word: str) -> list[dict[str, Any]]:
        """All requests of the conversations that follow this script."""
        with self._lock:
            return [made for one in self.conversations.values() if one.name == word for made in one.requests]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next_step(self, thread: str, request: dict[str, Any]) -> tuple[int, Step]:
        """The number of this request among all, and what is answered."""
        with self._lock:
            number = next(self._numbers)
            conversation = self.conversations.get(thread)
            if conversation is None:
                name = self._follows(request)
                if name is None:
                    return number, Fail(400, "no script for this prompt")
                conversation = self.conversations[thread] = Conversation(name, list(self.scripts[name]))
            conversation.requests.append(request)
            if not conversation.steps:
                return number, Fail(400, f"the script {conversation.name} is at its end")
            return number, conversation.steps.pop(0)

    def _follows(self, request: dict[str, Any]) -> str | None:
        said = " ".join(texts_of(request, "user"))
        words = [word for word in self.scripts if re.search(rf"\b{re.escape(word)}\b", said)]
        return max(words, key=len, default=None)


def texts_of(request: dict[str, Any], role: str) -> list[str]:
    """What a request has of a role: user, developer, assistant."""
    return [
        part["text"]
        for one in request["input"]
        if one.get("role") == role
        for part in one["content"]
        if part.get("text") is not None
    ]


def tool_outputs(request: dict[str, Any]) -> list[str]:
    """What tools have answered."""
    return [str(one["output"]) for one in request["input"] if one.get("type") == "function_call_output"]


def codex_home(folder: Path, api: ResponsesAPI, **settings: Any) -> dict[str, str]:
    """A home for Codex that knows this server only, and the environment that leads to it.

    Codex runs commands in a login shell; what the profile of whoever runs the tests does there is kept out.
    """
    user = folder / "user"
    user.mkdir(parents=True, exist_ok=True)
    lines = [
        'model_provider = "local"',
        f'model = "{MODEL}"',
        *(f"{name} = {json.dumps(value)}" for name, value in settings.items()),
        "[analytics]",
        "enabled = false",
        "[model_providers.local]",
        'name = "local"',
        f'base_url = "{api.url}"',
        'wire_api = "responses"',
        'env_key = "LOCAL_KEY"',
        "request_max_retries = 0",
        "stream_max_retries = 0",
    ]
    (folder / "config.toml").write_text("\n".join(lines) + "\n")
    return {"CODEX_HOME": str(folder), "LOCAL_KEY": "none", "HOME": str(user)}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: ResponsesAPI

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self._fail(Fail(404, "not here"))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.path.endswith("/responses"):
            self._fail(Fail(404, "not here"))
            return
        request = json.loads(body)
        thread = self.headers.get("thread-id") or request.get("prompt_cache_key") or ""
        number, step = self.server.api.next_step(thread, request)
        if isinstance(step, Fail):
            self._fail(step)
            return
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self._event("response.created", response={"id": f"resp_{number}"})
        if isinstance(step, Hang):
            self.server.api.hanging.release()
            self.server.api.closing.wait()
        elif isinstance(step, Answer):
            self.server.api.closing.wait(step.delay_seconds)
            for index, one in enumerate(step.outputs):
                item = output_item(one, request, f"{number}_{index}")
                self._event("response.output_item.done", output_index=index, item=item)
            done = {"id": f"resp_{number}", "usage": step.usage.document()}
            self._event("response.completed", response=done)

    def _event(self, kind: str, **content: Any) -> None:
        self.wfile.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **content})}\n\n".encode())
        self.wfile.flush()

    def _fail(self, step: Fail) -> None:
        body = json.dumps({"error": {"message": step.message, "type": "scripted"}}).encode()
        self.send_response(step.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def output_item(one: Say | Think | Shell | Call | Search, request: dict[str, Any], name: str) -> dict[str, Any]:
    """One output as the API writes it; `name` makes its ids."""
    if isinstance(one, Say):
        content = [{"type": "output_text", "text": one.text}]
        return {"type": "message", "role": "assistant", "id": f"msg_{name}", "content": content}
    if isinstance(one, Think):
        summary = [{"type": "summary_text", "text": part} for part in one.parts]
        return {"type": "reasoning", "id": f"rs_{name}", "summary": summary, "encrypted_content": "none"}
    if isinstance(one, Search):
        action = {"type": "search", "query": one.query}
        return {"type": "web_search_call", "id": f"ws_{name}", "status": "completed", "action": action}
    called = shell_call(one.script, request) if isinstance(one, Shell) else one
    arguments = called.arguments if isinstance(called.arguments, str) else json.dumps(called.arguments)
    item = {"type": "function_call", "id": f"fc_{name}", "call_id": f"call_{name}", "name": called.name}
    return item | {"arguments": arguments} | ({"namespace": called.namespace} if called.namespace else {})


SHELL_TOOLS: dict[str, Callable[[str], dict[str, Any]]] = {
    "exec_command": lambda script: {"cmd": script},
    "shell_command": lambda script: {"command": script},
    "shell": lambda script: {"command": ["bash", "-lc", script]},
}


def shell_call(script: str, request: dict[str, Any]) -> Call:
    """The command, by the shell tool that this Codex offers its model."""
    offered = {tool.get("name") for tool in request["tools"]}
    name = next(name for name in SHELL_TOOLS if name in offered)
    return Call(name, SHELL_TOOLS[name](script))
