"""The application: verbs become routes. What a verb does is in services; streams are in stream.py."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shoal.api import health, openapi
from shoal.api.lobwife.jobs import LobwifeJobs
from shoal.api.lobwife.tasks import BOTH, LobwifeTasks, task_json, tasks_json
from shoal.api.stream import Tailer, event_stream, wait_for_events
from shoal.daemon.daemon import Daemon
from shoal.errors import BadInput, NotFound, ShoalError, TooLarge
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.page import Page
from shoal.services import VERBS, Arguments, Verb

log = structlog.get_logger()
API = "/api/v1"
JSON = "application/json"
OUTSIDE_AT_ONCE = 40
Handler = Callable[[Request, dict[str, str]], Awaitable[Response]]
_encode = msgspec.json.Encoder().encode
# These are lobwife's routes, too: the fields of a task stand there under its names besides.
ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "tasks.update": task_json,
    "tasks.list": tasks_json,
}


class App:
    """An ASGI application over one ledger: plain paths by a dictionary, paths with fields by pattern."""

    def __init__(self, engine: EmbeddedEngine, daemon: Daemon, pages: Mapping[str, Callable[[], Response]]) -> None:
        self.engine = engine
        self.daemon = daemon
        self.tailer = Tailer(engine)
        self.metrics = health.Metrics(engine, daemon)
        self.stopping = False
        self._outside = CapacityLimiter(OUTSIDE_AT_ONCE)
        self._plain: dict[str, dict[str, Handler]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Handler]]] = []
        self._lobwife = LobwifeTasks(engine, body=self._any_body, actor=_actor, limiter=self._outside)
        for verb in VERBS.values():
            self._add(verb.method, API + verb.path, self._verb_handler(verb))
        for method, path, handler in self._lobwife.routes():
            self._add(method, path, handler)
        self._add("GET", f"{API}/events/stream", lambda request, _: event_stream(self.tailer, request))
        self._add("GET", f"{API}/events/wait", lambda request, _: wait_for_events(self.tailer, request))
        self._add("GET", "/health", lambda *_: health.health(engine, daemon))
        self._add("GET", "/metrics", lambda *_: run_in_threadpool(self.metrics.response))
        self._add("GET", "/openapi.json", lambda *_: run_in_threadpool(openapi.response))
        for method, path, handler in LobwifeJobs(engine, _actor).routes():
            self._add(method, path, handler)
        for path, page in pages.items():
            self._add("GET", path, _page_handler(page))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the start and stop of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = Request(scope, receive)
        try:
            handler, fields = self._find(request)
            response = await handler(request, fields)
        except ShoalError as error:
            response = problem(error)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("request broke", method=request.method, path=request.url.path)
            response = problem(ShoalError("something broke inside Shoal; the server's log says what"))
        await response(scope, receive, send)

    def _add(self, method: str, path: str, handler: Handler) -> None:
        if "{" not in path:
            self._plain.setdefault(path, {})[method] = handler
            return
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + r"\Z")
        for known, handlers in self._patterns:
            if known.pattern == pattern.pattern:
                handlers[method] = handler
                return
        self._patterns.append((pattern, {method: handler}))

    def _find(self, request: Request) -> tuple[Handler, dict[str, str]]:
        # The raw path: a name may hold an encoded slash.
        path = request.scope.get("raw_path", b"").partition(b"?")[0].decode("ascii", "replace") or request.url.path
        handlers = self._plain.get(path)
        fields: dict[str, str] = {}
        if handlers is None:
            for pattern, candidates in self._patterns:
                match = pattern.match(path)
                if match:
                    handlers = candidates
                    fields = {name: _unquoted(name, value) for name, value in match.groupdict().items()}
                    break
            else:
                raise NotFound(f"there is nothing at {path}; /openapi.json lists what there is")
        method = "GET" if request.method == "HEAD" else request.method
        handler = handlers.get(method)
        if handler is None:
            return _not_allowed(sorted(handlers)), fields
        return handler, fields

    def _verb_handler(self, verb: Verb[Any, Any]) -> Handler:
        from_query = verb.method in {"GET", "DELETE"}
        in_both = verb.key in BOTH
        encode = ENCODERS.get(verb.key, _encode)
        observe = self.metrics.claim_seconds.time if verb.key == "tasks.claim" else None

        async def handle(request: Request, fields: dict[str, str]) -> Response:
            if self.stopping and verb.key in {"tasks.claim", "tasks.handover"}:
                return stopping()
            if from_query:
                arguments = _from_query(verb, _query(request) | fields)
            else:
                if in_both and not _is_json(request):
                    # Old callers never said what they send; what is not in their words is refused as ever.
                    body = await self._any_body(request)
                    old = await self._lobwife.answer(verb.key, body, fields, request, is_old=True)
                    if old is not None:
                        return old
                body = await self._body(request, verb)
                try:
                    arguments = verb.arguments_from_json(body, dict(fields))
                except BadInput:
                    old = await self._lobwife.answer(verb.key, body, fields, request) if in_both else None
                    if old is None:
                        raise
                    return old
            actor = _actor(request)
            if observe is None:
                answer = await self._run(verb, arguments, actor)
            else:
                with observe():
                    answer = await self._run(verb, arguments, actor)
            headers = _next_page(request, answer) if isinstance(answer, Page) else None
            return Response(encode(answer), verb.status, headers, JSON)

        return handle

    async def _run(self, verb: Verb[Any, Any], arguments: Arguments, actor: str) -> Any:
        if verb.writes and not verb.reads_vault and not verb.outside:
            return await asyncio.wrap_future(self.engine.submit_checked(verb, arguments, actor))
        if verb.outside:
            # In threads of their own: a forge that does not answer must not hold up everything else.
            call = partial(self.engine.call_checked, verb, arguments, actor)
            return await to_thread.run_sync(call, limiter=self._outside)
        return await run_in_threadpool(self.engine.call_checked, verb, arguments, actor)

    async def _body(self, request: Request, verb: Verb[Any, Any]) -> bytes:
        if not _is_json(request):
            raise BadInput(f"send {JSON}, not {_content_type(request)}", field="content-type")
        return await self._any_body(request, verb.body_limit_bytes or 0, verb.when_larger)

    async def _any_body(self, request: Request, verb_limit: int = 0, advice: str = "") -> bytes:
        """The body. One that is too large is read to its end, as its sender listens only then, and is not kept."""
        usual = self.engine.settings.body_limit_bytes
        limit = max(usual, verb_limit)
        body, size = bytearray(), 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                body += chunk
            else:
                body.clear()
        if size > limit:
            setting = " (setting body_limit_bytes)" if limit == usual else ""
            todo = f"; {advice}" if advice else ""
            raise TooLarge(f"the body has {size:,} bytes, the limit is {limit:,} bytes{setting}{todo}")
        return bytes(body)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await send({"type": "lifespan.shutdown.complete"})
                return

    def stop_soon(self) -> None:
        """No new claims from now on, and streams end, so that the server can drain. Called by a signal handler."""
        self.stopping = True
        self.tailer.stop_soon()


def problem(error: ShoalError) -> Response:
    """An error as {error, code, field?}."""
    told = {"error": error.message, "code": error.code}
    if error.field is not None:
        told["field"] = error.field
    return Response(_encode(told), error.status, media_type=JSON)


def stopping() -> Response:
    """What a claimer hears while the server stops."""
    told = {"error": "the server is stopping; claim again when it is back", "code": "server_unreachable"}
    return Response(_encode(told), 503, {"Retry-After": "2"}, JSON)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


def _is_json(request: Request) -> bool:
    return _content_type(request) == JSON


def _page_handler(page: Callable[[], Response]) -> Handler:
    async def handle(*_: Any) -> Response:
        return await run_in_threadpool(page)

    return handle


def _not_allowed(methods: list[str]) -> Handler:
    async def refuse(request: Request, _: dict[str, str]) -> Response:
        told = {"error": f"{request.method} is not possible here, {', '.join(methods)} is", "code": "bad_input"}
        return Response(_encode(told), 405, {"Allow": ", ".join(methods)}, JSON)

    return refuse


def _from_query(verb: Verb[Any, Any], given: dict[str, Any]) -> Arguments:
    arguments = verb.arguments((), dict(given), strict=False)
    for name in given:
        if arguments.keywords.get(name) is None:
            raise BadInput(f"{name}: null is no value here; leave it out", field=name)
    return arguments


def _query(request: Request) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise BadInput(f"{name} is given twice", field=name)
        given[name] = value
    return given


def _unquoted(name: str, value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise BadInput(f"{name} in the path is not valid UTF-8", field=name) from None


def _actor(request: Request) -> str:
    given = unquote(request.headers.get("shoal-actor", "")).strip()[:200]
    return given if given and given.isprintable() else "api"


def _next_page(request: Request, page: Page[Any]) -> dict[str, str]:
    if page.next is None:
        return {}
    url = request.url.include_query_params(cursor=page.next)
    return {"Link": f'<{url.path}?{url.query}>; rel="next"', "X-Next-Cursor": page.next}
