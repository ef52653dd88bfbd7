"""Workspaces on real repositories: whatever an agent does, and whoever dies when, its work is on its branch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.adapters.git.address import address_of
from shoal.errors import WorkspaceError
from shoal.settings import RepositorySettings
from shoal.worker import task_branch
from shoal.worker.workspace import Workspace
from shoal.worker.workspaces import DAY_MS, Workspaces
from tests.conftest import START_MS, FakeClock
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, run_plainly, task_of

TASK = task_of(repos=[REPOSITORY])
BRANCH = "shoal/T42-mend-the-pond"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def workspaces(home: Path, remote: Remote) -> Workspaces:
    return Workspaces(home, remote.settings())


def mirror(home: Path) -> Path:
    return home / "mirrors" / f"{REPOSITORY}.git"


def file_on(home: Path, branch: str, name: str) -> str:
    return git(mirror(home), "show", f"{branch}:{name}", check=False)


def commit(folder: Path, name: str, text: str = "text\n") -> str:
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", f"Write {name}")
    return git(folder, "rev-parse", "HEAD")


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


def unfinished_merge(folder: Path) -> None:
    git(folder, "switch", "--quiet", "--create", "side", "HEAD~1")
    commit(folder, "work.py", "theirs\n")
    git(folder, "switch", "--quiet", "-")
    git(folder, "merge", "side", check=False)


def unfinished_rebase(folder: Path) -> None:
    git(folder, "switch", "--quiet", "--create", "side", "HEAD~1")
    commit(folder, "work.py", "theirs\n")
    git(folder, "switch", "--quiet", "-")
    git(folder, "rebase", "side", check=False)


def detached(folder: Path) -> None:
    git(folder, "switch", "--quiet", "--detach")
    commit(folder, "more.py")


def another_branch(folder: Path) -> None:
    git(folder, "switch", "--quiet", "--create", "fix/thing")
    commit(folder, "more.py")


def own_history(folder: Path) -> None:
    git(folder, "switch", "--quiet", "--orphan", "fresh")


def stash(folder: Path) -> None:
    (folder / "work.py").write_text("stashed\n")
    git(folder, "stash")


def no_git_file(folder: Path) -> None:
    (folder / ".git").unlink()


def own_repository(folder: Path) -> None:
    (folder / ".git").unlink()
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Mine")


def nested_repository(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    commit(inner, "deep.py")
    (inner / "loose.py").write_text("loose\n")
    (inner / ".gitignore").write_text("*.tmp\n")
    (inner / "x.tmp").write_text("")


def empty_nested_repository(folder: Path) -> None:
    git(folder, "init", "--quiet", "inner")
    (folder / "inner" / "loose.py").write_text("loose\n")


def nested_link_to_nowhere(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / ".git").write_text("gitdir: /no/where\n")
    (folder / "inner" / "loose.py").write_text("loose\n")


def nested_wreck(folder: Path) -> None:
    git(folder, "init", "--quiet", "inner")
    commit(folder / "inner", "deep.py")
    shutil.rmtree(folder / "inner" / ".git" / "objects")


def tracked_folder_became_a_repository(folder: Path) -> None:
    (folder / "inner").mkdir()
    commit(folder, "inner/old.py")
    (folder / "inner" / "old.py").unlink()
    git(folder / "inner", "init", "--quiet")
    commit(folder / "inner", "new.py")


def admin_of(folder: Path) -> Path:
    return Path(git(folder, "rev-parse", "--absolute-git-dir"))


def locked_index(folder: Path) -> None:
    (admin_of(folder) / "index.lock").touch()


def broken_index(folder: Path) -> None:
    (admin_of(folder) / "index").write_bytes(b"no index")


def no_branch(folder: Path) -> None:
    name = git(folder, "branch", "--show-current")
    git(folder, "switch", "--quiet", "--detach")
    git(folder, "branch", "-D", name)


def bare_in_configuration(folder: Path) -> None:
    git(folder, "config", "core.worktree", "/nowhere")


@pytest.mark.parametrize(
    "mess",
    [
        unfinished_merge,
        unfinished_rebase,
        detached,
        another_branch,
        own_history,
        stash,
        no_git_file,
        own_repository,
        nested_repository,
        empty_nested_repository,
        nested_link_to_nowhere,
        nested_wreck,
        tracked_folder_became_a_repository,
        locked_index,
        broken_index,
        no_branch,
        bare_in_configuration,
    ],
    ids=lambda mess: mess.__name__,
)
def test_nothing_is_lost_whatever_the_agent_did(
    workspaces: Workspaces, home: Path, mess: Callable[[Path], None]
) -> None:
    workspace = workspaces.prepare(TASK, 1)
    folder = workspace.folder
    commit(folder, "work.py", "mine\n")
    mess(folder)
    (folder / "untracked.py").write_text("untracked\n")
    there = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py")}
    branches = workspace.keep("Kept")
    assert workspace.keep("Kept again") == branches, "keeping twice keeps once"
    kept = git(mirror(home), "for-each-ref", "--format=%(refname:strip=2)", "refs/heads/shoal").split()
    for path, content in there.items():
        name = f"{path}"
        assert any(file_on(home, branch, name).encode() == content.strip() for branch in kept), (path, kept)
    assert sum(branch.commits for branch in branches) > 0
    assert workspace.remove()
    second = workspaces.prepare(TASK, 2, branches=branches)
    assert (second.folder / "work.py").exists()
    tried = git(second.folder, "switch", "--create", "fix/thing", check=False)
    assert "already" not in tried
    if mess is stash:
        assert "stash apply" in workspace.notes[0]
        assert git(second.folder, "stash", "list") == ""
        [name] = [branch for branch in kept if "stash" in branch]
        git(second.folder, "stash", "apply", name)
        assert (second.folder / "work.py").read_text() == "stashed\n"


def test_finished_merge_that_was_not_committed_is_a_merge(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    git(workspace.folder, "switch", "--quiet", "--create", "side")
    side = commit(workspace.folder, "side.py")
    git(workspace.folder, "switch", "--quiet", "-")
    commit(workspace.folder, "work.py")
    git(workspace.folder, "merge", "--no-commit", "--no-ff", "side")
    workspace.keep("Merged")
    assert side in git(mirror(home), "rev-list", "--parents", "--max-count=1", BRANCH).split()[1:]
    assert not (admin_of(workspace.folder) / "MERGE_HEAD").exists()


def test_clone_with_nothing_new_is_left_out(workspaces: Workspaces, home: Path, remote: Remote) -> None:
    workspace = workspaces.prepare(TASK, 1)
    git(workspace.folder, "clone", "--quiet", str(remote.path), "vendor")
    (workspace.folder / "a.py").write_text("a\n")
    workspace.keep("Kept")
    assert git(mirror(home), "ls-tree", "-r", "--name-only", BRANCH).split() == [".gitignore", "README.md", "a.py"]
    assert any("vendor" in note for note in workspace.notes)


def test_submodule_with_work_of_its_own_keeps_the_folder(
    workspaces: Workspaces, home: Path, remote: Remote, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    git(tmp_path, "init", "--quiet", str(library))
    commit(library, "lib.py")
    workspace = workspaces.prepare(TASK, 1)
    git(workspace.folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    commit(workspace.folder, "a.py")
    workspace.keep("Kept")
    assert workspace.notes == []
    commit(workspace.folder / "lib", "mine.py")
    workspace.keep("Kept")
    assert "submodule lib" in workspace.notes[0]
    assert not workspace.remove()
    assert (workspace.folder / "lib" / "mine.py").exists()
    assert workspaces.sweep(START_MS * 2, 0) == []


def test_file_that_git_does_not_take_keeps_the_folder(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    (workspace.folder / "a.py").write_text("a\n")
    (workspace.folder / "git~1").write_text("a name that means .git elsewhere\n")
    workspace.keep("Kept")
    assert file_on(home, BRANCH, "a.py") == "a"
    assert "git~1" in workspace.notes[0]
    assert not workspace.remove()
    workspace.close()
    assert (workspace.folder / "git~1").exists()
    second = workspaces.prepare(TASK, 2)
    assert (second.folder / "a.py").exists()
    assert workspaces.sweep(START_MS * 2, 0) == []


def test_work_goes_to_a_patch_where_the_mirror_takes_nothing(
    workspaces: Workspaces, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspaces.prepare(TASK, 1)
    (workspace.folder / "README.md").write_text("changed\n")
    (workspace.folder / "image.bin").write_bytes(bytes(range(256)))
    objects = mirror(home) / "objects"
    # As on a full disk: nothing can be written there, also by root.
    full = mirror(home) / "objects.elsewhere"
    objects.rename(full)
    objects.mkdir()
    (objects / "info").mkdir()
    (objects / "info" / "alternates").write_text(f"{full}\n")
    for number in range(256):
        (objects / f"{number:02x}").write_text("no folder")
    workspace.keep("Kept")
    patch = home / "workspaces" / "T42.1.kept" / "diff.patch"
    assert "diff.patch" in workspace.notes[0]
    assert not workspace.remove(), "a patch is no commit"
    shutil.rmtree(objects)
    full.rename(objects)
    other = workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    git(other.folder, "apply", str(patch))
    assert (other.folder / "README.md").read_text() == "changed\n"
    assert (other.folder / "image.bin").read_bytes() == bytes(range(256))
    assert workspaces.sweep(START_MS * 2, 0) == ["T42.1"], "it can be committed now"
    assert file_on(home, BRANCH, "README.md") == "changed"


def test_nothing_at_all_can_be_done_without_the_mirror_so_the_folder_stays(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    (workspace.folder / "a.py").write_text("a\n")
    shutil.rmtree(mirror(home))
    with pytest.raises(WorkspaceError, match=r"T42\.1, which stays"):
        workspace.keep("Kept")
    assert not workspace.remove()
    assert workspaces.sweep(START_MS * 2, 0) == []
    assert (workspace.folder / "a.py").exists()


def test_emptied_folder_does_not_empty_the_branch(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    commit(workspace.folder, "a.py")
    shutil.rmtree(workspace.folder)
    [branch] = workspace.keep("Kept")
    assert branch.commits == 1
    assert workspace.remove()
    assert (workspaces.prepare(TASK, 2).folder / "a.py").exists()


def test_stash_of_another_worktree_is_left_alone(workspaces: Workspaces, home: Path) -> None:
    one, two = workspaces.prepare(TASK, 1), workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    for workspace in (one, two):
        (workspace.folder / "README.md").write_text(f"{workspace.folder.name}\n")
        git(workspace.folder, "stash")
    one.keep("Kept")
    assert one.remove()
    git(two.folder, "stash", "pop")
    assert (two.folder / "README.md").read_text() == "T43.1\n"


def test_stash_on_a_branch_that_both_had_is_left_on_the_stash(workspaces: Workspaces) -> None:
    one, two = workspaces.prepare(TASK, 1), workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    for workspace in (one, two):
        git(workspace.folder, "switch", "--quiet", "main")
        (workspace.folder / "README.md").write_text(f"{workspace.folder.name}\n")
        git(workspace.folder, "stash")
        git(workspace.folder, "switch", "--quiet", workspace.checkouts[0].branch)
    one.keep("Kept")
    git(two.folder, "stash", "pop")
    assert (two.folder / "README.md").read_text() == "T43.1\n"


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


def test_folder_of_somebodys_own_is_left_as_it_is(tmp_path: Path) -> None:
    workspace = Workspace.in_place(tmp_path)
    assert workspace.keep("Nothing") == []
    workspace.close(remove=True)
    assert tmp_path.exists()


@pytest.mark.parametrize(
    ("title", "branch"),
    [
        ("Mend the pond!", "shoal/T42-mend-the-pond"),
        ("../../etc/passwd", "shoal/T42-etc-passwd"),
        ("-rf --upload-pack=x", "shoal/T42-rf-upload-pack-x"),
        ("x.lock", "shoal/T42-x-lock"),
        ("@{-1} ~^:?*[\\ a..b", "shoal/T42-1-a-b"),
        ("Ünïcödé café", "shoal/T42-unicode-cafe"),
        ("魚を数える", "shoal/T42"),
        ("word " * 30, "shoal/T42-word-word-word-word-word-word-word-word"),
        ("w" * 300, f"shoal/T42-{'w' * 40}"),
    ],
)
def test_name_of_the_branch_is_safe(title: str, branch: str, tmp_path: Path) -> None:
    assert task_branch.name_of(task_of(title=title)) == branch
    assert git(tmp_path, "check-ref-format", "--branch", branch) == branch
    assert task_branch.name_of(task_of(slug="a-slug", title=title)) == "shoal/T42-a-slug"


@pytest.mark.parametrize(
    ("name", "url", "found"),
    [
        ("acme/pond", None, "https://github.com/acme/pond.git acme/pond.git"),
        ("acme/pond.git", None, "https://github.com/acme/pond.git acme/pond.git"),
        ("acme/pond", "/srv/pond", "/srv/pond acme/pond.git"),
        ("acme/pond", "https://me:pw@h.example/x.git", "https://h.example/x.git acme/pond.git"),
        ("https://me:pw@h.example/x.git", None, "https://h.example/x.git _/https-h-example-x-"),
        ("https://t0ken@h.example:8443/x.git", None, "https://h.example:8443/x.git _/https-h-example-8443-x-"),
        ("git@h.example:a/b.git", None, "git@h.example:a/b.git _/git-h-example-a-b-"),
        ("ssh://git:pw@h.example/a", None, "ssh://git@h.example/a _/ssh-git-h-example-a-"),
        ("/srv/../pond", None, "/srv/../pond _/srv-pond-"),
    ],
)
def test_address_of_a_repository(name: str, url: str | None, found: str) -> None:
    address = address_of(name, url)
    assert f"{address.url} {address.mirror}".startswith(found)
    assert "me:pw" not in f"{address} {address.name} {address.mirror}"
    assert "t0ken" not in f"{address} {address.name} {address.mirror}"


@pytest.mark.parametrize(
    "name",
    [
        "pond",
        "./pond",
        "../pond",
        "a/../..",
        "acme/..",
        "--upload-pack=touch x",
        "-x/y",
        "ext::sh -c touch% x",
        "ext::sh",
        "fd::17",
        "ftp://h/x",
        "http://[::1",
        "https:///x",
        "https://h/x?private_token=pw",
        "ssh://-oProxyCommand=x/y",
        "a b/c",
    ],
)
def test_address_that_git_is_not_asked_for(name: str) -> None:
    with pytest.raises(WorkspaceError) as refused:
        address_of(name)
    assert "pw" not in refused.value.message


def test_relative_path_is_refused_with_the_way_out() -> None:
    with pytest.raises(WorkspaceError, match=r'\[repositories\."../pond"\] url = '):
        address_of("../pond")


def test_worktree_that_a_killed_git_left_half_made_stops_nobody(workspaces: Workspaces, home: Path) -> None:
    workspaces.prepare(TASK, 1)
    half = mirror(home) / "worktrees" / "T99.1"
    half.mkdir()
    (half / "commondir").touch()
    workspace = workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1)
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert not half.exists()
