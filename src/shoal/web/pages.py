"""The first page: how the server is, how many tasks there are, the newest tasks and events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import jinja2
from starlette.responses import HTMLResponse, Response

from shoal.daemon.daemon import Daemon
from shoal.daemon.health import look
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine

ROWS = 20
_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("shoal.web"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
# Nothing on the page runs or comes from elsewhere.
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}


def routes(engine: EmbeddedEngine, daemon: Daemon) -> dict[str, Callable[[], Response]]:
    """The pages by their path."""
    return {"/": partial(overview, engine, daemon)}


def overview(engine: EmbeddedEngine, daemon: Daemon) -> Response:
    """GET /."""
    health = look(engine, daemon)
    ledger = Ledger(engine, actor="web")
    page = _environment.get_template("overview.html").render(
        health=health,
        tasks=ledger.tasks.list(limit=ROWS) if health["tasks"] else [],
        events=ledger.events.list(limit=ROWS) if health["tasks"] else [],
    )
    return HTMLResponse(page, 200 if health["ok"] else 503, _HEADERS)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


_environment.filters["moment"] = _moment
