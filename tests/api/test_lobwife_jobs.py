"""Jobs by lobwife's routes: what its callers sent and were answered."""

from __future__ import annotations

import http.client
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shoal import Ledger
from tests.conftest import wait_until
from tests.fleet import Server


@pytest.fixture
def curl(server: Server) -> Any:
    """As `curl -X METHOD`: without a body and without a content type that would be ours."""

    def ask(method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        connection.request(method, path, body, headers)
        with connection.getresponse() as response:
            answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    return ask


def test_job_from_its_making_to_its_end(curl: Any, remote: Ledger) -> None:
    made = {"kind": "program", "command": ["sh", "-c", "echo one; sleep 0.3; echo two; exit ${CODE:-0}"]}
    remote.jobs.create(name="sweep", schedule="*/5 * * * *", action=made, description="Sweeps.")
    status, before = curl("GET", "/api/jobs")
    next_run = before["sweep"].pop("next_run")
    assert datetime.fromisoformat(next_run).timestamp() * 1000 == remote.jobs.get("sweep").next_fire_at
    assert " " in next_run
    assert (status, before["sweep"]) == (
        200,
        {
            "description": "Sweeps.",
            "schedule": "*/5 * * * *",
            "enabled": True,
            "running": False,
            "last_run": None,
            "last_status": None,
            "last_duration": None,
            "run_count": 0,
            "fail_count": 0,
        },
    )
    assert curl("POST", "/api/jobs/sweep/trigger", "x=1") == (200, {"message": "Job sweep triggered"})
    message = "Job sweep is already running"
    assert curl("POST", "/api/jobs/sweep/trigger") == (409, {"error": message, "message": message, "code": "refused"})
    after = wait_until(lambda: (found := curl("GET", "/api/jobs/sweep")[1])["last_status"] and found)
    assert (after["last_status"], after["last_output"], after["run_count"], after["fail_count"]) == (
        *("success", "one\ntwo"),
        *(1, 0),
    )
    assert 0.2 <= after["last_duration"] < 10
    assert datetime.fromisoformat(after["last_run"]).tzinfo is not None
    assert (after["name"], after["concurrency"], after["running"]) == ("sweep", "forbid", False)
    assert after["script"].startswith("sh -c ")
    remote.jobs.update("sweep", environment={"CODE": "3"})
    curl("POST", "/api/jobs/sweep/trigger")
    wait_until(lambda: curl("GET", "/api/jobs/sweep")[1]["last_status"] == "failed")
    assert curl("GET", "/api/jobs")[1]["sweep"]["fail_count"] == 1


def test_job_is_disabled_and_enabled(curl: Any, remote: Ledger) -> None:
    remote.jobs.create(name="toggled", schedule="@daily", action={"kind": "program", "command": ["true"]})
    assert curl("POST", "/api/jobs/toggled/disable") == (200, {"message": "Job toggled disabled"})
    found = curl("GET", "/api/jobs/toggled")[1]
    assert (found["enabled"], found["next_run"]) == (False, None)
    assert curl("POST", "/api/jobs/toggled/enable") == (200, {"message": "Job toggled enabled"})
    assert curl("GET", "/api/jobs/toggled")[1]["enabled"] is True


@pytest.mark.parametrize("path", ["/trigger", "/enable", "/disable", ""])
def test_unknown_job_is_told_as_error(curl: Any, path: str) -> None:
    status, told = curl("POST" if path else "GET", f"/api/jobs/nobody{path}")
    assert (status, told["error"]) == (404, "Unknown job: nobody")
    assert curl("GET", "/api/jobs/%00")[0] == 404


def test_status_has_jobs_and_broker(curl: Any) -> None:
    status, told = curl("GET", "/api/status")
    assert (status, told["status"], set(told)) == (200, "ok", {"status", "uptime", "jobs", "broker"})
    assert told["uptime"] > 0
    assert told["jobs"] == curl("GET", "/api/jobs")[1]
    assert told["broker"] == {
        "enabled": False,
        "app_id": None,
        "active_tasks": 0,
        "total_tokens_issued": 0,
        "audit_entries": 0,
    }


def test_sync_answers_what_changed_or_why_nothing_did(curl: Any, server: Server) -> None:
    written = Path(server.home) / "jobs.toml"
    status, told = curl("POST", "/api/jobs/sync")
    assert (status, told["success"]) == (400, False)
    assert "there is no jobs.toml" in told["error"]
    written.write_text('[jobs.night]\nschedule = "99 3 * * *"\ncommand = "sweep.sh"\n')
    status, told = curl("POST", "/api/jobs/sync")
    assert status == 400
    assert "jobs.toml, line 2: job night: " in told["error"]
    written.write_text('[jobs.night]\nschedule = "0 3 * * *"\ncommand = "sweep.sh"\n')
    status, told = curl("POST", "/api/jobs/sync")
    assert (status, told["success"], told["jobs_added"], told["message"]) == (200, True, ["night"], "1 added")
    assert {"sha", "jobs_removed", "jobs_rescheduled", "jobs_changed"} <= set(told)
    assert curl("POST", "/api/v1/jobs/sync")[0] == 200


def test_routes_are_marked_deprecated(curl: Any) -> None:
    paths = curl("GET", "/openapi.json")[1]["paths"]
    for path in ("/api/status", "/api/jobs", "/api/jobs/{name}"):
        assert paths[path]["get"]["deprecated"] is True
    assert paths["/api/jobs/{name}/trigger"]["post"]["deprecated"] is True
