"""Folders as agents leave them: whatever they did to git, nothing that they wrote is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.errors import WorkspaceError
from shoal.worker.workspaces import Workspaces
from tests.conftest import START_MS
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, task_of
from tests.worker.pond import BRANCH, TASK, commit, file_on, mirror


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
