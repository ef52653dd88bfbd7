"""Workspaces and what they are cloned from: bases, pushes, work of other machines, a remote that is away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from shoal.errors import WorkspaceError
from shoal.settings import RepositorySettings
from shoal.worker.workspaces import Workspaces
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, task_of
from tests.worker.pond import BRANCH, TASK, commit, file_on, mirror


def test_pushed_when_the_repository_says_so(home: Path, remote: Remote) -> None:
    workspace = Workspaces(home, remote.settings(push=True)).prepare(TASK, 1)
    assert workspace.keep("Nothing")[0].pushed is False
    assert remote.branches() == ["main"], "a branch without work is not shown to anybody"
    (workspace.folder / "a.py").write_text("a\n")
    [branch] = workspace.keep("Kept")
    assert branch.pushed
    assert git(remote.path, "rev-parse", BRANCH) == branch.head


def test_push_that_fails_is_said_and_fails_nothing(home: Path, remote: Remote) -> None:
    workspace = Workspaces(home, remote.settings(push=True)).prepare(TASK, 1)
    (workspace.folder / "a.py").write_text("a\n")
    shutil.rmtree(remote.path)
    [branch] = workspace.keep("Kept")
    assert (branch.commits, branch.pushed) == (1, False)
    assert "was not pushed" in workspace.notes[0]


def test_work_pushed_by_another_machine_is_gone_on_with(home: Path, remote: Remote, tmp_path: Path) -> None:
    for machine, attempt in (("one", 1), ("two", 2)):
        workspace = Workspaces(tmp_path / machine, remote.settings(push=True)).prepare(TASK, attempt)
        (workspace.folder / f"{machine}.py").write_text("")
        workspace.keep("Kept")
        workspace.close()
    third = Workspaces(tmp_path / "one", remote.settings(push=True)).prepare(TASK, 3)
    assert sorted(path.name for path in third.folder.glob("*.py")) == ["one.py", "two.py"]
    assert third.branches()[0].commits == 2


def test_branch_that_has_gone_on_in_two_places_is_kept_in_both(home: Path, remote: Remote, tmp_path: Path) -> None:
    here = Workspaces(home, remote.settings()).prepare(TASK, 1)
    (here.folder / "here.py").write_text("here\n")
    here.keep("Kept")
    there = Workspaces(tmp_path / "two", remote.settings(push=True)).prepare(TASK, 2)
    (there.folder / "there.py").write_text("there\n")
    there.keep("Kept")
    here.close()
    third = Workspaces(home, remote.settings(push=True)).prepare(TASK, 3)
    assert (third.folder / "there.py").exists()
    [note] = [note for note in third.notes if "kept on" in note]
    assert file_on(home, note.rpartition(" ")[2], "here.py") == "here"
    (third.folder / "more.py").write_text("")
    assert third.keep("Kept")[0].pushed


def test_task_whose_branch_was_merged_begins_at_the_new_base(workspaces: Workspaces, remote: Remote) -> None:
    first = workspaces.prepare(TASK, 1)
    commit(first.folder, "a.py")
    git(first.folder, "push", "--quiet", "origin", "HEAD:main")
    assert first.branches()[0].commits == 1, "pushed to the base by the agent: its work all the same"
    assert first.remove()
    git(remote.clone, "pull", "--quiet", "origin", "main")
    remote.commit({"b.py": "b\n"})
    second = workspaces.prepare(TASK, 2)
    assert (second.folder / "b.py").exists()
    assert second.branches()[0].commits == 0


def test_what_upstream_brought_is_no_evidence(workspaces: Workspaces, remote: Remote) -> None:
    workspace = workspaces.prepare(TASK, 1)
    remote.commit({"b.py": "b\n"})
    git(workspace.folder, "pull", "--quiet", "origin", "main")
    assert (workspace.folder / "b.py").exists()
    assert workspace.keep("Nothing")[0].commits == 0


def test_base_is_the_settings_else_the_head_of_the_remote(home: Path, remote: Remote) -> None:
    remote.commit({"next.py": ""}, branch="next")
    assert (Workspaces(home, remote.settings(base="next")).prepare(TASK, 1).folder / "next.py").exists()
    git(remote.path, "symbolic-ref", "HEAD", "refs/heads/next")
    other = Workspaces(home, remote.settings()).prepare(task_of(43, repos=[REPOSITORY]), 1)
    assert (other.folder / "next.py").exists()
    assert git(other.folder, "rev-parse", "--abbrev-ref", "origin/HEAD") == "origin/next"
    with pytest.raises(WorkspaceError, match="no branch nowhere; name one of main, next"):
        Workspaces(home, remote.settings(base="nowhere")).prepare(task_of(44, repos=[REPOSITORY]), 1)


def test_work_goes_on_offline_and_that_is_said(workspaces: Workspaces, remote: Remote) -> None:
    workspaces.prepare(TASK, 1)
    remote.path.rename(remote.path.with_name("away"))
    workspace = workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    assert (workspace.folder / "README.md").exists()
    assert "could not be fetched" in workspace.notes[0]


def test_repository_that_cannot_be_cloned_is_an_error_that_names_it(home: Path, tmp_path: Path) -> None:
    settings = {REPOSITORY: RepositorySettings(url=str(tmp_path / "nowhere"))}
    with pytest.raises(WorkspaceError, match="acme/pond cannot be cloned"):
        Workspaces(home, settings).prepare(TASK, 1)
    assert list((home / "mirrors").rglob("*.git*")) == [home / "mirrors" / f"{REPOSITORY}.git.lock"]
    assert list((home / "workspaces").rglob("*T42*")) == []


def test_broken_mirror_is_put_aside(workspaces: Workspaces, home: Path) -> None:
    workspaces.prepare(TASK, 1).remove()
    (mirror(home) / "HEAD").write_bytes(b"")
    shutil.rmtree(mirror(home) / "refs")
    workspace = workspaces.prepare(TASK, 2)
    assert "was broken" in workspace.notes[0]
    assert (workspace.folder / "README.md").exists()


def test_lock_of_a_killed_fetch_does_not_stop_the_next(workspaces: Workspaces, home: Path, remote: Remote) -> None:
    workspaces.prepare(TASK, 1)
    new = remote.commit({"b.py": ""})
    lock = mirror(home) / "refs" / "remotes" / "origin" / "main.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    workspace = workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    assert (workspace.notes, workspace.checkouts[0].base) == ([], new)


def test_stop_ends_a_clone_that_hangs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {started}; sleep 1000 #")
    workspaces = Workspaces(home, {REPOSITORY: RepositorySettings(url="ssh://h.invalid/x")})
    with pytest.raises(WorkspaceError, match="stopped"):
        workspaces.prepare(TASK, 1, stop=started.exists)
