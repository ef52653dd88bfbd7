"""`shoal broker setup` and `shoal gh`: git and gh of a machine, told about the broker and back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal import Ledger
from tests.credentials.agents_git import persons_configuration
from tests.fleet import SHOAL, environment
from tests.git_server import GitServer
from tests.services.broker import at_work
from tests.vaults import git

Shoal = Callable[..., str]


@pytest.fixture
def config(tmp_path: Path, forge: GitServer) -> Path:
    return persons_configuration(tmp_path, forge.url)


@pytest.fixture
def shoal(tmp_path: Path, url: str, config: Path) -> Shoal:
    def run(*arguments: str, code: int = 0, folder: Path = tmp_path, **variables: str) -> str:
        done = subprocess.run(
            [*SHOAL, *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment(SHOAL_URL=url, GIT_CONFIG_GLOBAL=str(config), **variables),
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def asked(config: Path, place: str) -> list[str]:
    """The helpers that git asks for a place, in their order."""
    command = ["git", "config", "--file", str(config), "--null", "--get-all", f"credential.{place}.helper"]
    return subprocess.run(command, capture_output=True, text=True).stdout.split("\0")[:-1]


def test_setup_is_done_once_and_undone_whole(
    shoal: Shoal, url: str, config: Path, forge: GitServer, ledger: Ledger
) -> None:
    before = config.read_text()
    assert "git now asks Shoal for" in shoal("broker", "setup")
    after = config.read_text()
    assert after.startswith(before)
    assert asked(config, forge.url)[0] == ""
    assert "git_credential" in asked(config, forge.url)[1] or "git-credential-shoal" in asked(config, forge.url)[1]
    assert asked(config, f"https://{forge.host}") == asked(config, forge.url)
    assert git(config.parent, "config", "--file", str(config), "--get-urlmatch", "credential.useHttpPath", forge.url)
    assert "git asks Shoal for" in shoal("broker", "setup", "--global")
    assert config.read_text() == after
    claim = at_work(ledger, "acme/web")
    task = {"SHOAL_TASK_ID": claim.task.task_id, "SHOAL_TASK_KEY": claim.key, "GIT_TERMINAL_PROMPT": "0"}
    around = environment(GIT_CONFIG_GLOBAL=str(config), SHOAL_URL=url, **task)
    for name, code in (("acme/web", 0), ("acme/api", 128)):
        command = ["git", "ls-remote", f"{forge.url}/{name}.git"]
        assert subprocess.run(command, env=around, capture_output=True).returncode == code
    assert "no longer asks" in shoal("broker", "setup", "--remove")
    assert config.read_text() == before
    assert "does not ask" in shoal("broker", "setup", "--remove")


def test_helpers_that_somebody_else_set_stay(shoal: Shoal, tmp_path: Path) -> None:
    file, name = tmp_path / "other", "credential.https://github.com.helper"
    for value in ("", "!gh auth git-credential"):
        git(tmp_path, "config", "--file", str(file), "--add", name, value)
    before = file.read_text()
    shoal("broker", "setup", "--file", str(file), "--host", "github.com")
    assert asked(file, "https://github.com")[:3] == ["", "!gh auth git-credential", ""]
    assert len(asked(file, "https://github.com")) == 4
    shoal("broker", "setup", "--file", str(file), "--host", "github.com", "--remove")
    assert file.read_text() == before


def test_local_setup_needs_a_repository(shoal: Shoal, tmp_path: Path) -> None:
    assert "git config" in shoal("broker", "setup", "--local", "--host", "github.com", code=1)
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", str(folder))
    shoal("broker", "setup", "--local", "--host", "github.com", folder=folder)
    assert len(asked(folder / ".git" / "config", "https://github.com")) == 2


@pytest.fixture
def gh(tmp_path: Path) -> dict[str, str]:
    """A PATH with a gh that tells what it was given."""
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nenv | grep -E "^(GH|GITHUB)_" | sort\necho "$@"\nexit 3\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin", "GH_TOKEN": "mine", "GITHUB_TOKEN": "mine"}


def test_gh_runs_with_the_tasks_token(
    shoal: Shoal, ledger: Ledger, forge: GitServer, gh: dict[str, str], tmp_path: Path
) -> None:
    claim = at_work(ledger, "acme/web", "other/web")
    own = gh | {"SHOAL_TASK_ID": claim.task.task_id, "SHOAL_TASK_KEY": claim.key}
    [login, host, arguments] = shoal("gh", "-r", "acme/web", "--", "pr", "list", "-R", "x", code=3, **own).splitlines()
    assert login.startswith("GH_ENTERPRISE_TOKEN=ghs_")
    assert host == f"GH_HOST={forge.host}"
    assert arguments == "pr list -R x"
    assert "repositories of 2 owners" in shoal("gh", "--", "pr", "list", code=2, **own)
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "remote", "add", "origin", f"{forge.url.replace('://', '://me:secret@')}/other/web.git")
    assert "ghs_" in shoal("gh", "--", "pr", "list", code=3, folder=folder, **own)
    assert "which task" in shoal("gh", "--", "pr", "list", code=2, **gh)
    assert "not on PATH" in shoal("gh", "-r", "acme/web", "--", "x", code=3, **own | {"PATH": "/nowhere"})
    ledger.tasks.complete(claim.task.id, attempt=1)
    assert "T1 is completed" in shoal("gh", "-r", "acme/web", "--", "pr", "list", code=4, **own)
