"""Calls of lobwife's clients, as curl made them: statuses and exact keys. What their words do to tasks, besides."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from shoal import Ledger
from shoal.api.openapi import document
from shoal.settings import APP_KEY
from tests.fleet import SHOAL, Server, environment
from tests.github_app import APP_ID, AppApi, pem

ADMIN = "the-administrators-token"
BEARER = {"Authorization": f"Bearer {ADMIN}"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api() -> Iterator[AppApi]:
    api = AppApi()
    yield api
    api.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, api: AppApi) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    subprocess.run([*SHOAL, "--home", str(home), "init"], check=True, env=environment(), capture_output=True)
    (home / "shoal.toml").write_text(
        f'github_url = "{api.url}"\n[broker]\napp_id = {APP_ID}\ninstallation = 7\n'
        '[broker.services.web]\nrepositories = ["acme/web"]\n'
    )
    server = Server(home, **{APP_KEY: base64.b64encode(pem()).decode(), "SHOAL_ADMIN_TOKEN": ADMIN})
    yield server
    assert server.stop() == 0


@pytest.fixture
def curl(server: Server) -> Any:
    def curl(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
        raw = None if body is None else json.dumps(body).encode()
        connection.request(method, path, raw, (JSON if raw else {}) | headers)
        with connection.getresponse() as response:
            answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    return curl


def test_calls_of_old_curls_are_understood_whatever_they_call_their_json(curl: Any) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, made = curl("POST", "/api/v1/tasks", {"name": "Old"}, **form)
    assert (status, set(made)) == (201, {"id", "task_id"})
    path = f"/api/v1/tasks/{made['task_id']}"
    for change in ({"name": "New"}, {"priority": "high"}):
        status, answer = curl("PATCH", path, change, **form)
        assert (status, answer["updated"]) == (200, list(change))
    status, answer = curl("POST", "/api/v1/tasks", {"title": "new words"}, **form)
    assert (status, "send application/json" in answer["error"]) == (400, True)
    assert curl("POST", f"{path}/hold", {"reason": "x"}, **form)[0] == 400


def test_task_is_created_read_listed_changed_and_cancelled(curl: Any) -> None:
    status, made = curl(
        "POST", "/api/v1/tasks", {"name": "Unity UI", "type": "swe", "priority": "normal", "slug": "2026-02-15-ui"}
    )
    assert (status, set(made)) == (201, {"id", "task_id"})
    assert made["task_id"] == f"T{made['id']}"
    path = f"/api/v1/tasks/{made['id']}"

    status, task = curl("GET", path)
    assert (status, task["name"], task["status"], task["assigned_to"]) == (200, "Unity UI", "queued", None)
    assert {"id", "task_id", "slug", "type", "priority", "model", "repos", "workflow", "requires_qa"} <= task.keys()
    assert (task["broker_repos"], task["broker_status"], task["token_count"]) == (None, None, 0)

    status, listed = curl("GET", "/api/v1/tasks?status=queued&type=swe&limit=10")
    assert status == 200
    assert {"name": "Unity UI", "task_id": made["task_id"]}.items() <= listed[0].items()

    change = {"priority": "high", "name": "Unity UI overhaul", "repos": ["acme/web"], "actor": "lobboss"}
    assert curl("PATCH", path, change) == (200, {**made, "updated": ["priority", "name", "repos"]})
    assert curl("GET", path)[1]["priority"] == 1

    assert curl("DELETE", path) == (200, {**made, "status": "cancelled"})
    status, refused = curl("DELETE", path)
    assert (status, refused["error"]) == (409, f"Task {made['task_id']} is already cancelled")


def test_task_lives_its_life_by_statuses(curl: Any, remote: Ledger) -> None:
    _, made = curl("POST", "/api/v1/tasks", {"name": "life", "status": "blocked"})
    path = f"/api/v1/tasks/{made['id']}"

    def patch(**given: Any) -> str:
        status, answer = curl("PATCH", path, given)
        assert (status, answer["updated"]) == (200, list(given)), answer
        found: str = remote.tasks.get(made["id"]).status.value
        return found

    assert patch(status="queued") == "queued"
    assert patch(status="active", assigned_to="lobster-1", assigned_at="2026-02-16T10:00:00Z") == "active"
    task = remote.tasks.get(made["id"])
    assert (task.assignee, task.worker, task.attempt) == ("lobster-1", "lobwife:lobster-1", 1)
    assert patch(status="blocked") == "blocked"
    assert patch(status="active") == "active"
    assert patch(status="failed") == "failed"
    assert patch(status="queued") == "queued"
    assert patch(status="active", assigned_to="lobster-2") == "active"
    assert patch(status="completed", completed_at="2026-02-16T11:00:00Z") == "completed"
    assert curl("GET", path)[1]["assigned_to"] == "lobster-2"


def test_worker_of_ours_is_not_overruled_by_a_status(curl: Any, remote: Ledger) -> None:
    task = remote.tasks.create(title="held").id
    remote.tasks.claim(worker="w", task=task)
    status, refused = curl("PATCH", f"/api/v1/tasks/{task}", {"status": "completed"})
    assert (status, refused["code"]) == (409, "wrong_status")
    assert curl("PATCH", f"/api/v1/tasks/{task}", {"status": "cancelled"})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/api/v1/tasks", {"name": ""}, 400, None),
        ("POST", "/api/v1/tasks", {"name": "x", "status": "odd"}, 400, "invalid status: odd"),
        ("POST", "/api/v1/tasks", {"name": "x", "title": "y"}, 400, None),
        ("POST", "/api/v1/tasks", {"name": 7}, 400, None),
        ("POST", "/api/v1/tasks", {"name": "x", "token_count": 7}, 403, None),
        ("PATCH", "/api/v1/tasks/987654", {"name": "x"}, 404, None),
        ("PATCH", "/api/v1/tasks/1", {"actor": "x"}, 400, "no valid fields to update"),
        ("PATCH", "/api/v1/tasks/1", {"broker_repos": ["acme/web"], "broker_status": "active"}, 403, None),
        ("DELETE", "/api/v1/tasks/987654", None, 404, None),
        ("GET", "/api/v1/tasks/987654", None, 404, None),
        ("POST", "/api/v1/tasks/1/events", {"event_type": " "}, 400, "event_type is required"),
        ("POST", "/api/tasks/T1/register", {"repos": []}, 400, "repos required"),
        ("POST", "/api/tasks/T1/register", {"repos": ["acme/web"]}, 403, None),
        ("POST", "/api/tasks/T1/register", [], 400, None),
        ("POST", "/api/token", {}, 400, "task_id required"),
        ("POST", "/api/token", {"task_id": "no-such-task"}, 403, None),
        ("POST", "/api/token", {"task_id": True}, 400, None),
        ("POST", "/api/v1/service-token", {}, 400, "service required"),
        ("POST", "/api/v1/service-token", {"service": "web"}, 403, None),
    ],
)
def test_refusals_have_an_error(
    curl: Any, method: str, path: str, body: Any, status: int, error: str | None, remote: Ledger
) -> None:
    if not remote.tasks.list(limit=1):
        remote.tasks.create(title="first")
    answered, told = curl(method, path, body)
    assert answered == status, told
    assert told["error"]
    assert error is None or told["error"] == error


def test_events_are_logged_and_listed(curl: Any) -> None:
    _, made = curl("POST", "/api/v1/tasks", {"name": "talkative"})
    path = f"/api/v1/tasks/{made['id']}/events"
    logged = curl("POST", path, {"event_type": "retry", "detail": "second try", "actor": "lobster-7"})
    assert logged == (201, {"status": "logged", "task_id": made["task_id"]})
    curl("PATCH", f"/api/v1/tasks/{made['id']}", {"priority": "low", "actor": "lobboss"})
    status, events = curl("GET", path)
    assert status == 200
    assert [(one["event_type"], one["detail"], one["actor"]) for one in events] == [
        ("updated", "Updated: priority", "lobboss"),
        ("retry", "second try", "lobster-7"),
        ("created", "status=queued", "api"),
    ]
    assert set(events[0]) == {"id", "task_id", "event_type", "detail", "actor", "created_at", "kind"}
    assert events[0]["task_id"] == made["id"]


@pytest.mark.parametrize("named", ["task_id", "id", "slug", "title"])
def test_token_from_registration_to_removal(curl: Any, remote: Ledger, named: str) -> None:
    task = remote.tasks.create(title=f"Work on {named}", slug=f"2026-02-15-{named}")
    ref = str(getattr(task, named))
    path = "/api/tasks/" + ref.replace(" ", "%20")
    registered = curl("POST", f"{path}/register", {"repos": ["acme/web"], "lobster_type": "swe"}, **BEARER)
    assert registered == (200, {"status": "registered", "task_id": ref})

    mine = curl("GET", "/api/tasks")[1][task.task_id]
    assert set(mine) == {"repos", "lobster_type", "registered_at", "status", "token_count"}
    assert (mine["repos"], mine["lobster_type"], mine["status"]) == (["acme/web"], "swe", "active")

    status, refused = curl("POST", "/api/token", {"task_id": ref}, **BEARER)
    assert (status, "error" in refused) == (403, True), "nobody is at work yet"
    claim = remote.tasks.claim(worker="w", task=task.id).claims[0]
    status, token = curl("POST", "/api/token", {"task_id": ref}, **{"X-Shoal-Key": claim.key})
    assert (status, set(token)) == (200, {"token", "expires_at"})
    assert token["expires_at"].endswith("Z")
    assert curl("POST", "/api/token", {"task_id": ref}, **BEARER) == (200, token)
    assert curl("POST", "/api/token", {"task_id": ref})[0] == 403, "without a key"
    assert curl("GET", f"/api/v1/tasks/{task.id}")[1]["broker_repos"] == ["acme/web"]

    assert curl("DELETE", path, **BEARER) == (200, {"status": "removed", "task_id": ref})
    assert curl("DELETE", path, **BEARER) == (200, {"status": "removed", "task_id": ref})
    assert curl("POST", "/api/token", {"task_id": ref}, **BEARER)[0] == 403
    status, lines = curl("GET", f"/api/token/audit?task_id={path.removeprefix('/api/tasks/')}")
    assert status == 200
    assert set(lines[0]) == {"timestamp", "task_id", "repos", "action"}
    assert {"task_registered", "token_issued", "token_refused", "task_deregistered"} <= {one["action"] for one in lines}
    assert {one["task_id"] for one in lines} == {task.task_id}


def test_registration_below_the_versioned_route_and_removal_of_what_is_not_there(curl: Any, remote: Ledger) -> None:
    task = remote.tasks.create(title="v1")
    asked = {"repos": ["acme/api"], "lobster_type": "qa"}
    assert curl("POST", f"/api/v1/tasks/{task.id}/register", asked, **BEARER) == (
        200,
        {"status": "registered", "task_id": task.task_id},
    )
    assert curl("DELETE", "/api/tasks/nobody") == (200, {"status": "removed", "task_id": "nobody"})
    assert curl("GET", "/api/token/audit?task_id=nobody") == (200, [])


def test_name_of_two_tasks_is_no_ref(curl: Any, remote: Ledger) -> None:
    for _ in range(2):
        remote.tasks.create(title="twin")
    status, refused = curl("POST", "/api/tasks/twin/register", {"repos": ["acme/web"]}, **BEARER)
    assert (status, refused["code"]) == (409, "ambiguous_ref")


def test_service_gets_a_token(curl: Any) -> None:
    status, token = curl("POST", "/api/v1/service-token", {"service": "web"}, **BEARER)
    assert (status, set(token)) == (200, {"token", "expires_at"})
    assert curl("POST", "/api/v1/service-token", {"service": "other"}, **BEARER)[0] == 404


def test_curl_without_a_content_type_is_understood(server: Server, remote: Ledger) -> None:
    task = remote.tasks.create(title="plain")
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    form = {"Content-Type": "application/x-www-form-urlencoded"} | BEARER
    connection.request("POST", f"/api/tasks/{task.task_id}/register", b'{"repos": ["acme/web"]}', form)
    with connection.getresponse() as response:
        assert response.status == 200
        response.read()
    connection.request("POST", "/api/token", b"{}", form | {"Origin": "http://evil.example"})
    with connection.getresponse() as response:
        assert response.status == 403
    connection.close()


def test_health_and_sync_have_what_they_had(curl: Any) -> None:
    status, health = curl("GET", "/health")
    assert (status, health["status"], health["db"]["ok"]) == (200, "ok", True)
    assert {"status", "uptime", "jobs_running", "broker", "db", "ok"} <= health.keys()
    assert set(health["db"]) == {"ok", "size_bytes", "task_count"}
    broker = {"enabled", "app_id", "active_tasks", "total_tokens_issued", "audit_entries"}
    assert (set(health["broker"]), health["broker"]["enabled"]) == (broker, True)
    assert {"enabled", "last_sync", "running"} <= curl("GET", "/api/v1/sync")[1].keys()
    status, asked = curl("POST", "/api/v1/sync/trigger")
    assert (status, asked["status"]) == (202, "sync requested")


def test_new_words_get_the_answers_they_always_got(curl: Any, remote: Ledger) -> None:
    status, made = curl("POST", "/api/v1/tasks", {"title": "new"})
    assert (status, made["title"]) == (201, "new")
    assert curl("PATCH", f"/api/v1/tasks/{made['id']}", {"priority": "high"})[1]["updated"] == ["priority"]
    assert curl("PATCH", f"/api/v1/tasks/{made['id']}", {"priority": "high"})[1]["updated"] == []
    assert remote.tasks.update(made["id"], title="newer").title == "newer"


def test_old_routes_are_marked_as_deprecated() -> None:
    paths = document()["paths"]
    for path, method in [
        ("/api/tasks", "get"),
        ("/api/tasks/{ref}", "delete"),
        ("/api/tasks/{ref}/register", "post"),
        ("/api/token", "post"),
        ("/api/token/audit", "get"),
        ("/api/v1/service-token", "post"),
        ("/api/v1/tasks/{task}", "delete"),
        ("/api/v1/tasks/{task}/events", "get"),
        ("/api/v1/tasks/{task}/events", "post"),
    ]:
        assert paths[path][method]["deprecated"], path
    body = paths["/api/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["name"]["deprecated"]
    assert not paths["/api/v1/tasks"]["post"].get("deprecated")
