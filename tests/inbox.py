"""A service that takes notifications as Apprise's json:// sends them, on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "xoxb-geheim-4711"


class Inbox:
    """Keeps what it got; `answer` is what it says to that, and 404 to the path /refused."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.answer = 200
        self.drips = False
        self._closed = threading.Event()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.got.append((self.path, json.loads(body)))
                self.send_response(404 if self.path == "/refused" else inbox.answer)
                self.end_headers()
                while inbox.drips and not inbox._closed.wait(0.2):
                    self.wfile.write(b".")
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def url(self, path: str = SECRET) -> str:
        """Its address for Apprise; what must be shown nowhere is in it."""
        return f"json://127.0.0.1:{self._server.server_port}/{path}?:token={SECRET}"

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._server.shutdown()
            self._server.server_close()
