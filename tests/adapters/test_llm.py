"""Questions to models: schema, second tries, usage, and what is said when it cannot be done. Models are scripted."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx2
import pytest

from shoal.adapters.llm import prioritiser, scoper
from shoal.adapters.llm.model import Model, most_used
from shoal.errors import ModelError, ModelUnreachable, NotConfigured
from tests.agents.messages_api import Answer, MessagesApi, Tokens, Tool
from tests.conftest import wait_until

HAIKU = "anthropic:claude-haiku-4-5"
GOOD = {
    "title": "Mend the login", "summary": "The week's key is wrong.", "files_involved": ["src/login.py"],
    "effort": "small", "risk": "low", "sub_tasks": ["Find it", "Mend it"],
    "dependencies": [], "overlaps": [], "confidence": "high",
}  # fmt: skip


def says(value: Any, **tokens: int) -> Answer:
    return Answer(tools=(Tool("final_result", value),), tokens=Tokens(**tokens))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesApi]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "anything")
    with MessagesApi() as api:
        yield api


@pytest.fixture
def model(api: MessagesApi) -> Iterator[Model]:
    with Model(HAIKU, base_url=api.url, timeout_seconds=10) as model:
        yield model


def test_answer_fits_the_schema_and_tells_what_it_used(api: MessagesApi, model: Model) -> None:
    api.script("ostrich", says(GOOD, input=100, output=20, cache_read=5, cache_write=7))
    reply = scoper.scope(model, "The item: ostrich")
    assert reply.error is None
    assert reply.value is not None
    assert (reply.value.title, reply.value.effort, reply.value.sub_tasks) == (
        *("Mend the login", "small", ["Find it", "Mend it"]),
    )
    [call] = reply.calls
    assert (call.provider, call.model) == ("anthropic", "claude-haiku-4-5")
    assert (call.input_tokens, call.output_tokens, call.cache_read_tokens, call.cache_write_tokens) == (100, 20, 5, 7)


def test_what_stays_the_same_stands_in_front(api: MessagesApi, model: Model) -> None:
    for word in ("ostrich", "penguin"):
        api.script(word, says(GOOD))
        assert len(scoper.scope(model, f"The item: {word}").calls) == 1
    bodies = [api.served(word)[0].body for word in ("ostrich", "penguin")]
    first, second = (json.dumps([one["tools"], one["system"]]) for one in bodies)
    assert first == second
    assert "ostrich" not in first
    assert '"pattern"' not in first  # some providers know no lookahead
    assert api.served("ostrich")[0].body["max_tokens"] == 8000


def test_answer_that_does_not_fit_is_asked_for_again(api: MessagesApi, model: Model) -> None:
    api.script("ostrich", says(GOOD | {"effort": "tiny"}, output=11), Answer(text="Certainly!"), says(GOOD))
    reply = scoper.scope(model, "ostrich")
    assert reply.value is not None
    assert [call.output_tokens for call in reply.calls] == [11, 20, 20]
    again = json.dumps(api.served("ostrich")[1].body["messages"][-1])
    assert "tiny" in again
    assert "answer again" in again


def test_three_bad_answers_are_an_error_with_their_cost(api: MessagesApi, model: Model) -> None:
    api.script("ostrich", *[says({"title": "x"})] * 4)
    reply = scoper.scope(model, "ostrich")
    assert reply.value is None
    assert isinstance(reply.error, ModelError)
    assert "gave no answer that fits (Object missing required field `" in reply.error.message
    assert (len(reply.calls), reply.is_hopeless) == (3, False)
    assert len(api.served("ostrich")) == 3


def test_bad_answer_that_cannot_be_sent_back_is_an_error_with_its_cost(api: MessagesApi, model: Model) -> None:
    api.script("ostrich", says({"title": "x \ud800"}))
    reply = scoper.scope(model, "ostrich")
    assert isinstance(reply.error, ModelError)
    assert "gave no answer that fits (no valid Unicode)" in reply.error.message
    assert [call.is_paid for call in reply.calls] == [True]


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, NotConfigured, "refuses the key"),
        (404, NotConfigured, "there is no model"),
        (400, ModelError, "refused"),
    ],
)
def test_refusals_say_what_to_do(api: MessagesApi, model: Model, status: int, kind: type[Exception], says: str) -> None:
    api.script("ostrich", *[Answer(status=status)] * 3)
    reply = scoper.scope(model, "ostrich")
    assert isinstance(reply.error, kind)
    assert says in reply.error.message
    assert reply.calls == []
    assert reply.is_hopeless == (kind is NotConfigured)


def test_server_that_is_overloaded_is_asked_again_later(api: MessagesApi, model: Model) -> None:
    api.script("ostrich", *[Answer(status=529)] * 5)
    reply = scoper.scope(model, "ostrich")
    assert isinstance(reply.error, ModelUnreachable)
    assert "try again later" in reply.error.message


def test_model_that_never_answers_is_given_up(api: MessagesApi) -> None:
    api.script("ostrich", *[Answer(text="x", wait_seconds=20)] * 9)
    with Model(HAIKU, base_url=api.url, timeout_seconds=0.3) as model:
        reply = scoper.scope(model, "ostrich")
    assert isinstance(reply.error, ModelUnreachable)


def test_answer_that_stops_in_its_middle_is_no_bad_answer(api: MessagesApi) -> None:
    api.script("ostrich", says({"title": "x"}, output=11), *[Answer(text="x", hangs=True)] * 9)
    with Model(HAIKU, base_url=api.url, timeout_seconds=1) as model:
        reply = scoper.scope(model, "ostrich")
    assert isinstance(reply.error, ModelUnreachable)
    assert "did not answer in time" in reply.error.message
    assert "try again later" in reply.error.message
    assert [(call.output_tokens, call.is_paid) for call in reply.calls] == [(11, True), (0, False)]


@pytest.mark.parametrize("silence", [httpx2.ReadTimeout("silent"), TimeoutError()])
def test_silence_is_told_as_that_however_it_is_wrapped(model: Model, silence: Exception) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise silence

    with Model(HAIKU, base_url="http://127.0.0.1:9", timeout_seconds=20) as model:
        model._http._transport = httpx2.MockTransport(answer)
        reply = scoper.scope(model, "ostrich")
    assert isinstance(reply.error, ModelUnreachable)
    assert "did not answer in time" in reply.error.message


def test_what_was_used_until_ctrl_c_is_told(api: MessagesApi, model: Model) -> None:
    api.script("ostrich", says({"title": "x"}, output=11), Answer(text="x", wait_seconds=60))

    def press() -> None:
        wait_until(lambda: len(api.served("ostrich")) == 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    reply = scoper.scope(model, "ostrich")
    pressing.join()
    assert reply.stopped
    assert [(call.output_tokens, call.is_paid) for call in reply.calls] == [(11, True), (0, False)]
    assert len({call.request_key for call in reply.calls}) == 2


class ChatHandler(BaseHTTPRequestHandler):
    """Chat Completions as any compatible endpoint speaks it: one answer, without a stream."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        call = {"name": body["tools"][0]["function"]["name"], "arguments": json.dumps(GOOD)}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": call}],
        }
        content = json.dumps({
            "id": "chat_1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
            "usage": {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34},
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def test_compatible_endpoint_needs_an_address_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), ChatHandler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/v1"
            with Model("openai-chat:homemade", base_url=address, timeout_seconds=10) as model:
                reply = scoper.scope(model, "ostrich")
        finally:
            server.shutdown()
    assert reply.error is None
    assert reply.value is not None
    assert reply.value.title == "Mend the login"
    [call] = reply.calls
    assert (call.provider, call.model, call.input_tokens, call.output_tokens) == ("openai", "homemade", 30, 4)
    assert ChatHandler.asked[0]["model"] == "homemade"


def test_nobody_at_the_address() -> None:
    with Model("openai-chat:local", base_url="http://127.0.0.1:9/v1", timeout_seconds=5) as model:
        reply = scoper.scope(model, "ostrich")
    assert isinstance(reply.error, ModelUnreachable)
    assert "base_url" in reply.error.message


def test_what_is_not_set_up_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotConfigured, match="set ANTHROPIC_API_KEY in the environment"):
        Model()
    with pytest.raises(NotConfigured, match="set OPENAI_API_KEY"):
        Model("openai:gpt-5-mini")
    with pytest.raises(NotConfigured, match="there is no model 'oracle:delphi'"):
        Model("oracle:delphi")
    with pytest.raises(NotConfigured, match="there is no model 'delphi'"):
        Model("delphi")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    with pytest.raises(NotConfigured, match=r"pip install 'shoal\[llm\]'"):
        Model()


def test_order_of_many_names_each_once(api: MessagesApi, model: Model) -> None:
    known = [
        prioritiser.Known(
            item=f"W{n}", name=f"ostrich {n}", summary="", effort="small", risk="low", severity=None, waits_for=[]
        )
        for n in (1, 2)
    ]

    def ranked(*numbers: int) -> dict[str, Any]:
        return {"items": [{"item": f"W{n}", "priority": 2, "sort_order": n, "reason": "why"} for n in numbers]}

    api.script("ostrich", says(ranked(1, 3)), says(ranked(2, 1)))
    reply = prioritiser.prioritise(model, known, goals=["fewer birds"])
    assert reply.value is not None
    assert [one.item for one in reply.value.items] == ["W2", "W1"]
    body = api.served("ostrich")[1].body
    assert "fewer birds" in json.dumps(body)
    assert "missing: W2; not asked for: W3" in json.dumps(body)


def test_most_that_may_be_used_has_every_try_in_it() -> None:
    prompt = "ostrich " * 1000
    calls = most_used(HAIKU, scoper.SYSTEM, prompt)
    assert len(calls) == 3
    assert all(call.output_tokens == 8000 for call in calls)
    assert calls[0].input_tokens >= len(prompt) // 2
