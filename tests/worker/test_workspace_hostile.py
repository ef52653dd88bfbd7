"""Agents that change what git does: no work is lost by it, and nothing that the worker's own git does is changed."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.errors import WorkspaceError
from shoal.worker.workspaces import Workspaces
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, task_of
from tests.worker.pond import BRANCH, TASK, file_on, mirror

OTHER = task_of(43, repos=[REPOSITORY], title="Feed the ducks")
OTHER_BRANCH = "shoal/T43-feed-the-ducks"


@pytest.fixture
def workspaces(home: Path, remote: Remote) -> Workspaces:
    return Workspaces(home, remote.settings(push=True))


def common(folder: Path) -> Path:
    return (folder / git(folder, "rev-parse", "--git-common-dir")).resolve()


def assume_unchanged(folder: Path) -> None:
    git(folder, "update-index", "--assume-unchanged", "README.md")


def skip_worktree(folder: Path) -> None:
    git(folder, "update-index", "--skip-worktree", "README.md")


def both_flags(folder: Path) -> None:
    assume_unchanged(folder)
    skip_worktree(folder)


def file_monitor(folder: Path) -> None:
    git(folder, "config", "core.fsmonitor", "true")
    git(folder, "update-index", "--fsmonitor", check=False)
    git(folder, "update-index", "--fsmonitor-valid", "README.md", check=False)


def shared_exclude(folder: Path) -> None:
    info = common(folder) / "info"
    info.mkdir(exist_ok=True)
    (info / "exclude").write_text("*.py\nsrc/\n")
    git(folder, "status", "--porcelain")


def excludes_file(folder: Path) -> None:
    (folder.parent / "ex").write_text("*.py\nsrc/\n")
    git(folder, "config", "core.excludesFile", str(folder.parent / "ex"))
    git(folder, "config", "core.untrackedCache", "true")
    git(folder, "status", "--porcelain")


HIDING = [assume_unchanged, skip_worktree, both_flags, file_monitor, shared_exclude, excludes_file]


@pytest.mark.parametrize("hide", HIDING, ids=lambda hide: hide.__name__)
def test_work_that_an_agent_hides_from_git_is_kept(
    workspaces: Workspaces, home: Path, hide: Callable[[Path], None]
) -> None:
    first, other = workspaces.prepare(TASK, 1), workspaces.prepare(OTHER, 1)
    hide(first.folder)
    for workspace, branch in ((first, BRANCH), (other, OTHER_BRANCH)):
        (workspace.folder / "README.md").write_text("precious\n")
        (workspace.folder / "src").mkdir()
        (workspace.folder / "src" / "a.py").write_text("precious\n")
        workspace.keep("Kept")
        assert file_on(home, branch, "README.md") == "precious"
        assert file_on(home, branch, "src/a.py") == "precious"
        assert workspace.remove()


def test_sparse_checkout_is_no_deletion(workspaces: Workspaces, home: Path, remote: Remote) -> None:
    remote.commit({"docs/a.md": "a\n", "src/b.py": "b\n"})
    workspace = workspaces.prepare(TASK, 1)
    git(workspace.folder, "sparse-checkout", "set", "src")
    assert not (workspace.folder / "docs").exists()
    (workspace.folder / "src" / "b.py").write_text("changed\n")
    (workspace.folder / "docs").mkdir()
    (workspace.folder / "docs" / "new.md").write_text("new\n")
    workspace.keep("Kept")
    assert file_on(home, BRANCH, "src/b.py") == "changed"
    assert file_on(home, BRANCH, "docs/new.md") == "new"
    assert file_on(home, BRANCH, "docs/a.md") == "a"


def test_files_that_an_agent_makes_ignored_are_told_of(workspaces: Workspaces, home: Path) -> None:
    workspace = workspaces.prepare(TASK, 1)
    (workspace.folder / ".gitignore").write_text("*.log\n*.md\n/build/\n.gitignore\n")
    (workspace.folder / "plan.md").write_text("precious\n")
    (workspace.folder / "trace.log").write_text("noise\n")
    (workspace.folder / "build").mkdir()
    (workspace.folder / "build" / "out.o").write_text("")
    workspace.keep("Kept")
    [note] = workspace.notes
    assert "plan.md" in note
    assert "build/" in note
    assert "trace.log" not in note
    workspace.keep("Again")
    assert workspace.notes == [note], "said once"
    assert workspace.remove()


def test_ignored_as_ever_is_not_told_of(workspaces: Workspaces) -> None:
    workspace = workspaces.prepare(TASK, 1)
    (workspace.folder / "trace.log").write_text("noise\n")
    (workspace.folder / "logs").mkdir()
    (workspace.folder / "logs" / ".gitignore").write_text("nothing\n")
    (workspace.folder / "logs" / "b.log").write_text("noise\n")
    workspace.keep("Kept")
    assert workspace.notes == []


def test_repository_that_was_added_as_it_is_keeps_the_folder(workspaces: Workspaces) -> None:
    workspace = workspaces.prepare(TASK, 1)
    inner = workspace.folder / "inner"
    git(workspace.folder, "init", "--quiet", "inner")
    (inner / "deep.py").write_text("deep\n")
    git(inner, "add", "--all")
    git(inner, "commit", "--quiet", "--message", "Mine")
    git(workspace.folder, "add", "inner")
    workspace.keep("Kept")
    assert "inner" in workspace.notes[0]
    assert not workspace.remove()
    assert (inner / "deep.py").exists()


def poisons(trap: Path, thief: Path) -> dict[str, str]:
    """What an agent may configure, and what would then be done; `trap` runs and leaves a mark."""
    return {
        "remote.origin.pushurl": str(thief),
        "remote.origin.url": str(thief),
        f"url.{thief}.insteadOf": f"{thief.parent}/remote.git",
        f"url.{thief}.pushInsteadOf": f"{thief.parent}/",
        "remote.origin.uploadpack": f"{trap} git-upload-pack",
        "remote.origin.receivepack": f"{trap} git-receive-pack",
        "remote.origin.push": "refs/heads/*:refs/heads/stolen/*",
        "remote.origin.vcs": "trap",
        "credential.helper": f"!{trap}",
        "core.sshCommand": str(trap),
        "core.gitProxy": str(trap),
        "core.hooksPath": str(trap.parent),
        "core.fsmonitor": str(trap),
        "core.alternateRefsCommand": str(trap),
        "core.attributesFile": f"{trap.parent}/attributes",
        "filter.e.clean": f"{trap} cat",
        "filter.e.smudge": f"{trap} cat",
        "filter.e.process": str(trap),
        "filter.e.required": "true",
        "diff.e.command": str(trap),
        "diff.e.textconv": str(trap),
        "merge.e.driver": str(trap),
        "gpg.program": str(trap),
        "gc.recentObjectsHook": str(trap),
        "include.path": f"{trap.parent}/included",
        "extensions.worktreeConfig": "true",
        "extensions.objectFormat": "sha256",
        "core.repositoryFormatVersion": "1",
        "core.bare": "false",
    }


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    bin_folder = tmp_path / "trap"
    bin_folder.mkdir()
    script = bin_folder / "spring"
    script.write_text(f'#!/bin/sh\nenv > {tmp_path}/sprung-$$\ncase "$1" in cat|git-*) exec "$@";; esac\n')
    script.chmod(0o755)
    for name in ("pre-push", "post-checkout", "reference-transaction", "post-index-change"):
        (bin_folder / name).symlink_to(script)
    (bin_folder / "attributes").write_text("* filter=e diff=e merge=e\n")
    (bin_folder / "included").write_text(f'[remote "origin"]\n\tpushurl = {tmp_path}/thief.git\n')
    return script


def set_by_agent(folder: Path, key: str, value: str) -> None:
    (common(folder) / "info").mkdir(exist_ok=True)
    (common(folder) / "info" / "attributes").write_text("* filter=e diff=e merge=e\n")
    git(folder, "config", key, value)


@pytest.mark.parametrize("key", poisons(Path("/t/t"), Path("/t/thief.git")))
def test_configuration_of_an_agent_rules_neither_worker_nor_later_tasks(
    workspaces: Workspaces, home: Path, remote: Remote, trap: Path, tmp_path: Path, key: str
) -> None:
    thief = tmp_path / "thief.git"
    git(tmp_path, "init", "--quiet", "--bare", str(thief))
    first = workspaces.prepare(TASK, 1)
    value = poisons(trap, thief)[key.replace("/t/thief.git", str(thief))]
    set_by_agent(first.folder, key.replace("/t/thief.git", str(thief)), value)
    (first.folder / "README.md").write_text("first\n")
    assert first.keep("Kept")[0].pushed, first.notes
    first.close()
    # Set while the second is at work, so that nothing has set it right since.
    second = workspaces.prepare(OTHER, 1)
    told = git(second.folder, "config", "--list", "--local", "--includes")
    assert not any(line == f"{key.lower()}={value}" for line in told.splitlines()), "nor is another agent's git"
    (mirror(home) / "config").write_bytes(poisoned(mirror(home), key, value))
    (mirror(home) / "info" / "attributes").write_text("* filter=e diff=e merge=e\n")
    (second.folder / "a.py").write_text("second\n")
    assert second.keep("Kept")[0].pushed, second.notes
    second.remove()
    workspaces.sweep(2**60, 0)
    assert git(thief, "for-each-ref") == ""
    assert sorted(remote.branches()) == ["main", BRANCH, OTHER_BRANCH]
    assert git(remote.path, "show", f"{OTHER_BRANCH}:a.py") == "second"
    assert list(tmp_path.glob("sprung-*")) == []


def poisoned(folder: Path, key: str, value: str) -> bytes:
    copy = folder / "config.copy"
    copy.write_bytes((folder / "config").read_bytes())
    git(folder.parent, "config", "--file", str(copy), key, value)
    return copy.read_bytes()


def test_repositories_within_the_folder_run_nothing_of_an_agent(
    workspaces: Workspaces, remote: Remote, trap: Path, tmp_path: Path
) -> None:
    workspace = workspaces.prepare(TASK, 1)
    for name in ("clone", "module", "own"):
        git(workspace.folder, "clone", "--quiet", str(remote.path), name)
        for key in ("filter.e.clean", "core.fsmonitor", "core.sshCommand"):
            git(workspace.folder / name, "config", key, f"{trap} cat")
        (workspace.folder / name / ".git" / "info" / "attributes").write_text("* filter=e\n")
        (workspace.folder / name / "README.md").touch()
    (workspace.folder / "own" / "README.md").write_text("changed\n")
    git(workspace.folder, "-c", "core.fsmonitor=false", "add", "module")
    for left in tmp_path.glob("sprung-*"):
        left.unlink()
    workspace.keep("Kept")
    workspace.remove()
    assert list(tmp_path.glob("sprung-*")) == []


def moved_beside(folder: Path, victim: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(victim)


def moved_far_away(folder: Path, victim: Path) -> None:
    folder.rename(victim.parent / "far")
    folder.symlink_to(victim)


@pytest.mark.parametrize("repositories", [1, 2])
@pytest.mark.parametrize("move", [moved_beside, moved_far_away], ids=lambda move: move.__name__)
def test_link_in_the_place_of_a_folder_is_not_followed(
    home: Path, remote: Remote, tmp_path: Path, move: Callable[[Path, Path], None], repositories: int
) -> None:
    victim = tmp_path / "victim"
    (victim / "pond").mkdir(parents=True)
    for folder in (victim, victim / "pond"):
        (folder / "private.txt").write_text("private")
    there = sorted(victim.rglob("*"))
    settings = remote.settings(push=True)
    for name in ("acme/pond", "acme/lake")[:repositories]:
        settings[name] = settings[REPOSITORY]
    workspaces = Workspaces(home, settings)
    workspace = workspaces.prepare(task_of(repos=list(settings)), 1)
    (workspace.checkouts[0].folder / "work.py").write_text("work\n")
    move(workspace.folder, victim)
    workspace.keep("Kept")
    assert "private.txt" not in git(mirror(home), "log", "--all", "--name-only")
    found = move is moved_beside
    assert file_on(home, BRANCH, "work.py") == ("work" if found else "")
    assert any("link" in note for note in workspace.notes), workspace.notes
    gone = workspace.remove()
    assert gone == found
    workspaces.sweep(2**60, 0)
    workspaces.prepare(task_of(repos=list(settings)), 2)
    assert sorted(victim.rglob("*")) == there


def test_branch_of_another_task_is_not_gone_on_with(workspaces: Workspaces, home: Path) -> None:
    first = workspaces.prepare(TASK, 1)
    (first.folder / "a.py").write_text("a\n")
    [told] = first.keep("Kept")
    first.close()
    for number, branch in ((4, "shoal/T4-mend-the-pond"), (43, OTHER_BRANCH)):
        task = task_of(number, repos=[REPOSITORY], title=branch.partition("-")[2])
        workspace = workspaces.prepare(task, 2, branches=[told])
        assert workspace.checkouts[0].branch == branch
        assert not (workspace.folder / "a.py").exists()


def test_patch_that_cannot_be_written_whole_is_none(
    workspaces: Workspaces, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspaces.prepare(TASK, 1)
    (workspace.folder / "README.md").write_text("precious\n" * 40_000)
    shutil.rmtree(mirror(home) / "refs" / "heads" / "shoal", ignore_errors=True)
    (mirror(home) / "refs" / "heads" / "shoal").write_text("no folder, so that no branch can be moved")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(WorkspaceError, match="which stays"):
            workspace.keep("Kept")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((home / "workspaces").glob("*.kept/*")) == []
    workspace.keep("Kept")
    assert "diff.patch" in workspace.notes[-1]
    [patch] = (home / "workspaces").glob("*.kept/*")
    assert patch.read_text().count("+precious") == 40_000
    assert not workspace.remove()
