"""Workspaces on real repositories: whatever an agent does, and whoever dies when, its work is on its branch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shoal.errors import WorkspaceError
from shoal.settings import RepositorySettings
from shoal.worker.workspace import Workspace
from shoal.worker.workspaces import DAY_MS, Workspaces
from tests.conftest import START_MS, FakeClock
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, run_plainly, task_of
from tests.worker.pond import BRANCH, TASK, commit, file_on, mirror


def test_folder_is_a_checkout_of_the_base_on_a_branch_of_the_task(workspaces: Workspaces, remote: Remote) -> None:
    workspace = workspaces.prepare(TASK, 1)
    assert workspace.folder.name == "T42.1"
    assert (workspace.folder / "README.md").read_text() == "pond\n"
    assert git(workspace.folder, "branch", "--show-current") == BRANCH
    [checkout] = workspace.checkouts
    assert (checkout.repository, checkout.branch) == (REPOSITORY, BRANCH)
    assert checkout.base == git(remote.path, "rev-parse", "main")
    assert git(workspace.folder, "rev-parse", "--abbrev-ref", "origin/HEAD") == "origin/main"
    assert workspace.notes == []


def test_what_is_uncommitted_is_committed_but_for_what_is_ignored(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    commit(workspace.folder, "one.py")
    (workspace.folder / "README.md").write_text("changed\n")
    (workspace.folder / "new").mkdir()
    (workspace.folder / "new" / "ä b\n.py").write_text("new\n")
    (workspace.folder / "trace.log").write_text("noise\n")
    (workspace.folder / "link").symlink_to("/nowhere")
    [branch] = workspace.keep("Left uncommitted", author="claude-1")
    assert branch.commits == 2
    assert not branch.pushed
    assert file_on(home, BRANCH, "README.md") == "changed"
    assert file_on(home, BRANCH, "new/ä b\n.py") == "new"
    assert file_on(home, BRANCH, "link") == "/nowhere"
    assert "trace.log" not in git(mirror(home), "ls-tree", "-r", "--name-only", BRANCH)
    assert git(mirror(home), "log", "-1", "--format=%s/%an", BRANCH) == "Left uncommitted/claude-1"
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert workspace.keep("Again") == [branch], "nothing more to keep"


def test_nothing_done_is_no_evidence(workspaces: Workspaces) -> None:
    workspace = workspaces.prepare(TASK, 1)
    [branch] = workspace.keep("Nothing")
    assert branch.commits == 0
    assert branch.head == branch.base


def test_removed_folder_leaves_its_commits_in_the_mirror(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    (workspace.folder / "a.py").write_text("a\n")
    read_only = workspace.folder / "cache.log"
    read_only.mkdir()
    (read_only / "f").write_text("")
    read_only.chmod(0o500)
    assert workspace.remove()
    assert not workspace.folder.exists()
    assert file_on(home, BRANCH, "a.py") == "a"
    assert list((mirror(home) / "worktrees").glob("*")) == []
    assert list((home / "workspaces").rglob("*T42*")) == []


def test_next_attempt_goes_on_from_the_branch(workspaces: Workspaces, home: Path) -> None:
    first = workspaces.prepare(TASK, 1)
    commit(first.folder, "a.py")
    branches = first.keep("First")
    first.close()
    second = workspaces.prepare(task_of(repos=[REPOSITORY], title="Another title"), 2, branches=branches)
    assert (second.folder / "a.py").exists()
    assert second.branches()[0].commits == 1, "what an earlier attempt committed is evidence too"
    assert second.checkouts[0].branch == BRANCH
    assert first.folder.exists()


def test_branch_is_found_without_the_ledger_when_the_title_has_changed(workspaces: Workspaces) -> None:
    commit(workspaces.prepare(TASK, 1).folder, "a.py")
    second = workspaces.prepare(task_of(repos=[REPOSITORY], title="Another title"), 2)
    assert second.checkouts[0].branch == BRANCH


def test_uncommitted_work_of_a_dead_attempt_is_taken_over(workspaces: Workspaces, home: Path) -> None:
    dead = workspaces.prepare(TASK, 1)
    commit(dead.folder, "a.py")
    (dead.folder / "b.py").write_text("half\n")
    folder = dead.folder
    del dead  # as it is when its process is gone
    second = workspaces.prepare(TASK, 2)
    assert (second.folder / "b.py").read_text() == "half\n"
    assert git(second.folder, "status", "--porcelain") == ""
    assert "brought to" in second.notes[0]
    # What it writes now, if it still runs, moves no branch under the feet of the second.
    commit(folder, "late.py")
    assert file_on(home, BRANCH, "late.py") == ""
    assert git(second.folder, "status", "--porcelain") == ""


def test_first_attempt_does_not_take_up_the_branch_of_another_ledger(workspaces: Workspaces) -> None:
    commit(workspaces.prepare(TASK, 1).folder, "a.py")
    again = workspaces.prepare(TASK, 1)
    assert again.checkouts[0].branch == f"{BRANCH}-2"
    assert not (again.folder / "a.py").exists()


def test_attempt_that_is_alive_is_not_prepared_twice(workspaces: Workspaces) -> None:
    alive = workspaces.prepare(TASK, 1)
    with pytest.raises(WorkspaceError, match=r"T42\.1 is being worked on"):
        workspaces.prepare(TASK, 1)
    assert alive.folder.exists()


def test_home_may_be_reached_by_a_link(home: Path, remote: Remote, tmp_path: Path) -> None:
    home.mkdir()
    (tmp_path / "link").symlink_to(home)
    first = Workspaces(tmp_path / "link", remote.settings()).prepare(TASK, 1)
    (first.folder / "half.py").write_text("half\n")
    del first
    second = Workspaces(home, remote.settings()).prepare(TASK, 2)
    assert (second.folder / "half.py").exists()


def test_git_finds_no_repository_around_the_home(remote: Remote) -> None:
    workspace = Workspaces(remote.clone / ".shoal", {}).prepare(task_of(), 1)
    assert "acme" not in workspace.environment
    found = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"],
        cwd=workspace.folder,
        env=os.environ | workspace.environment,
        capture_output=True,
        check=False,
    )
    assert found.returncode == 128


def test_empty_repository_is_begun(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = Remote(tmp_path / "empty", files={})
    settings = empty.settings(push=True)
    one, two = (Workspaces(home, settings).prepare(task_of(number, repos=[REPOSITORY]), 1) for number in (1, 2))
    assert one.keep("Nothing")[0].commits == 0
    (one.folder / "a.py").write_text("")
    [branch] = one.keep("Kept")
    assert (branch.commits, branch.pushed) == (1, True)
    (two.folder / "b.py").write_text("")
    git(one.folder, "merge", "--quiet", two.keep("Kept")[0].branch)
    assert (one.folder / "b.py").exists(), "both began at the same commit"


def test_several_repositories_stand_side_by_side(home: Path, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Remote(tmp_path / "second")
    settings = remote.settings() | {"other/pond": RepositorySettings(url=str(second.path))}
    names = [REPOSITORY, "other/pond", REPOSITORY]
    workspace = Workspaces(home, settings).prepare(task_of(repos=names), 1)
    assert sorted(path.name for path in workspace.folder.iterdir()) == ["other-pond", "pond"]
    (workspace.folder / "other-pond" / "a.py").write_text("")
    (workspace.folder / "shared.txt").write_text("beside them\n")
    assert {branch.repository: branch.commits for branch in workspace.keep("Kept")} == {REPOSITORY: 0, "other/pond": 1}
    assert not workspace.remove(), "a file beside the checkouts is in no repository"
    assert [path.name for path in workspace.folder.iterdir()] == ["shared.txt"]
    assert Workspaces(home, settings).sweep(START_MS * 2, 0) == ["T42.1"]


def test_task_without_a_repository_has_an_empty_folder(workspaces: Workspaces) -> None:
    task = task_of()
    workspace = workspaces.prepare(task, 1)
    assert list(workspace.folder.iterdir()) == []
    (workspace.folder / "draft.md").write_text("draft\n")
    assert workspace.keep("Nothing") == []
    assert not workspace.remove()
    second = workspaces.prepare(task, 2)
    assert list(second.folder.iterdir()) == []
    assert str(workspace.folder) in second.notes[0]
    assert second.remove()


def test_commands_set_up_and_tear_down(home: Path, remote: Remote) -> None:
    settings = remote.settings(setup=["echo made > made.log", "test -f made.log"], teardown=["rm made.log", "false"])
    workspace = Workspaces(home, settings).prepare(TASK, 1, run_command=run_plainly)
    assert (workspace.folder / "made.log").exists()
    workspace.keep("Kept")
    workspace.close()
    assert not (workspace.folder / "made.log").exists()
    assert "`false` ended with 1" in workspace.notes[0]


def test_set_up_that_fails_is_told_with_what_it_said_and_leaves_nothing(home: Path, remote: Remote) -> None:
    settings = remote.settings(setup=["echo no such tool; exit 3"])
    with pytest.raises(WorkspaceError, match=r"set-up of acme/pond: `.*` ended with 3: no such tool"):
        Workspaces(home, settings).prepare(TASK, 1, run_command=run_plainly)
    assert list((home / "workspaces").rglob("*T42*")) == []
    assert (Workspaces(home, remote.settings()).prepare(TASK, 2).folder / "README.md").exists()


def test_sweep_removes_what_ended_long_ago_and_keeps_its_work(home: Path, remote: Remote) -> None:
    clock = FakeClock()
    workspaces = Workspaces(home, remote.settings(), clock=clock)
    folders = []
    for number in range(1, 4):
        workspace = workspaces.prepare(task_of(number, repos=[REPOSITORY]), 1)
        (workspace.folder / "a.py").write_text("a\n")
        folders.append(workspace.folder)
        if number == 2:
            workspace.keep("Kept")
            (workspace.folder / "report.xml").write_text("of a check\n")
            workspace.close()
        if number == 3:
            alive = workspace
    del workspace
    assert workspaces.sweep(START_MS + 7 * DAY_MS - 1, 7) == []
    assert workspaces.sweep(START_MS + 7 * DAY_MS, 7) == ["T1.1", "T2.1"]
    assert alive.folder.exists()
    assert [folder.exists() for folder in folders] == [False, False, True]
    assert file_on(home, "shoal/T1-mend-the-pond", "a.py") == "a"
    assert file_on(home, "shoal/T2-mend-the-pond", "report.xml") == "", "what a check left is nobody's work"


def test_what_somebody_changes_in_a_folder_that_was_left_is_kept(home: Path, remote: Remote) -> None:
    workspaces = Workspaces(home, remote.settings(), clock=FakeClock())
    workspace = workspaces.prepare(TASK, 1)
    workspace.keep("Kept")
    workspace.close()
    (workspace.folder / "by-hand.py").write_text("by hand\n")
    assert workspaces.sweep(START_MS + DAY_MS, 1) == ["T42.1"]
    assert file_on(home, BRANCH, "by-hand.py") == "by hand"


def test_worktree_of_another_worker_survives_every_pruning(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    aside = workspace.folder.with_name("aside")
    workspace.folder.rename(aside)
    git(mirror(home), "worktree", "prune", "--expire=now")
    git(mirror(home), "gc", "--quiet", "--prune=now")
    workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    aside.rename(workspace.folder)
    assert git(workspace.folder, "status", "--porcelain") == ""


def test_folder_of_somebodys_own_is_left_as_it_is(tmp_path: Path) -> None:
    workspace = Workspace.in_place(tmp_path)
    assert workspace.keep("Nothing") == []
    workspace.close(remove=True)
    assert tmp_path.exists()


def test_worktree_that_a_killed_git_left_half_made_stops_nobody(workspaces: Workspaces, home: Path) -> None:
    workspaces.prepare(TASK, 1)
    half = mirror(home) / "worktrees" / "T99.1"
    half.mkdir()
    (half / "commondir").touch()
    workspace = workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert not half.exists()
