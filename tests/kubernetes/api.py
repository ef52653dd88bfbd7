"""A Kubernetes API server on loopback, for Jobs, pods, Secrets and ConfigMaps, whose pods really run (nodes.py).

It can be down, lose acknowledgements (it does the thing and closes the connection), and refuse.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.kubernetes.nodes import Nodes
from tests.kubernetes.objects import KINDS, VERSION, Object, Objects, Problem, selected

PATH = re.compile(
    r"/(?:api|apis)/(?P<version>v1|batch/v1)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|log))?"
)


def _resources(version: str) -> Object:
    resources = [
        {"name": plural, "kind": kind, "singularName": kind.lower(), "namespaced": True, "verbs": ["get", "list"]}
        for (of, plural), kind in KINDS.items()
        if of == version
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


DISCOVERY: dict[str, Object] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": _resources("v1"),
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": "batch", "versions": [{"groupVersion": "batch/v1", "version": "v1"}]}],
    },
    "/apis/batch/v1": _resources("batch/v1"),
}


class Api:
    """The server; `kubeconfig` is a file that leads to it."""

    def __init__(self, folder: Path) -> None:
        self.objects = Objects()
        self.nodes = Nodes(self.objects, folder / "nodes")
        self.down = False
        self.lost: list[tuple[str, str]] = []  # (method, plural): the next such call is done and not acknowledged
        self.refused: dict[tuple[str, str], Problem] = {}
        self.broken_logs: set[str] = set()  # Jobs on a node that is lost
        self.calls: list[tuple[str, str]] = []
        self.most_at_once = 0
        api = self

        class Handler(_Handler):
            pass

        Handler.api = api
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "here", "cluster": {"server": self.url}}],
                    "users": [{"name": "me", "user": {"token": "secret"}}],
                    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                    "current-context": "here",
                }
            )
        )

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Nobody answers meanwhile; what runs goes on."""
        self.down = True
        try:
            yield
        finally:
            self.down = False

    def jobs(self) -> list[str]:
        """The names of the Jobs there are."""
        return [job["metadata"]["name"] for job in self.objects.list("Job")]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.nodes.close()

    def serve(self, method: str, path: str, query: dict[str, str], body: Object) -> Any:
        """The answer: an object, or bytes."""
        if path == "/version":
            return {"major": "1", "minor": VERSION.partition(".")[2], "gitVersion": f"v{VERSION}.0"}
        if path in DISCOVERY:
            return DISCOVERY[path]
        found = PATH.fullmatch(path)
        kind = KINDS.get((found["version"], found["plural"])) if found else None
        if found is None or kind is None:
            raise Problem(404, "NotFound", "the server could not find the requested resource")
        self.calls.append((method, found["plural"]))
        refusal = self.refused.get((method, found["plural"]))
        if refusal is not None:
            raise refusal
        namespace, name, sub = found["namespace"], found["name"], found["sub"]
        objects = self.objects
        if name is None:
            if method == "POST":
                made = objects.create(kind, namespace, body)
                self.most_at_once = max(self.most_at_once, self._active())
                return made
            return self._page(kind, namespace, found["version"], query)
        if sub == "log":
            return self._log(objects.get(kind, namespace, name), query)
        if method == "GET":
            return objects.get(kind, namespace, name)
        if method == "PATCH":
            return objects.patch(kind, namespace, name, body, status=sub == "status")
        if method == "PUT":
            return objects.replace(kind, namespace, name, body)
        if method == "DELETE":
            objects.delete(kind, namespace, name, body)
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        raise Problem(405, "MethodNotAllowed", f"{method} is not allowed")

    def watch(self, path: str, query: dict[str, str]) -> Iterator[bytes]:
        """Every change behind a version, as lines of JSON, until the time is up."""
        found = PATH.fullmatch(path)
        assert found is not None
        kind = KINDS[found["version"], found["plural"]]
        after = int(query.get("resourceVersion") or 0)
        end = threading.Event()
        timer = threading.Timer(float(query.get("timeoutSeconds", "5")), end.set)
        timer.start()
        while not end.is_set() and not self.down:
            with self.objects.lock:
                changes = [one for one in self.objects.history if one[0] > after]
                if not changes:
                    self.objects.changed.wait(0.05)
            for version, how, of, namespace, one in changes:
                after = version
                if (of, namespace) == (kind, found["namespace"]) and selected(one, query.get("labelSelector", "")):
                    yield json.dumps({"type": how, "object": one}).encode() + b"\n"
        timer.cancel()

    def _page(self, kind: str, namespace: str, version: str, query: dict[str, str]) -> Object:
        found = [one for one in self.objects.list(kind, namespace) if selected(one, query.get("labelSelector", ""))]
        fields = dict(part.split("=", 1) for part in filter(None, query.get("fieldSelector", "").split(",")))
        if "metadata.name" in fields:
            found = [one for one in found if one["metadata"]["name"] == fields["metadata.name"]]
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or 0)
        page = found[start : start + limit] if limit else found
        rest = {"continue": str(start + limit)} if limit and start + limit < len(found) else {}
        metadata = {"resourceVersion": self.objects.version} | rest
        return {"kind": f"{kind}List", "apiVersion": version, "metadata": metadata, "items": page}

    def _log(self, pod: Object, query: dict[str, str]) -> bytes:
        if unknown := query.keys() - {"container", "limitBytes", "timestamps", "sinceTime"}:
            raise NotImplementedError(f"the cluster of the tests knows no {unknown}")
        limit = query.get("limitBytes")
        if limit is not None and int(limit) < 1:
            raise Problem(422, "Invalid", f"PodLogOptions is invalid: limitBytes: Invalid value: {limit}")
        since = None
        if "sinceTime" in query:
            try:
                since = datetime.fromisoformat(query["sinceTime"])
            except ValueError:
                raise Problem(400, "BadRequest", f'parsing time "{query["sinceTime"]}"') from None
            since = since.replace(microsecond=0)  # all that the kubelet is told
        if pod["metadata"]["labels"]["job-name"] in self.broken_logs:
            raise Problem(500, "InternalError", "dial tcp 10.0.0.7:10250: i/o timeout")
        state = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
        if not {"running", "terminated"} & state.keys():
            container = pod["spec"]["containers"][0]["name"]
            raise Problem(400, "BadRequest", f'container "{container}" is waiting to start: ContainerCreating')
        limited = None if limit is None else int(limit)
        return self.nodes.log(pod, since=since, timestamps=query.get("timestamps") == "true", limit=limited)

    def _active(self) -> int:
        ended = {"Complete", "Failed"}
        return sum(
            not any(one["type"] in ended for one in job["status"].get("conditions", []))
            for job in self.objects.list("Job")
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def _serve(self) -> None:
        api = self.api
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        length = int(self.headers.get("Content-Length") or 0)
        given = self.rfile.read(length)
        if api.down:
            self.close_connection = True
            return
        if query.get("watch") == "true":
            self._stream(api.watch(parts.path, query))
            return
        code = 200
        try:
            answer = api.serve(self.command, parts.path.rstrip("/"), query, json.loads(given) if given else {})
        except Problem as problem:
            code, answer = problem.code, problem.status
        found = PATH.fullmatch(parts.path)
        call = (self.command, found["plural"] if found else "")
        if call in api.lost and code < 400:
            api.lost.remove(call)
            self.close_connection = True
            return
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(code if code >= 400 or self.command != "POST" else 201)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def _stream(self, lines: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Nothing."""
