"""Routes: shapes, statuses, paging, errors, the guard, streams."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shoal import Ledger, connect
from shoal.errors import BadInput, LeaseLost, NotFound, ServerUnreachable
from tests.fleet import Server


@pytest.fixture
def remote(server: Server) -> Iterator[Ledger]:
    with connect(server.url, actor="renée ✓") as ledger:
        yield ledger


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture
def ask(server: Server) -> Any:
    def ask(method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, raw, {"Content-Type": "application/json"} | names)
        with connection.getresponse() as response:
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    return ask


def test_created_task_comes_back_whole(ask: Any) -> None:
    made = ask("POST", "/api/v1/tasks", {"title": "Größe ✓", "slug": "with%odd&chars"}, shoal_actor="bo")
    assert made.status == 201
    assert (made.json["task_id"], made.json["created_by"]) == (f"T{made.json['id']}", "bo")
    read = ask("GET", f"/api/v1/tasks/{made.json['id']}").json
    assert {name: read[name] for name in made.json} == made.json
    assert ask("GET", "/api/v1/tasks/with%25odd%26chars").json["id"] == made.json["id"]


def test_update_says_what_was_updated(ask: Any) -> None:
    id = ask("POST", "/api/v1/tasks", {"title": "a"}).json["id"]
    changed = ask("PATCH", f"/api/v1/tasks/{id}", {"title": "b", "deadline": None})
    assert (changed.json["title"], changed.json["updated"]) == ("b", ["title"])


def test_list_is_an_array_with_a_link_to_the_next_page(ask: Any) -> None:
    for number in range(3):
        ask("POST", "/api/v1/tasks", {"title": f"t{number}", "queue": "paged"})
    first = ask("GET", "/api/v1/tasks?limit=2&queue=paged")
    assert [task["title"] for task in first.json] == ["t2", "t1"]
    link = first.headers["link"]
    assert link.endswith('; rel="next"')
    second = ask("GET", link[1 : link.index(">")])
    assert [task["title"] for task in second.json] == ["t0"]
    assert "link" not in second.headers


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "field"),
    [
        ("GET", "/api/v1/tasks/T999999", None, 404, "not_found", "task"),
        ("GET", "/api/v1/nothing", None, 404, "not_found", None),
        ("PUT", "/api/v1/tasks", {}, 405, "bad_input", None),
        ("POST", "/api/v1/tasks", {}, 400, "bad_input", "title"),
        ("POST", "/api/v1/tasks", {"title": "x", "colour": 1}, 400, "bad_input", "colour"),
        ("POST", "/api/v1/tasks", [], 400, "bad_input", None),
        ("POST", "/api/v1/tasks", b"", 400, "bad_input", None),
        ("POST", "/api/v1/tasks", b"{", 400, "bad_input", None),
        ("POST", "/api/v1/tasks", b'{"title": "\xff"}', 400, "bad_input", None),
        ("POST", "/api/v1/tasks", b'{"title": "\\ud800"}', 400, "bad_input", None),
        ("POST", "/api/v1/tasks", b'{"title": "a\\u0000b"}', 400, "bad_input", "title"),
        ("POST", "/api/v1/tasks", b'{"title": "x", "estimate_minutes": 1e400}', 400, "bad_input", "estimate_minutes"),
        ("POST", "/api/v1/tasks", b'{"title": "x", "deadline": 99999999999999999999999}', 400, "bad_input", "deadline"),
        ("POST", "/api/v1/tasks/claim", b"[" * 100_000, 400, "bad_input", None),
        ("POST", "/api/v1/tasks/claim", b'{"worker": ' + b"[" * 100_000, 400, "bad_input", None),
        (
            "POST",
            "/api/v1/tasks/T1/complete",
            b'{"result": ' + b"[" * 500 + b"]" * 500 + b"}",
            400,
            "bad_input",
            "result",
        ),
        ("GET", "/api/v1/tasks?limit=-1", None, 400, "bad_input", "limit"),
        ("GET", "/api/v1/tasks?limit=abc", None, 400, "bad_input", "limit"),
        ("GET", "/api/v1/tasks?limit=1&limit=2", None, 400, "bad_input", "limit"),
        ("GET", "/api/v1/tasks?colour=red", None, 400, "bad_input", "colour"),
        ("GET", "/api/v1/tasks?status=odd", None, 400, "bad_input", "status"),
        ("GET", "/api/v1/tasks/%ff", None, 400, "bad_input", "task"),
        ("GET", "/api/v1/events/stream?after=-1", None, 400, "bad_input", "after"),
        ("GET", "/api/v1/events/stream?kinds=odd", None, 400, "bad_input", "kinds"),
        ("GET", "/api/v1/events/wait?wait_seconds=1000", None, 400, "bad_input", "wait_seconds"),
        ("POST", "/api/v1/tasks", b" " * 9_000_000, 413, "too_large", None),
    ],
)
def test_bad_requests_are_refused_in_words(
    ask: Any, method: str, path: str, body: Any, status: int, code: str, field: str | None
) -> None:
    answer = ask(method, path, body)
    assert (answer.status, answer.json["code"], answer.json.get("field")) == (status, code, field), answer.body
    assert answer.json["error"]


def test_other_content_types_are_refused(ask: Any) -> None:
    assert ask("POST", "/api/v1/tasks", {"title": "x"}, Content_Type="text/plain").status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil@127.0.0.1/"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_no_web_page_can_drive_the_server(ask: Any, headers: dict[str, str]) -> None:
    refused = ask("POST", "/api/v1/tasks", {"title": "evil"}, **headers)
    assert (refused.status, refused.json["code"]) == (403, "forbidden")


def test_same_origin_and_localhost_are_let_in(ask: Any, server: Server) -> None:
    netloc = urlsplit(server.url).netloc
    assert ask("GET", "/health", Origin=server.url).status == 200
    assert ask("GET", "/health", Host=netloc.replace("127.0.0.1", "localhost")).status == 200


def test_remote_ledger_is_the_same_as_an_embedded_one(remote: Ledger) -> None:
    made = remote.tasks.create(title="remote", queue="r", labels=["a b", "c&d"])
    assert made.created_by == "renée ✓"
    assert remote.tasks.get(made.id) == made
    claim = remote.tasks.claim(worker="w", queue="r").claims[0]
    with pytest.raises(LeaseLost) as lost:
        remote.tasks.complete(made.id, attempt=7)
    assert lost.value.field == "attempt"
    assert remote.tasks.complete(made.id, attempt=claim.attempt, result={"x": 1}).result == {"x": 1}
    with pytest.raises(NotFound):
        remote.tasks.get("no/such?task")
    with pytest.raises(BadInput):
        remote.tasks.create(title="")
    remote.tasks.create(title="another")
    page = remote.tasks.list(limit=1)
    assert page.next is not None
    assert remote.tasks.list(limit=1, cursor=page.next) != page
    assert remote.tasks.update(made.id, priority="low").updated == ["priority"]
    remote.tasks.depend(remote.tasks.create(title="b").id, on=remote.tasks.create(title="c").id)
    with remote.lock("remote-lock", owner="x") as lock:
        assert lock.owner == "x"
    assert remote.stats.get().last_event > 0


def test_connection_kept_from_before_a_restart_does_no_harm(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with connect(server.url, actor="a") as ledger:
        ledger.tasks.create(title="x")
        claim = ledger.tasks.claim(worker="w").claims[0]
        server.kill()
        again = Server(tmp_path, "--port", server.url.rpartition(":")[2])
        assert ledger.tasks.complete(claim.task.id, attempt=claim.attempt).status == "completed"
        assert ledger.tasks.create(title="y").id == 2
        again.stop()


def test_nobody_at_the_address_is_said_so() -> None:
    with connect("http://127.0.0.1:9", actor="a") as ledger:
        ledger.engine._retry_seconds = 0.0  # type: ignore[attr-defined]
        with pytest.raises(ServerUnreachable, match="shoal serve"):
            ledger.tasks.get(1)


def read_events(server: Server, path: str, count: int, **headers: str) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    found: list[dict[str, Any]] = []
    with connection.getresponse() as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        while len(found) < count:
            line = response.readline().decode()
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
    connection.close()
    return found


def test_stream_has_no_gap_and_no_duplicate_after_a_reconnect(server: Server, remote: Ledger) -> None:
    start = remote.stats.get().last_event
    made = [remote.tasks.create(title=f"s{number}").id for number in range(6)]
    first = read_events(server, f"/api/v1/events/stream?after={start}", 4)
    second = read_events(server, "/api/v1/events/stream", 2, Last_Event_ID=str(first[-1]["id"]))
    assert [event["task"] for event in first + second] == made


def test_stream_tells_what_happens_while_it_is_open(server: Server, remote: Ledger) -> None:
    import threading

    start = remote.stats.get().last_event
    found: list[dict[str, Any]] = []
    reader = threading.Thread(
        target=lambda: found.extend(read_events(server, f"/api/v1/events/stream?after={start}&kinds=task.commented", 1))
    )
    reader.start()
    made = remote.tasks.create(title="live")
    remote.tasks.comment(made.id, message="now")
    reader.join(10)
    assert [(event["kind"], event["task"]) for event in found] == [("task.commented", made.id)]


def test_session_can_be_watched_over_http(server: Server, remote: Ledger, ask: Any) -> None:
    import threading

    task = remote.tasks.create(title="watched").id
    remote.tasks.claim(worker="w", task=task)
    session = remote.tasks.begin_session(task, attempt=1, agent="claude-1", kind="claude")
    kinds = "session.said,tool.started,tool.completed,tool.failed"
    found: list[dict[str, Any]] = []
    path = f"/api/v1/events/stream?task=T{task}&kinds={kinds}&after=0"
    reader = threading.Thread(target=lambda: found.extend(read_events(server, path, 3)))
    reader.start()
    reports = [
        [{"item": "started", "provider_session": "abc"}],
        [{"item": "said", "key": "m1", "role": "assistant", "text": "hello"}],
        [{"item": "tool_begun", "tool_call_id": "t1", "name": "Bash"}],
        [{"item": "tool_ended", "tool_call_id": "t1", "error": "exit 1", "duration_ms": 3}],
    ]
    for items in reports:
        remote.tasks.create(title="something else")
        for _ in range(2):
            answer = ask("POST", f"/api/v1/sessions/{session.id}/record", {"attempt": 1, "items": items})
            assert (answer.status, answer.json) == (200, {"told": [], "stop": None})
    reader.join(10)
    assert [(event["kind"], event["data"]["session"]) for event in found] == [
        ("session.said", session.id),
        ("tool.started", session.id),
        ("tool.failed", session.id),
    ]
    assert found[2]["data"]["duration_ms"] == 3
    first = ask("GET", f"/api/v1/sessions/{session.id}/transcript?limit=1")
    link = first.headers["link"]
    second = ask("GET", link[1 : link.index(">")])
    assert [line["role"] for line in first.json + second.json] == ["assistant", "tool"]
    assert remote.sessions.transcript(session.id)[1].tool.error == "exit 1"  # type: ignore[union-attr]
    assert ask("GET", "/api/v1/sessions/nine").json["field"] == "session"
    assert ask("POST", "/api/v1/sessions/nine/end", {"attempt": 1, "outcome": "lost"}).json["field"] == "session"
    assert ask("POST", f"/api/v1/sessions/{session.id}/record", {"attempt": 7}).json["code"] == "lease_lost"


def test_stream_of_one_task_sleeps_while_others_are_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from shoal.api import stream
    from shoal.ledger.embedded import EmbeddedEngine

    monkeypatch.setattr(stream, "KEEP_ALIVE_SECONDS", 0.2)

    async def watch(ledger: Ledger) -> tuple[list[bytes], int]:
        assert isinstance(ledger.engine, EmbeddedEngine)
        tailer = stream.Tailer(ledger.engine)
        pages = 0
        page = tailer.page

        async def counted(after: int, filters: dict[str, Any]) -> Any:
            nonlocal pages
            pages += 1
            return await page(after, filters)

        monkeypatch.setattr(tailer, "page", counted)
        events = stream._events(tailer, 0, {"task": 1}, set())
        told = [await asyncio.wait_for(anext(events), 10) for _ in range(4)]
        tailer.stop_soon()
        await events.aclose()
        return told, pages

    with connect(str(tmp_path / "ledger.db")) as ledger:
        ledger.tasks.create(title="watched")
        ledger.tasks.create_many(tasks=[{"title": "busy"}] * 5)
        told, pages = asyncio.run(watch(ledger))
    assert b"task.created" in told[1]
    assert told[2:] == [b": still here\n\n"] * 2
    assert pages <= 3


def test_waiting_request_answers_when_there_is_something(ask: Any, remote: Ledger) -> None:
    remote.tasks.create(title="a")
    last = remote.stats.get().last_event
    assert ask("GET", f"/api/v1/events/wait?after={last}&wait_seconds=0.05").json == {"arrived": False}
    assert ask("GET", f"/api/v1/events/wait?after={last - 1}&wait_seconds=5").json == {"arrived": True}


def test_metrics_count_what_agents_use(ask: Any, remote: Ledger) -> None:
    assert "shoal_cached_input_ratio{" not in ask("GET", "/metrics").body.decode()
    task = remote.tasks.create(title="a")
    call = {"task": task.id, "provider": "anthropic", "agent": "bo"}
    remote.costs.record(
        costs=[
            call | {"request_key": "k", "model": "one", "input_tokens": 50, "cost_usd_micros": 1_250_000},
            call | {"request_key": "l", "model": "two", "cache_read_tokens": 300, "cache_write_tokens": 50},
            call | {"request_key": "m", "model": "two", "output_tokens": 7, "cost_usd_micros": 500_000},
        ]
    )
    metrics = ask("GET", "/metrics").body.decode().splitlines()
    for line in (
        'shoal_model_calls_total{agent="bo",model="two"} 2.0',
        'shoal_model_calls_unpriced_total{agent="bo",model="two"} 1.0',
        'shoal_cost_usd_total{agent="bo",model="one"} 1.25',
        'shoal_tokens_total{agent="bo",kind="cache_read",model="two"} 300.0',
        'shoal_tokens_total{agent="bo",kind="output",model="two"} 7.0',
        'shoal_cached_input_ratio{agent="bo",configuration=""} 0.75',
    ):
        assert line in metrics


def test_share_of_cached_input_is_that_of_a_configuration(ask: Any, remote: Ledger) -> None:
    task = remote.tasks.create(title="a", queue="cached").id
    remote.tasks.claim(worker="w", queue="cached")
    told = []
    for name, cached in (("one", 300), ("two", 100)):
        session = remote.tasks.begin_session(task, attempt=1, agent="cy", kind="claude", configuration=name)
        told.append(f'shoal_cached_input_ratio{{agent="cy",configuration="{session.configuration}"}} {cached / 400}')
        for key, part in (("plain", {"input_tokens": 400 - cached}), ("cached", {"cache_read_tokens": cached})):
            usage = {"request_key": f"{name} {key}", "provider": "anthropic", "model": "m"} | part
            remote.sessions.record(session.id, attempt=1, items=[{"item": "spent", "usage": usage}])
    metrics = ask("GET", "/metrics").body.decode().splitlines()
    assert set(told) <= set(metrics)
    assert 'shoal_tokens_total{agent="cy",kind="cache_read",model="m"} 400.0' in metrics

    old = {"task": task, "request_key": "old", "provider": "p", "model": "m", "agent": "al", "at": 1, "input_tokens": 9}
    remote.costs.record(costs=[old])
    metrics = ask("GET", "/metrics").body.decode().splitlines()
    assert 'shoal_model_calls_total{agent="al",model="m"} 1.0' in metrics
    assert not [line for line in metrics if line.startswith('shoal_cached_input_ratio{agent="al"')], "not used lately"


def test_costs_are_recorded_and_read_over_http(ask: Any, remote: Ledger) -> None:
    remote.tasks.create(title="a")
    costs = [
        {"task": "T1", "request_key": f"k{n}", "provider": "openai", "model": "gpt-5", "input_tokens": 800}
        for n in range(3)
    ]
    for counted, known in ((3, 0), (0, 3)):
        assert ask("POST", "/api/v1/costs", {"costs": costs}).json == {
            "counted": counted,
            "known": known,
            "unpriced": 0,
        }
    first = ask("GET", "/api/v1/costs?task=T1&limit=2")
    assert [one["cost_usd_micros"] for one in first.json] == [1000, 1000]
    page = remote.costs.list(task=1, limit=2)
    assert [one.request_key for one in remote.costs.list(task=1, limit=2, cursor=page.next)] == ["k2"]
    assert ask("GET", "/api/v1/costs/sums?by=model&task=T1&since=0").json == [
        {
            "key": "gpt-5",
            "calls": 3,
            "input_tokens": 2400,
            "output_tokens": 0,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "cost_usd_micros": 3000,
            "unpriced": 0,
        }
    ]
    refused = ask("POST", "/api/v1/costs", {"costs": [*costs, costs[0] | {"input_tokens": "many"}]})
    assert (refused.status, refused.json["field"]) == (400, "costs[3].input_tokens")
    assert ask("GET", "/api/v1/costs/sums?by=weather").status == 400


def test_health_metrics_page_and_description(ask: Any) -> None:
    health = ask("GET", "/health")
    assert health.status == 200
    assert health.json["ok"]
    assert set(health.json["loops"]) == {
        *(
            "reaper",
            "pruner",
            "checkpointer",
            "backup",
            "vault",
            "archiver",
            "items",
            "occasions",
            "supervisor",
            "settings",
        ),
        *("broker", "scheduler", "runs", "manifest"),
    }
    assert health.json["database"]["database_bytes"] > 0
    metrics = ask("GET", "/metrics").body.decode()
    for name in (
        "shoal_tasks",
        "shoal_oldest_ready_seconds",
        "shoal_claim_seconds",
        "shoal_event_lag",
        "shoal_wal_bytes",
    ):
        assert name in metrics
    page = ask("GET", "/").body.decode()
    assert "Newest events" in page
    assert "<script" not in page
    assert len(ask("GET", "/openapi.json").json["paths"]) > 30


def test_page_escapes_what_people_wrote(ask: Any) -> None:
    ask("POST", "/api/v1/tasks", {"title": "<script>alert(1)</script>"})
    assert "<script>" not in ask("GET", "/").body.decode()
