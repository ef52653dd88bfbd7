"""Events as they happen: server-sent events, and a request that waits for the next one.

One task per server reads the log's end and wakes the streams; each stream has a cursor of its own, so a slow reader
costs nobody anything.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from shoal.errors import BadInput
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.event import Event, Kind

PAGE = 500
KEEP_ALIVE_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 30.0
_encode = msgspec.json.Encoder().encode


class Tailer:
    """Knows how far the log reaches, while anyone is listening."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self.ledger = Ledger(engine, actor="shoal")
        self.stopped = False
        self._arrived = asyncio.Event()
        self._position = 0
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def reached(self) -> int:
        """How far the log reached when someone last looked."""
        return self._position

    async def wait(self, after: int, seconds: float) -> bool:
        """Wait until the log reaches beyond `after`; whether it does."""
        self._listeners += 1
        try:
            self._loop = asyncio.get_running_loop()
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._follow())
            async with asyncio.timeout(seconds):
                while self._position <= after and not self.stopped:
                    await self._arrived.wait()
        except TimeoutError:
            pass
        finally:
            self._listeners -= 1
        return self._position > after

    async def page(self, after: int, filters: dict[str, Any]) -> list[Event]:
        """The next events behind a cursor."""
        return await run_in_threadpool(self.ledger.events.list, after=after, limit=PAGE, **filters)

    async def position(self) -> int:
        """How far the log reaches now."""
        newest = await run_in_threadpool(self.ledger.events.list, limit=1)
        return newest[0].id if newest else 0

    def stop_soon(self) -> None:
        """End all waits; may be called from a signal handler."""
        self.stopped = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: self._arrived.set())

    async def _follow(self) -> None:
        while self._listeners and not self.stopped:
            if await run_in_threadpool(self.ledger.wait_for_events, self._position, 1.0):
                self._position = max(self._position, await self.position())
                self._arrived.set()
                self._arrived = asyncio.Event()


async def event_stream(tailer: Tailer, request: Request) -> Response:
    """GET /api/v1/events/stream: server-sent events behind `after` or Last-Event-ID, without gap or duplicate."""
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    after = await tailer.position() if given is None else _number(given, "after")
    filters: dict[str, Any] = {}
    if task := request.query_params.get("task"):
        filters["task"] = task
    kinds = [kind for kind in request.query_params.get("kinds", "").split(",") if kind]
    for kind in kinds:
        if kind not in set(Kind):
            raise BadInput(f"{kind!r} is not a kind of event; `shoal reference events` lists them", field="kinds")
    if filters:
        await tailer.page(after, filters)  # an unknown task is refused before the stream begins
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(tailer, after, filters, set(kinds)), 200, headers, "text/event-stream")


async def wait_for_events(tailer: Tailer, request: Request) -> Response:
    """GET /api/v1/events/wait: {"arrived": …}, as soon as there is an event behind `after` or the time is up."""
    after = _number(request.query_params.get("after", "0"), "after")
    try:
        seconds = float(request.query_params.get("wait_seconds", "10"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise BadInput(f"wait_seconds must be 0 to {LONGEST_WAIT_SECONDS:.0f}", field="wait_seconds")
    arrived = await tailer.wait(after, seconds)
    return Response(_encode({"arrived": arrived}), media_type="application/json")


async def _events(tailer: Tailer, after: int, filters: dict[str, Any], kinds: set[str]) -> AsyncIterator[bytes]:
    # Clients that lose the connection come back spread out, not all at once.
    yield b"retry: %d\n\n" % random.randint(500, 2000)  # noqa: S311
    while not tailer.stopped:
        reached = tailer.reached
        page = await tailer.page(after, filters)
        shown = [event for event in page if not kinds or event.kind in kinds]
        if shown:
            yield b"".join(b"id: %d\nevent: %s\ndata: %s\n\n" % (e.id, e.kind.encode(), _encode(e)) for e in shown)
        if page:
            after = page[-1].id
        if len(page) == PAGE:
            continue
        # Up to `reached` all was looked through, also what did not fit the filters.
        after = max(after, reached)
        while not tailer.stopped and not await tailer.wait(after, KEEP_ALIVE_SECONDS):
            yield b": still here\n\n"


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadInput(f"{field} must be the id of an event", field=field)
    return int(text)
