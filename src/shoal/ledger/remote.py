"""Runs verbs on a Shoal server, over HTTP.

http.client because the command line starts with it: 26 ms to import, where the full clients take 130.
"""

from __future__ import annotations

import http.client
import random
import secrets
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from shoal.clock import monotonic_seconds
from shoal.errors import BadInput, ServerUnreachable, ShoalError, error_classes
from shoal.model.page import Page
from shoal.services import Arguments, Verb

API = "/api/v1"
TIMEOUT_SECONDS = 60.0
RETRY_SECONDS = 10.0
HASTY_RETRY_SECONDS = 0.2  # enough for a kept connection that the server has closed
LONG_POLL_SECONDS = 25.0


class RemoteEngine:
    """Verbs on a server, over connections that are kept open.

    What never arrived is sent again; so is what may have arrived, when a second time changes nothing.
    """

    def __init__(
        self, url: str, *, retry_seconds: float = RETRY_SECONDS, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise BadInput(f"{url!r} is not the address of a server; it looks like http://127.0.0.1:7465")
        self._url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._base = parts.path.rstrip("/") + API
        self._retry_seconds = retry_seconds
        self._timeout_seconds = timeout_seconds
        self._hasty: list[RemoteEngine] = []
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._threads: ThreadPoolExecutor | None = None

    @property
    def address(self) -> str:
        """The server's address."""
        return self._url

    def call(self, verb: Verb[Any, Any], args: tuple[Any, ...], given: dict[str, Any], actor: str) -> Any:
        """Check the input here, as the server would, and ask it."""
        names_itself = "request_id" in verb.input.__struct_fields__
        if names_itself and given.get("request_id") is None:
            given["request_id"] = secrets.token_hex(16)
        repeatable = names_itself or verb.repeatable or verb.method == "GET"
        arguments = verb.arguments(args, given)
        method, path, body = _request(verb, arguments)
        status, headers, answer = self._send(method, self._base + path, body, actor, repeatable=repeatable)
        if status >= 400:
            raise _error(status, answer)
        found = msgspec.json.decode(answer, type=_answer_type(verb.output))
        if getattr(verb.output, "__origin__", None) is Page:
            return Page(found, next=headers.get("x-next-cursor"))
        return found

    def submit(self, verb: Verb[Any, Any], given: dict[str, Any], actor: str) -> Future[Any]:
        """The same in a thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(16, "shoal-remote")
        return self._threads.submit(self.call, verb, (), given, actor)

    def wait_for_events(self, after: int, seconds: float) -> bool:
        """Ask the server to answer when there is something."""
        deadline = monotonic_seconds() + seconds
        while (left := deadline - monotonic_seconds()) > 0:
            query = urlencode({"after": after, "wait_seconds": round(min(left, LONG_POLL_SECONDS), 3)})
            status, _, answer = self._send("GET", f"{self._base}/events/wait?{query}", None, "", repeatable=True)
            if status >= 400:
                raise _error(status, answer)
            if msgspec.json.decode(answer)["arrived"]:
                return True
        return False

    def with_patience(self, seconds: float) -> RemoteEngine:
        """The same server, over connections of its own; closed with this one."""
        engine = RemoteEngine(self._url, retry_seconds=min(seconds, HASTY_RETRY_SECONDS), timeout_seconds=seconds)
        self._hasty.append(engine)
        return engine

    def close(self) -> None:
        """Close what is open."""
        for engine in self._hasty:
            engine.close()
        if self._threads is not None:
            self._threads.shutdown()
        while self._idle:
            self._idle.pop().close()

    def _send(
        self, method: str, path: str, body: bytes | None, actor: str, *, repeatable: bool
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {"Accept": "application/json"}
        if actor:
            headers["Shoal-Actor"] = quote(actor)
        if body is not None:
            headers["Content-Type"] = "application/json"
        deadline = monotonic_seconds() + self._retry_seconds
        tries = 0
        while True:
            tries += 1
            connection = self._take()
            sent = False
            try:
                connection.request(method, path, body, headers)
                sent = True
                with connection.getresponse() as response:
                    answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if sent and not repeatable:
                    raise ServerUnreachable(
                        f"{self._url} went away before it answered ({error}); look whether it was done, then repeat it"
                    ) from error
                if monotonic_seconds() > deadline:
                    raise ServerUnreachable(
                        f"no Shoal server answers at {self._url} ({error}); start one with `shoal serve`"
                    ) from error
                time.sleep(random.uniform(0.02, 0.1) * min(tries, 10))  # noqa: S311
            else:
                self._idle.append(connection)
                return response.status, {name.lower(): value for name, value in response.getheaders()}, answer

    def _take(self) -> http.client.HTTPConnection:
        try:
            return self._idle.pop()
        except IndexError:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            return kind(self._host, self._port, timeout=self._timeout_seconds)


def _request(verb: Verb[Any, Any], arguments: Arguments) -> tuple[str, str, bytes | None]:
    fields = dict(arguments.keywords)
    if arguments.struct is not None:
        fields |= {name: getattr(arguments.struct, name) for name in arguments.struct.__struct_fields__}
    path = verb.path
    for name in verb.path_fields:
        path = path.replace(f"{{{name}}}", quote(str(fields.pop(name)), safe=""))
    if verb.method in {"GET", "DELETE"}:
        given = {name: _as_text(value) for name, value in fields.items() if value is not None}
        return verb.method, f"{path}?{urlencode(given)}" if given else path, None
    given = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    return verb.method, path, msgspec.json.encode(given)


def _as_text(value: Any) -> str:
    return msgspec.json.encode(value).decode().strip('"')


def _answer_type(output: Any) -> Any:
    return list[output.__args__[0]] if getattr(output, "__origin__", None) is Page else output


def _error(status: int, answer: bytes) -> ShoalError:
    try:
        told = msgspec.json.decode(answer)
        kind = error_classes().get(told["code"], ShoalError)
        return kind(told["error"], field=told.get("field"))
    except (msgspec.DecodeError, KeyError, TypeError):
        return ShoalError(f"the server answered {status}: {answer[:200].decode(errors='replace')}")
