"""A server of git repositories on loopback: git's own `http-backend` behind a password, as a forge has it."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.vaults import git

# user, password, owner/name, whether it is a push
Admits = Callable[[str, str, str, bool], bool]


class GitServer:
    """Serves the bare repositories under a folder: `acme/web.git` at `url`/acme/web.git."""

    def __init__(self, folder: Path, admits: Admits) -> None:
        self.folder = folder
        self.admits = admits
        self.logins: list[tuple[str, str]] = []
        """The logins that came, in order."""
        handler = type("Handler", (_Handler,), {"git_server": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def add(self, name: str) -> Path:
        """A repository with one commit on main."""
        path = self.folder / f"{name}.git"
        git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
        git(path, "config", "http.receivepack", "true")
        tree = git(path, "mktree", "--missing")
        git(path, "update-ref", "refs/heads/main", git(path, "commit-tree", tree, "-m", f"Begin {name}"))
        return path

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    git_server: GitServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length")
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        data = self._chunks() if chunked else self.rfile.read(int(length or 0))
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        user, _, password = given.partition(":")
        repository, what = _split(path)
        pushes = "git-receive-pack" in self.path
        if given:
            self.git_server.logins.append((user, password))
        if not given or not self.git_server.admits(user, password, repository, pushes):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="GitHub"')
            self.end_headers()
            return
        around = {
            "GIT_PROJECT_ROOT": str(self.git_server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repository}.git{what}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(data)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": user,
        }
        run = subprocess.run(
            ["git", "http-backend"], input=data, env=os.environ | around, capture_output=True, check=False
        )
        head, _, body = run.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        return data

    def log_message(self, *_: object) -> None:
        pass


def _split(path: str) -> tuple[str, str]:
    """Which repository a path means, and what of it; `.git` may be left out."""
    match = re.fullmatch(r"/(.+?)(?:\.git)?(/info/refs|/git-(?:upload|receive)-pack)?", path)
    return ("", path) if match is None else (match[1], match[2] or "")
