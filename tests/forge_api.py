"""A GitHub on loopback that answers as the real one does: pages, filters, refusals, limits, redirects."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

TOKEN = "ghs_0123456789abcdefghij"


@dataclass
class Repository:
    """`ahead` maps branches to how many commits they have that the default branch lacks; the checks and statuses are
    those of commits, the files and reviews those of pull requests.
    """

    name: str
    default_branch: str = "main"
    ahead: dict[str, int] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    checks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    merge_methods: set[str] = field(default_factory=lambda: {"merge", "squash", "rebase"})
    merges: list[dict[str, Any]] = field(default_factory=list)
    may_dismiss: bool = True
    issues: list[dict[str, Any]] = field(default_factory=list)


class ForgeApi:
    """The server. `broken`, when set, is what every request gets: status, headers, body. `user` has the token."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.moved: dict[str, str] = {}
        self.user = "shoal"
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

    def issue(self, name: str, title: str, **more: Any) -> dict[str, Any]:
        """An issue that somebody has opened; pull requests are counted and listed with them."""
        repository = self.repository(name)
        number = len(repository.issues) + 1
        issue = {
            "number": number,
            "title": title,
            "body": None,
            "state": "open",
            "state_reason": None,
            "html_url": f"https://github.com/{name}/issues/{number}",
            "url": f"{self.url}/repos/{name}/issues/{number}",
            "labels": [],
            "assignees": [],
            "milestone": None,
            "closed_at": None,
        } | more
        repository.issues.append(issue)
        return issue

    def time(self) -> float:
        """The time that it has, in seconds."""
        return time.time()

    def push(self, name: str, number: int) -> str:
        """A new head of a pull request."""
        pull = self.repositories[name].pulls[number - 1]
        pull["head"]["sha"] = hashlib.sha1(f"{pull['head']['sha']}+".encode()).hexdigest()
        return str(pull["head"]["sha"])

    def change(self, name: str, number: int, path: str, *added: str, **more: Any) -> dict[str, Any]:
        """A file that a pull request changes, by lines that it adds."""
        patch = "\n".join([f"@@ -0,0 +1,{len(added)} @@", *(f"+{line}" for line in added)])
        file = {"filename": path, "status": "modified", "additions": len(added), "deletions": 0, "patch": patch} | more
        self.repositories[name].files.setdefault(number, []).append(file)
        return file

    def check(self, name: str, number: int, check: str = "build", conclusion: str | None = "success") -> dict[str, Any]:
        """A check run of a pull request's head; without a conclusion it is under way."""
        commit = self.repositories[name].pulls[number - 1]["head"]["sha"]
        run = {"name": check, "status": "completed" if conclusion else "in_progress", "conclusion": conclusion}
        self.repositories[name].checks.setdefault(commit, []).append(run)
        return run

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
        with self.lock:
            return self._of_repository(repository, method, parts.path, rest, query, body)

    def _of_repository(
        self, repository: Repository, method: str, path: str, rest: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], Any]:
        kind, _, more = rest.partition("/")
        if not rest:
            return 200, {}, {"full_name": repository.name, "default_branch": repository.default_branch}
        if rest == "issues" and method == "GET":
            wanted = query.get("state", "open")
            return self._paged(path, query, [one for one in repository.issues if wanted in ("all", one["state"])])
        if rest == "pulls" and method == "POST":
            return self._create(repository, json.loads(body))
        if rest == "pulls":
            return self._pulls(repository, path, query)
        if kind == "pulls":
            return self._of_pull(repository, method, path, more.split("/"), query, body)
        if kind == "commits":
            return self._of_commit(repository, path, more.split("/"), query)
        if kind == "contents":
            return self._content(repository, unquote(more))
        if kind == "compare":
            return self._compare(repository, more)
        if rest.startswith("git/matching-refs/heads/"):
            wanted = unquote(rest.removeprefix("git/matching-refs/heads/"))
            return 200, {}, [{"ref": f"refs/heads/{one}"} for one in repository.ahead if one.startswith(wanted)]
        return 404, {}, {"message": "Not Found"}

    def _content(self, repository: Repository, name: str) -> tuple[int, dict[str, str], Any]:
        text = repository.contents.get(name)
        if text is None:
            return 404, {}, {"message": "Not Found"}
        if len(text) > 1024 * 1024:
            return 200, {}, {"type": "file", "size": len(text), "encoding": "none", "content": ""}
        return 200, {}, {"encoding": "base64", "content": base64.encodebytes(text.encode()).decode()}

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
            "draft": False,
            "user": {"login": "ana"},
            "head": {
                "ref": branch,
                "sha": hashlib.sha1(f"{repository.name}#{number}".encode()).hexdigest(),
                "repo": {"full_name": f"{owner}/{repository.name.partition('/')[2]}"},
            },
            "base": {
                "ref": repository.default_branch,
                "repo": {"full_name": repository.name, "default_branch": repository.default_branch},
            },
        } | more
        repository.pulls.append(pull)
        if owner == repository.name.partition("/")[0]:
            repository.ahead.setdefault(branch, 1)
        return pull

    def _pulls(self, repository: Repository, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        found = list(repository.pulls if query.get("direction") == "asc" else reversed(repository.pulls))
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
        return self._paged(path, query, found)

    def _paged(
        self, path: str, query: dict[str, str], found: list[dict[str, Any]], within: str | None = None
    ) -> tuple[int, dict[str, str], Any]:
        size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
        headers = {}
        if len(found) > size * page:
            kept = "&".join(f"{key}={value}" for key, value in query.items() if key != "page")
            headers["Link"] = f'<{self.url}{path}?{kept}&page={page + 1}>; rel="next", <{self.url}{path}>; rel="first"'
        shown = found[size * (page - 1) : size * page]
        return 200, headers, {"total_count": len(found), within: shown} if within else shown

    def _of_commit(
        self, repository: Repository, path: str, pieces: list[str], query: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        if pieces[1:] == ["check-runs"]:
            return self._paged(path, query, repository.checks.get(pieces[0], []), "check_runs")
        if pieces[1:] == ["status"]:
            status, headers, found = self._paged(path, query, repository.statuses.get(pieces[0], []), "statuses")
            return status, headers, {"state": "pending", "sha": pieces[0], **found}  # of none it says pending, too
        return 404, {}, {"message": "Not Found"}

    def _of_pull(
        self,
        repository: Repository,
        method: str,
        path: str,
        pieces: list[str],
        query: dict[str, str],
        body: bytes,
    ) -> tuple[int, dict[str, str], Any]:
        if not pieces[0].isdecimal() or not 0 < int(pieces[0]) <= len(repository.pulls):
            return 404, {}, {"message": "Not Found"}
        number = int(pieces[0])
        pull = repository.pulls[number - 1]
        files = repository.files.get(number, [])
        if len(pieces) == 1:
            return 200, {}, {**pull, "changed_files": len(files)}
        if pieces[1:] == ["files"]:
            where = f"{self.url}/repos/{repository.name}/contents"
            shown = [
                {"contents_url": f"{where}/{quote(one['filename'])}?ref={pull['head']['sha']}", **one} for one in files
            ]
            return self._paged(path, query, shown)
        if pieces[1:] == ["reviews"] and method == "GET":
            return self._paged(path, query, repository.reviews.get(number, []))
        if pieces[1:] == ["reviews"]:
            return self._review(repository, pull, json.loads(body))
        if len(pieces) == 4 and pieces[1::2] == ["reviews", "dismissals"] and method == "PUT":
            return self._dismiss(repository, number, pieces[2], json.loads(body))
        if pieces[1:] == ["merge"] and method == "PUT":
            return self._merge(repository, pull, json.loads(body))
        return 404, {}, {"message": "Not Found"}

    def _review(
        self, repository: Repository, pull: dict[str, Any], given: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        states = {"APPROVE": "APPROVED", "COMMENT": "COMMENTED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}
        state = states.get(given.get("event", ""), "PENDING")
        own = pull["user"]["login"] == self.user
        if own and state in ("APPROVED", "CHANGES_REQUESTED"):
            what = "approve" if state == "APPROVED" else "request changes on"
            return 422, {}, {"message": "Unprocessable Entity", "errors": [f"Can not {what} your own pull request"]}
        if state != "APPROVED" and not given.get("body"):
            return 422, {}, {"message": "Unprocessable Entity", "errors": ["Body can't be blank"]}
        made = {
            "id": 1000 + len(repository.reviews.get(pull["number"], [])),
            "user": {"login": self.user},
            "state": state,
            "body": given.get("body", ""),
            "commit_id": given.get("commit_id") or pull["head"]["sha"],
        }
        repository.reviews.setdefault(pull["number"], []).append(made)
        return 200, {}, made

    def _dismiss(
        self, repository: Repository, number: int, id: str, given: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        if not repository.may_dismiss:
            return 403, {}, {"message": "Resource not accessible by integration"}
        found = [one for one in repository.reviews.get(number, []) if str(one["id"]) == id]
        if not found:
            return 404, {}, {"message": "Not Found"}
        if not given.get("message") or found[0]["state"] not in ("APPROVED", "CHANGES_REQUESTED"):
            return 422, {}, {"message": "Can not dismiss a commented pull request review"}
        found[0]["state"] = "DISMISSED"
        return 200, {}, found[0]

    def _merge(
        self, repository: Repository, pull: dict[str, Any], given: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        method = given.get("merge_method", "merge")
        if pull["state"] != "open" or pull["draft"] or not pull.get("mergeable", True):
            return 405, {}, {"message": "Pull Request is not mergeable"}
        if method not in repository.merge_methods:
            return 405, {}, {"message": f"{method.title()} merges are not allowed on this repository."}
        if given.get("sha", pull["head"]["sha"]) != pull["head"]["sha"]:
            return 409, {}, {"message": "Head branch was modified. Review and try the merge again."}
        pull |= {"state": "closed", "merged_at": "2027-01-15T08:00:00Z"}
        repository.merges.append({"number": pull["number"], **given})
        return 200, {}, {"sha": "f" * 40, "merged": True, "message": "Pull Request successfully merged"}

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
        made = self._add(repository, branch, title=given["title"], body=given["body"], user={"login": self.user})
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

            do_POST = do_DELETE = do_PUT = do_GET

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(api.time() if timestamp is None else timestamp)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler
