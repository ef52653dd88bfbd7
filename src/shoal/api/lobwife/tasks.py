"""Its registrations, tokens and tasks.

Some of the routes are ours, too. There a body in its words gets its answer, and what is read has its fields besides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from shoal.errors import BadInput, Forbidden, NotFound, Refused, ShoalError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.grant import Token
from shoal.model.task import Task
from shoal.services import VERBS, Tx, lobwife, registrations

JSON = "application/json"
AUDIT_LINES = 200
EVENTS = 1000
LONGEST = 20_000
LONGEST_NAME = 200
# Routes that are both its and ours, whose body may be in its words.
BOTH = frozenset({"tasks.create", "tasks.update", "tasks.register"})
Body = Callable[[Request], Awaitable[bytes]]
Actor = Callable[[Request], str]
Handler = Callable[[Request, dict[str, str]], Awaitable[Response]]
_encode = msgspec.json.Encoder().encode


class LobwifeTasks:
    """Its routes over one ledger. `body` reads a request's, `actor` knows who makes it."""

    def __init__(self, engine: EmbeddedEngine, *, body: Body, actor: Actor, limiter: CapacityLimiter) -> None:
        self._engine = engine
        self._body = body
        self._actor = actor
        self._limiter = limiter

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        yield "POST", "/api/tasks/{ref}/register", self._register
        yield "DELETE", "/api/tasks/{ref}", self._deregister
        yield "GET", "/api/tasks", self._registrations
        yield "POST", "/api/token", self._token
        yield "GET", "/api/token/audit", self._audit
        yield "POST", "/api/v1/service-token", self._service_token
        yield "GET", "/api/v1/tasks/{task}", self._task
        yield "DELETE", "/api/v1/tasks/{task}", self._cancel
        yield "GET", "/api/v1/tasks/{task}/events", self._events
        yield "POST", "/api/v1/tasks/{task}/events", self._log_event

    async def answer(
        self, key: str, body: bytes, fields: dict[str, str], request: Request, *, is_old: bool = False
    ) -> Response | None:
        """The answer of lobwife to a verb's body that is in its words; None when it is not.

        Of a caller that `is_old` a change needs no word that is lobwife's alone.
        """
        try:
            given = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not isinstance(given, dict):
            return None
        words = {"repos", "lobster_type"} if key == "tasks.register" else lobwife.WORDS
        if words.isdisjoint(given) and not (is_old and key == "tasks.update" and given):
            return None
        if key == "tasks.register":
            told = await self._registered(fields["task"], given, request)
            return _json({"status": "registered", "task_id": told})
        actor = self._actor(request)
        if key == "tasks.create":
            made: Task = await self._write(lambda tx: lobwife.create(tx, given), actor)
            return _json({"id": made.id, "task_id": made.task_id}, 201)
        task, updated = await self._write(lambda tx: lobwife.update(tx, fields["task"], given), actor)
        return _json({"id": task.id, "task_id": task.task_id, "updated": updated})

    async def _task(self, request: Request, fields: dict[str, str]) -> Response:
        _no_query(request)

        def read(tx: Tx) -> bytes:
            task = VERBS["tasks.get"](tx, task=fields["task"])
            return task_json(task, lobwife.broker_fields(registrations.find(tx, task.id)))

        return Response(await run_in_threadpool(self._engine.read, read), media_type=JSON)

    async def _cancel(self, request: Request, fields: dict[str, str]) -> Response:
        _no_query(request)
        gone: Task = await self._write(lambda tx: lobwife.cancel(tx, fields["task"]), self._actor(request))
        return _json({"id": gone.id, "task_id": gone.task_id, "status": gone.status.value})

    async def _events(self, request: Request, fields: dict[str, str]) -> Response:
        _no_query(request)

        def read(tx: Tx) -> list[dict[str, Any]]:
            return [
                lobwife.event_fields(event)
                for event in VERBS["events.list"](tx, task=fields["task"], steps=False, limit=EVENTS)
            ]

        return _json(await run_in_threadpool(self._engine.read, read))

    async def _log_event(self, request: Request, fields: dict[str, str]) -> Response:
        given = await self._given(request, {"event_type": str, "detail": str, "actor": str})
        event_type = (given.get("event_type") or "").strip()
        if not event_type:
            raise BadInput("event_type is required", field="event_type")
        log = partial(
            lobwife.log_event,
            ref=fields["task"],
            event_type=event_type,
            detail=given.get("detail"),
            actor=given.get("actor"),
        )
        task: Task = await self._write(log, self._actor(request))
        return _json({"status": "logged", "task_id": task.task_id}, 201)

    async def _register(self, request: Request, fields: dict[str, str]) -> Response:
        given = await self._given(request, {"repos": list, "lobster_type": str})
        await self._registered(fields["ref"], given, request)
        return _json({"status": "registered", "task_id": fields["ref"]})

    async def _registered(self, ref: str, given: dict[str, Any], request: Request) -> str:
        """Register a task, and what it is called."""
        _check(given, {"repos": list, "lobster_type": str})
        repositories = given.get("repos")
        if not repositories:
            raise BadInput("repos required", field="repos")
        asked: dict[str, Any] = {"repositories": repositories} | _key(request)
        # Checked as every caller's: names and lengths, and whose the key is.
        arguments = VERBS["tasks.register"].arguments((), {"task": ref, **asked})

        def register(tx: Tx) -> str:
            found = lobwife.find(tx, ref)
            VERBS["tasks.register"](tx, **arguments.keywords | {"task": found.id})
            return found.task_id

        told: str = await self._write(register, self._actor(request))
        return told

    async def _deregister(self, request: Request, fields: dict[str, str]) -> Response:
        _no_query(request)
        if not _is_name(fields["ref"]):
            raise BadInput("this names no task", field="ref")

        def deregister(tx: Tx) -> None:
            # It said so of anything: who takes a task away that is not there has what they want.
            try:
                found = lobwife.find(tx, fields["ref"])
            except NotFound:
                return
            VERBS["tasks.deregister"](tx, task=found.id, **_key(request))

        await self._write(deregister, self._actor(request))
        return _json({"status": "removed", "task_id": fields["ref"]})

    async def _registrations(self, request: Request, _: dict[str, str]) -> Response:
        _no_query(request)
        return _json(await run_in_threadpool(self._engine.read, lobwife.registrations))

    async def _token(self, request: Request, _: dict[str, str]) -> Response:
        given = await self._given(request, {"task_id": str | int})
        ref = given.get("task_id")
        if ref in (None, ""):
            raise BadInput("task_id required", field="task_id")

        def number(tx: Tx) -> str:
            try:
                return lobwife.find(tx, str(ref)).task_id
            except ShoalError:  # the broker refuses it, and says so in its audit
                return str(ref)

        task = await run_in_threadpool(self._engine.read, number)
        try:
            return await self._issued("tasks.token", {"task": task}, request)
        except (NotFound, Refused) as error:
            raise Forbidden(error.message, field="task_id") from None

    async def _service_token(self, request: Request, _: dict[str, str]) -> Response:
        given = await self._given(request, {"service": str})
        service = (given.get("service") or "").strip()
        if not service:
            raise BadInput("service required", field="service")
        return await self._issued("grants.service", {"service": service}, request)

    async def _issued(self, key: str, given: dict[str, Any], request: Request) -> Response:
        verb = VERBS[key]
        arguments = verb.arguments((), given | _key(request))
        call = partial(self._engine.call_checked, verb, arguments, self._actor(request))
        token: Token = await to_thread.run_sync(call, limiter=self._limiter)
        return _json({"token": token.token, "expires_at": lobwife.iso(token.expires_at)})

    async def _audit(self, request: Request, _: dict[str, str]) -> Response:
        given = dict(request.query_params)
        if unknown := given.keys() - {"task_id"}:
            raise BadInput(f"{min(unknown)}: there is no such parameter", field=min(unknown))
        ref = given.get("task_id")
        if ref is not None and not _is_name(ref):
            raise BadInput("task_id names no task", field="task_id")

        def read(tx: Tx) -> list[dict[str, Any]]:
            filters: dict[str, Any] = {}
            if ref:
                try:
                    filters["task"] = lobwife.find(tx, ref).id
                except NotFound:
                    filters["task"] = ref
            lines = VERBS["grants.audit"](tx, limit=AUDIT_LINES, **filters)
            return [lobwife.audit_fields(line, tx.shown) for line in lines]

        return _json(await run_in_threadpool(self._engine.read, read))

    async def _given(self, request: Request, kinds: dict[str, Any]) -> dict[str, Any]:
        """The body. lobwife never looked at its content type; pages elsewhere are kept out by their origin."""
        raw = await self._body(request)
        try:
            given = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadInput("invalid JSON") from None
        if not isinstance(given, dict):
            raise BadInput("invalid JSON: it must be an object")
        _check(given, kinds)
        return given

    async def _write(self, work: Callable[[Tx], Any], actor: str) -> Any:
        return await run_in_threadpool(self._engine.write, work, actor)


def task_json(task: Task, more: dict[str, Any] | None = None) -> bytes:
    """A task with its fields under their old names besides."""
    return _encode(task)[:-1] + b"," + _encode(lobwife.task_fields(task) | (more or {}))[1:]


def tasks_json(found: Iterable[Task]) -> bytes:
    """Several of them."""
    return b"[" + b",".join(map(task_json, found)) + b"]"


def _check(given: dict[str, Any], kinds: dict[str, Any]) -> None:
    for name, value in given.items():
        kind = kinds.get(name)
        if kind is None:
            raise BadInput(f"{name}: there is no such field; {', '.join(kinds)} are known", field=name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise BadInput(f"{name}: not {type(value).__name__}", field=name)
        if isinstance(value, str) and ("\x00" in value or len(value) > LONGEST):
            raise BadInput(f"{name}: at most {LONGEST} characters, and no NUL", field=name)


def _key(request: Request) -> dict[str, str]:
    """The key that came with a request: Authorization: Bearer, or X-Shoal-Key."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    key = value.strip() if kind.lower() == "bearer" else request.headers.get("x-shoal-key", "").strip()
    return {"key": key} if key else {}


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and "\x00" not in text


def _no_query(request: Request) -> None:
    if name := next(iter(request.query_params), None):
        raise BadInput(f"{name}: there is no such parameter", field=name)


def _json(told: Any, status: int = 200) -> Response:
    return Response(_encode(told), status, media_type=JSON)
