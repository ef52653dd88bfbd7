"""A home that goes with the attempt, as a pod's does: what was done is at the remote before it goes."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from shoal.worker.workspaces import Workspaces
from tests.conftest import wait_until
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, task_of

TASK = task_of(repos=[REPOSITORY])
BRANCH = "shoal/T42-mend-the-pond"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def pod(tmp_path: Path, remote: Remote, number: int) -> Workspaces:
    return Workspaces(tmp_path / f"pod-{number}", remote.settings(), ephemeral=True)


def test_pushed_after_every_keep_whatever_the_repository_says(tmp_path: Path, remote: Remote) -> None:
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    for name in ("a.py", "b.py"):
        (workspace.folder / name).write_text("x\n")
        [branch] = workspace.keep("Kept")
        assert branch.pushed
        assert git(remote.path, "show", f"{BRANCH}:{name}") == "x"


def test_next_attempt_goes_on_from_it_in_a_home_of_its_own(tmp_path: Path, remote: Remote) -> None:
    first = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (first.folder / "a.py").write_text("x\n")
    branches = first.keep("Kept")
    second = pod(tmp_path, remote, 2).prepare(TASK, 2, branches=branches)
    assert (second.folder / "a.py").read_text() == "x\n"


def test_work_beside_the_branch_that_has_gone_on_is_pushed_beside_it(tmp_path: Path, remote: Remote) -> None:
    first = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (first.folder / "late.py").write_text("x\n")
    remote.commit({"other.py": "y\n"}, BRANCH)
    branches = first.keep("Kept")
    [kept] = [one for one in remote.branches() if one.startswith("shoal/kept/T42.1-")]
    assert git(remote.path, "show", f"{kept}:late.py") == "x"
    assert git(remote.path, "show", f"{BRANCH}:other.py") == "y"
    assert [one.pushed for one in branches] == [False, True]


def test_stashes_are_pushed_too(tmp_path: Path, remote: Remote) -> None:
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (workspace.folder / "README.md").write_text("stashed\n")
    git(workspace.folder, "stash")
    workspace.keep("Kept")
    [stash] = [one for one in remote.branches() if "-stash-" in one]
    assert git(remote.path, "show", f"{stash}:README.md") == "stashed"


def test_push_goes_on_when_the_attempt_is_stopped(tmp_path: Path, remote: Remote) -> None:
    stopped = threading.Event()
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1, stop=stopped.is_set)
    (workspace.folder / "a.py").write_text("x\n")
    slow(remote, "sleep 1")
    stopped.set()
    assert workspace.keep("Kept")[0].pushed, workspace.notes


def test_push_that_takes_too_long_for_a_stopped_attempt_is_given_up_and_said(tmp_path: Path, remote: Remote) -> None:
    late = threading.Event()
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1, late=late.is_set)
    (workspace.folder / "a.py").write_text("x\n")
    begun = tmp_path / "begun"
    slow(remote, f"touch {begun}; sleep 60")
    keeping = threading.Thread(target=workspace.keep, args=("Kept",))
    keeping.start()
    wait_until(begun.exists)
    late.set()
    keeping.join(20)
    assert not keeping.is_alive()
    assert "was not pushed" in workspace.notes[-1]


def test_push_that_fails_is_said_with_its_reason(tmp_path: Path, remote: Remote) -> None:
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (workspace.folder / "a.py").write_text("x\n")
    shutil.rmtree(remote.path)
    [branch] = workspace.keep("Kept")
    assert (branch.commits, branch.pushed) == (1, False)
    assert f"{BRANCH} was not pushed: git push" in workspace.notes[-1]


def slow(remote: Remote, command: str) -> None:
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{command}\n")
    hook.chmod(0o755)
