"""A remote that wants a token, over HTTP: the token reaches it, and no file, URL or message."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shoal.errors import WorkspaceError
from shoal.settings import RepositorySettings
from shoal.worker.workspaces import TokenOf, Workspaces
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, task_of

TOKEN = "s3cret-t0ken"
TASK = task_of(repos=[REPOSITORY])


class Door(BaseHTTPRequestHandler):
    """Git's own CGI behind a password."""

    protocol_version = "HTTP/1.0"
    root = ""
    users = ("x-access-token", "me")

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given not in {f"{user}:{TOKEN}" for user in self.users}:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        length = self.headers.get("Content-Length")
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        data = self._chunks() if chunked else self.rfile.read(int(length or 0))
        around = {
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(data)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "me",
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


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    remote = Remote(tmp_path)
    git(remote.path, "config", "http.receivepack", "true")
    door = type("ThisDoor", (Door,), {"root": str(tmp_path)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/remote.git"
    server.shutdown()
    thread.join()
    server.server_close()


def work(workspaces: Workspaces, home: Path, token: TokenOf = lambda _: None) -> None:
    workspace = workspaces.prepare(TASK, 1, token=token)
    (workspace.folder / "a.py").write_text("a\n")
    [branch] = workspace.keep("Kept")
    assert branch.pushed, workspace.notes
    workspace.close()
    assert workspaces.prepare(TASK, 2, token=token).notes[:-1] == []
    for path in home.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    assert TOKEN not in repr(vars(branch) if hasattr(branch, "__dict__") else branch)
    assert not any(TOKEN in value for value in os.environ.values())


def test_token_opens_the_remote_and_is_written_nowhere(url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = {REPOSITORY: RepositorySettings(url=url, push=True)}
    asked: list[str] = []
    work(Workspaces(home, settings), home, lambda where: lambda: asked.append(where) or TOKEN)
    assert set(asked) == {url}
    assert len(asked) == 4  # a clone, what its HEAD means, a push, a fetch: each time anew


def test_credentials_in_the_url_are_used_and_written_nowhere(url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    inside = url.replace("://", f"://me:{TOKEN}@")
    work(Workspaces(home, {REPOSITORY: RepositorySettings(url=inside, push=True)}), home)
    mirror = home / "mirrors" / f"{REPOSITORY}.git"
    assert git(mirror, "config", "remote.origin.url") == url


def test_wrong_token_is_an_error_that_does_not_show_it(url: str, tmp_path: Path) -> None:
    for settings, token in (
        (RepositorySettings(url=url), lambda _: lambda: "wr0ng"),
        (RepositorySettings(url=url.replace("://", "://me:wr0ng@")), lambda _: None),
    ):
        with pytest.raises(WorkspaceError) as refused:
            Workspaces(tmp_path / "home", {REPOSITORY: settings}).prepare(TASK, 1, token=token)
        assert "Authentication failed" in refused.value.message
        assert "credential helper" in refused.value.message
        assert "VAULT" not in refused.value.message
        assert "wr0ng" not in refused.value.message


def test_token_is_not_sent_unencrypted_to_another_machine(tmp_path: Path) -> None:
    settings = {REPOSITORY: RepositorySettings(url="http://git.example.org/a.git")}
    with pytest.raises(WorkspaceError, match="use https"):
        Workspaces(tmp_path / "home", settings).prepare(TASK, 1, token=lambda _: lambda: TOKEN)


def test_transport_that_an_agent_plants_is_given_no_credentials(url: str, tmp_path: Path) -> None:
    home, leak, script = tmp_path / "home", tmp_path / "leak", tmp_path / "evil"
    script.write_text(f"#!/bin/sh\nenv > {leak}\ncat >> {leak}\n")
    script.chmod(0o755)
    workspaces = Workspaces(home, {REPOSITORY: RepositorySettings(url=url, push=True)})
    workspace = workspaces.prepare(TASK, 1, token=lambda _: lambda: TOKEN)
    for key, value in (
        ("protocol.ext.allow", "always"),
        ("remote.origin.pushurl", f"ext::{script}"),
        (f"url.ext::{script}.insteadOf", url),
        ("credential.helper", f"!{script}"),
        ("http.proxy", "http://127.0.0.1:1"),
        ("http.extraHeader", "X-Planted: yes"),
        ("http.sslVerify", "false"),
        ("core.askPass", str(script)),
    ):
        git(workspace.folder, "config", key, value)
    (workspace.folder / "a.py").write_text("a\n")
    [branch] = workspace.keep("Kept")
    assert branch.pushed, workspace.notes
    workspace.close()
    other = workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1, token=lambda _: lambda: TOKEN)
    assert other.notes == []
    assert not leak.exists()
