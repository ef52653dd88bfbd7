"""A GitHub on loopback that answers as the real one does: pages, filters, refusals, limits, redirects."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "ghs_0123456789abcdefghij"


@dataclass
class Repository:
    """`ahead` maps branches to how many commits they have that the default branch lacks."""

    name: str
    default_branch: str = "main"
    ahead: dict[str, int] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)


class ForgeApi:
    """The server. `broken`, when set, is what every request gets: status, headers, body."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.moved: dict[str, str] = {}
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []
        self.broken: tuple[int, dict[str, str], bytes] | None = None
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def repository(self, name: str = "acme/web", **ahead: int) -> Repository:
        return self.repositories.setdefault(name, Repository(name, ahead=dict(ahead)))

    def pull(self, name: str, branch: str, **more: Any) -> dict[str, Any]:
        """A pull request that somebody has opened."""
        return self._add(self.repository(name), branch, **more)

    def time(self) -> float:
        """The time that it has, in seconds."""
        return time.time()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def respond(self, method: str, path: str, headers: Message, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What a request gets, whoever sends it."""
        if self.broken is not None:
            return self.broken
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {}, b'{"message": "Bad credentials"}'
        status, told, found = self.answer(method, path, body)
        return status, told, json.dumps(found).encode()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        pieces = parts.path.strip("/").split("/", 3)
        if len(pieces) < 3 or pieces[0] != "repos":
            return 404, {}, {"message": "Not Found"}
        name, rest = f"{pieces[1]}/{pieces[2]}", "/".join(pieces[3:])
        if name in self.moved:
            target = f"{self.moved[name]}{'/' if rest else ''}{rest}"
            return 301, {"Location": f"{target}?{parts.query}"}, {"message": "Moved Permanently"}
        repository = self.repositories.get(name)
        if repository is None:
            return 404, {}, {"message": "Not Found"}
        if not rest:
            return 200, {}, {"full_name": name, "default_branch": repository.default_branch}
        if rest == "pulls" and method == "POST":
            with self.lock:
                return self._create(repository, json.loads(body))
        if rest == "pulls":
            return self._pulls(repository, parts.path, query)
        if rest.startswith("compare/"):
            return self._compare(repository, rest.removeprefix("compare/"))
        if rest.startswith("git/matching-refs/heads/"):
            wanted = unquote(rest.removeprefix("git/matching-refs/heads/"))
            return 200, {}, [{"ref": f"refs/heads/{one}"} for one in repository.ahead if one.startswith(wanted)]
        return 404, {}, {"message": "Not Found"}

    def _add(self, repository: Repository, branch: str, **more: Any) -> dict[str, Any]:
        number = len(repository.pulls) + 1
        owner = more.pop("owner", repository.name.partition("/")[0])
        pull = {
            "number": number,
            "html_url": f"https://github.com/{repository.name}/pull/{number}",
            "title": branch,
            "body": "",
            "state": "open",
            "merged_at": None,
            "head": {"ref": branch, "repo": {"full_name": f"{owner}/{repository.name.partition('/')[2]}"}},
            "base": {"ref": repository.default_branch, "repo": {"full_name": repository.name}},
        } | more
        repository.pulls.append(pull)
        if owner == repository.name.partition("/")[0]:
            repository.ahead.setdefault(branch, 1)
        return pull

    def _pulls(self, repository: Repository, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        found = list(reversed(repository.pulls))
        if (state := query.get("state", "open")) != "all":
            found = [one for one in found if one["state"] == state]
        owner, colon, branch = query.get("head", "").partition(":")
        if colon:  # without one the real GitHub leaves the filter aside
            found = [
                one
                for one in found
                if one["head"]["ref"] == branch
                and (one["head"]["repo"] or {}).get("full_name", "").startswith(f"{owner}/")
            ]
        size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
        headers = {}
        if len(found) > size * page:
            kept = "&".join(f"{key}={value}" for key, value in query.items() if key != "page")
            headers["Link"] = f'<{self.url}{path}?{kept}&page={page + 1}>; rel="next", <{self.url}{path}>; rel="first"'
        return 200, headers, found[size * (page - 1) : size * page]

    def _create(self, repository: Repository, given: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        branch, base = given["head"], given["base"]
        owner = repository.name.partition("/")[0]

        def refused(error: dict[str, str]) -> tuple[int, dict[str, str], Any]:
            return 422, {}, {"message": "Validation Failed", "errors": [{"resource": "PullRequest", **error}]}

        if branch not in repository.ahead:
            return refused({"field": "head", "code": "invalid"})
        if any(one["head"]["ref"] == branch and one["state"] == "open" for one in repository.pulls):
            return refused({"code": "custom", "message": f"A pull request already exists for {owner}:{branch}."})
        if not repository.ahead[branch]:
            return refused({"code": "custom", "message": f"No commits between {base} and {branch}"})
        made = self._add(repository, branch, title=given["title"], body=given["body"])
        made["base"]["ref"] = base
        return 201, {}, made

    def _compare(self, repository: Repository, basehead: str) -> tuple[int, dict[str, str], Any]:
        base, _, branch = unquote(basehead).partition("...")
        if base != repository.default_branch or branch not in repository.ahead:
            return 404, {}, {"message": "Not Found"}
        ahead = repository.ahead[branch]
        return 200, {}, {"status": "ahead" if ahead else "identical", "ahead_by": ahead, "behind_by": 0, "commits": []}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                api.asked.append(f"{self.command} {self.path}")
                api.authorizations.append(self.headers.get("Authorization"))
                status, headers, answer = api.respond(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_DELETE = do_GET

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(api.time() if timestamp is None else timestamp)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler
