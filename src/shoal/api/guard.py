"""Keeps web pages from driving a server that listens on this machine: checks Host and Origin of every request."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class Guard:
    """Lets through requests that name a loopback host, and no page of another origin.

    A page elsewhere can make a browser send requests here, also under a name of its own that resolves to 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, *, any_host: bool = False) -> None:
        self._app = app
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
            return
        told = msgspec.json.encode({"error": refusal, "code": "forbidden"})
        await Response(told, 403, media_type="application/json")(scope, receive, send)

    def _refusal(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not self._any_host and not is_loopback(urlsplit(f"//{host}").hostname if _plain(host) else None):
            return f"host {host!r} is not this machine; ask for 127.0.0.1 or localhost"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return f"a page of {origin!r} may not drive this server"
        return None


def is_loopback(name: str | None) -> bool:
    """Whether a host name or address is this machine and nothing else."""
    if name == "localhost":
        return True
    try:
        return name is not None and ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _plain(host: str) -> bool:
    return not any(mark in host for mark in "/?#@\\ ")
