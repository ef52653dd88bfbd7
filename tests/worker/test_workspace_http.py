"""A remote that wants a token, over HTTP: the token reaches it, and no file, URL or message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import WorkspaceError
from shoal.settings import RepositorySettings
from shoal.worker.workspaces import TokenOf, Workspaces
from tests.git_server import GitServer
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, task_of

TOKEN = "s3cret-t0ken"
TASK = task_of(repos=[REPOSITORY])


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    remote = Remote(tmp_path)
    git(remote.path, "config", "http.receivepack", "true")
    server = GitServer(tmp_path, lambda user, password, *_: user in {"x-access-token", "me"} and password == TOKEN)
    yield f"{server.url}/remote.git"
    server.close()


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
    for settings, token, advice in (
        (RepositorySettings(url=url), lambda _: lambda: "wr0ng", "shoal broker audit"),
        (RepositorySettings(url=url.replace("://", "://me:wr0ng@")), lambda _: None, "credential helper"),
    ):
        with pytest.raises(WorkspaceError) as refused:
            Workspaces(tmp_path / "home", {REPOSITORY: settings}).prepare(TASK, 1, token=token)
        assert "Authentication failed" in refused.value.message
        assert advice in refused.value.message
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
