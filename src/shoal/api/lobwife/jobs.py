"""Its jobs: paths, shapes and messages as they were. What there is to know and do about jobs is under /api/v1/jobs."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from shoal.daemon.health import summary, uptime
from shoal.errors import NotFound, Refused, ShoalError
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.job import BuiltIn, Job, Program
from shoal.services import job_summaries
from shoal.services.job_summaries import Summary

Handler = Callable[[Request, dict[str, str]], Awaitable[Response]]
# Method, path, and what it does.
ROUTES = (
    ("GET", "/api/status", "Jobs and the broker in one look."),
    ("GET", "/api/jobs", "Every job by its name."),
    ("GET", "/api/jobs/{name}", "A job and the output of its last run."),
    ("POST", "/api/jobs/sync", "Make the jobs of the manifest what it says."),
    ("POST", "/api/jobs/{name}/trigger", "Run a job now."),
    ("POST", "/api/jobs/{name}/enable", "Let a job fire again."),
    ("POST", "/api/jobs/{name}/disable", "Let a job fire no more."),
)
_encode = msgspec.json.Encoder().encode


class LobwifeJobs:
    """Its routes over one ledger."""

    def __init__(self, engine: EmbeddedEngine, actor_of: Callable[[Request], str]) -> None:
        self._engine = engine
        self._actor_of = actor_of

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        answers: dict[str, Callable[[Ledger, dict[str, str]], tuple[int, Any]]] = {
            "/api/status": self._status,
            "/api/jobs": lambda *_: (200, self._all()),
            "/api/jobs/{name}": self._one,
            "/api/jobs/sync": _sync,
            "/api/jobs/{name}/trigger": _trigger,
            "/api/jobs/{name}/enable": _enable,
            "/api/jobs/{name}/disable": _disable,
        }
        for method, path, _ in ROUTES:
            yield method, path, self._handler(path, answers[path])

    def _handler(self, path: str, answer: Callable[[Ledger, dict[str, str]], tuple[int, Any]]) -> Handler:
        async def handle(request: Request, fields: dict[str, str]) -> Response:
            ledger = Ledger(self._engine, actor=self._actor_of(request))
            call = partial(answer, ledger, fields)
            # A repository may be fetched: in a thread of its own, so that nothing else waits.
            run = to_thread.run_sync(call) if path.endswith("/sync") else run_in_threadpool(call)
            status, told = await run
            return Response(_encode(told), status, media_type="application/json")

        return handle

    def _status(self, _: Ledger, __: dict[str, str]) -> tuple[int, Any]:
        broker, _running = summary(self._engine)
        return 200, {"status": "ok", "uptime": uptime(), "jobs": self._all(), "broker": broker}

    def _all(self) -> dict[str, Any]:
        return {one.job.definition.name: _told(one) for one in self._engine.read(job_summaries.of_all)}

    def _one(self, _: Ledger, fields: dict[str, str]) -> tuple[int, Any]:
        if "\0" in fields["name"]:
            return _unknown(fields)
        try:
            found, output = self._engine.read(partial(job_summaries.of_one, job=fields["name"]))
        except NotFound:
            return _unknown(fields)
        definition = found.job.definition
        about = {"name": definition.name, "script": _script(found.job), "concurrency": definition.overlap.value}
        return 200, about | _told(found) | {"last_output": output}


def _told(found: Summary) -> dict[str, Any]:
    definition, began, ended = found.job.definition, found.began, found.ended
    took = None if ended is None or ended.duration_ms is None else round(ended.duration_ms / 1000, 1)
    return {
        "description": definition.description,
        "schedule": definition.schedule,
        "enabled": definition.enabled,
        "running": found.running,
        "last_run": None if began is None else _moment(began.started_at, "T"),
        "last_status": None if ended is None else ended.status.value,
        "last_duration": took,
        "run_count": found.job.run_count,
        "fail_count": found.job.fail_count,
        "next_run": _moment(found.job.next_fire_at, " "),
    }


def _sync(ledger: Ledger, _: dict[str, str]) -> tuple[int, Any]:
    try:
        return 200, ledger.jobs.sync()
    except ShoalError as error:
        return error.status, _failed(error, error.message) | {"success": False}


def _trigger(ledger: Ledger, fields: dict[str, str]) -> tuple[int, Any]:
    return _done(ledger.jobs.trigger, fields, "triggered")


def _enable(ledger: Ledger, fields: dict[str, str]) -> tuple[int, Any]:
    return _done(ledger.jobs.enable, fields, "enabled")


def _disable(ledger: Ledger, fields: dict[str, str]) -> tuple[int, Any]:
    return _done(ledger.jobs.disable, fields, "disabled")


def _done(verb: Callable[[str], Any], fields: dict[str, str], what: str) -> tuple[int, Any]:
    try:
        verb(fields["name"])
    except NotFound:
        return _unknown(fields)
    except Refused as error:
        return 409, _failed(error, f"Job {fields['name']} is already running")
    return 200, {"message": f"Job {fields['name']} {what}"}


def _unknown(fields: dict[str, str]) -> tuple[int, Any]:
    return 404, _failed(NotFound, f"Unknown job: {fields['name']}")


def _failed(error: ShoalError | type[ShoalError], reason: str) -> dict[str, Any]:
    # Some of its routes said `error`, others `message`.
    return {"error": reason, "message": reason, "code": error.code}


def _script(job: Job) -> str | None:
    action = job.definition.action
    if isinstance(action, Program):
        return shlex.join(action.command)
    return action.name if isinstance(action, BuiltIn) else None


def _moment(milliseconds: int | None, between: str) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(between)
