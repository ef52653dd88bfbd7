"""A ClickUp on loopback with one list, that misbehaves when told to: limits, refusals, answers that never come."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "pk_1234567_ABCDEFGHIJKLMNOP"
LIST = "901100200300"
PAGE = 100
STATUSES = ("to do", "in progress", "complete")
Answer = tuple[int, dict[str, str], Any]
# Gets method, path and what was sent; may answer in the place of the server, or None.
Misbehaviour = Callable[[str, str, Any], Answer | None]


class ClickUpApi:
    """The server. `drop_after` drops the connection of that many creations after they were done."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []
        self.misbehave: Misbehaviour | None = None
        self.drop_after = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def refuse(self, status: int, *, times: int = 1, path: str = "", err: str = "no", **headers: str) -> None:
        """The next requests whose method and path have this in them are answered so."""
        left = [times]

        def misbehave(method: str, asked: str, given: Any) -> Answer | None:
            if not left[0] or path not in f"{method} {asked}":
                return None
            left[0] -= 1
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return status, named, {"err": err, "ECODE": "TEST_001"}

        self.misbehave = misbehave

    def named(self, name: str) -> dict[str, Any]:
        [found] = [one for one in self.tasks.values() if one["name"] == name]
        return found

    def answer(self, method: str, path: str, query: dict[str, str], given: Any) -> Answer:
        if path == f"/list/{LIST}/task" and method == "POST":
            return self._create(given)
        if path == f"/list/{LIST}/task" and method == "GET":
            return self._list(query)
        if path.startswith("/task/") and method == "PUT":
            task = self.tasks.get(path.removeprefix("/task/"))
            if task is None:
                return 404, {}, {"err": "Task not found, deleted", "ECODE": "ITEM_013"}
            if given["status"] not in STATUSES:
                return 400, {}, {"err": "Status not found", "ECODE": "ITEM_114"}
            task["status"] = {"status": given["status"]}
            return 200, {}, task
        return 404, {}, {"err": "List not found", "ECODE": "ITEM_015"}

    def _create(self, given: Any) -> Answer:
        if given.get("status", STATUSES[0]) not in STATUSES:
            return 400, {}, {"err": "Status not found", "ECODE": "CRTSK_001"}
        id = f"86a{len(self.tasks)}x"
        self.tasks[id] = {
            "id": id,
            "url": f"https://app.clickup.com/t/{id}",
            "name": given["name"],
            "description": given.get("description"),
            "text_content": given.get("description"),
            "status": {"status": given.get("status", STATUSES[0])},
            "priority": given.get("priority"),
            "due_date": given.get("due_date"),
            "archived": False,
        }
        return 200, {}, self.tasks[id]

    def _list(self, query: dict[str, str]) -> Answer:
        closed = query.get("include_closed") == "true"
        found = [
            one
            for one in self.tasks.values()
            if one["archived"] == (query.get("archived") == "true")
            and (closed or one["status"]["status"] != "complete")
        ]
        page = int(query.get("page", 0))
        shown = found[PAGE * page : PAGE * (page + 1)]
        return 200, {}, {"tasks": shown, "last_page": len(found) <= PAGE * (page + 1)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                given = json.loads(body) if body else None
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                with api.lock:
                    api.asked.append(f"{self.command} {parts.path}")
                    api.authorizations.append(self.headers.get("Authorization"))
                    came = api.misbehave(self.command, parts.path, given) if api.misbehave else None
                    if came is None and self.headers.get("Authorization") != TOKEN:
                        came = 401, {}, {"err": "Token invalid", "ECODE": "OAUTH_025"}
                    if came is None:
                        came = api.answer(self.command, parts.path, query, given)
                        if self.command == "POST" and api.drop_after:
                            api.drop_after -= 1
                            self.close_connection = True
                            return
                status, headers, found = came
                sent = json.dumps(found).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = _do

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
