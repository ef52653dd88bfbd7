"""What dead processes and people leave in a vault's folder stops no sync for long, and nothing of it is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon.vault_cycle import Report
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import GitError, ShoalError
from tests.vaults import ACTIVE, git


def test_unreadable_front_matter_is_left_alone_and_told_once(
    ledger: Ledger, vault: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create(title="a")
    sync()
    broken = "---\nid: T1\nstatus: [queued\n---\n\nmy text\n"
    (vault / ACTIVE / "T1.md").write_text(broken)
    for _ in range(2):
        ledger.tasks.update(1, priority=0)
        ledger.tasks.update(1, priority=1)
        sync()
    assert (vault / ACTIVE / "T1.md").read_text() == broken
    [told] = ledger.events.list(after=0, kind="vault.unreadable")
    assert told.data["path"] == f"{ACTIVE}/T1.md"
    assert "line" in told.data["reason"]


def test_another_branch_is_refused(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    sync()
    git(vault, "checkout", "--quiet", "-b", "feature")
    ledger.tasks.create(title="a")
    with pytest.raises(GitError, match="switch main"):
        sync()
    git(vault, "checkout", "--quiet", "main")
    sync()
    assert (vault / ACTIVE / "T1.md").exists()


def test_vault_that_vanished_is_not_begun_anew(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a", body="text\n")
    sync()
    vault.rename(vault.with_name("away"))
    ledger.tasks.create(title="b")
    with pytest.raises(ShoalError, match="vanished"):
        sync()
    assert not (vault / ".git").exists()


def test_odd_files_stop_nobody_else(ledger: Ledger, vault: Path, sync: Callable[..., Report], tmp_path: Path) -> None:
    for title in "abcd":
        ledger.tasks.create(title=title)
    sync()
    (tmp_path / "elsewhere").write_text("secret\n")
    (vault / ACTIVE / "T1.md").unlink()
    (vault / ACTIVE / "T1.md").symlink_to(tmp_path / "elsewhere")
    (vault / ACTIVE / "T2.md").unlink()
    (vault / ACTIVE / "T2.md").mkdir()
    (vault / ACTIVE / "T2.md" / "x").write_text("x\n")
    for name in ("T99999999999999999999.md", "T0.md", "T٣.md", "T007.md"):
        (vault / ACTIVE / name).write_text("mine\n")
    (vault / ACTIVE / "T3.md").write_bytes(b"\xff\xfe\0binary")
    for number in (1, 2, 3, 4):
        ledger.tasks.update(number, priority=0)
    report = sync()
    assert "priority: P0" in (vault / ACTIVE / "T4.md").read_text()
    assert (tmp_path / "elsewhere").read_text() == "secret\n"
    assert (vault / ACTIVE / "T007.md").read_text() == "mine\n"
    assert b"\xff\xfe\0binary" in (vault / ACTIVE / "T3.md").read_bytes()
    assert {trouble.path for trouble in report.troubles} >= {f"{ACTIVE}/T1.md"}
    ledger.tasks.update(4, priority=1)
    sync()
    assert "priority: P1" in (vault / ACTIVE / "T4.md").read_text()


def test_vault_may_be_a_worktree(ledger: Ledger, vault: Path, tmp_path: Path, sync: Callable[..., Report]) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk", "notes")
    (tmp_path / "notes" / "a.md").write_text("a\n")
    git(tmp_path / "notes", "add", "--all")
    git(tmp_path / "notes", "commit", "--quiet", "-m", "Begin")
    git(tmp_path / "notes", "worktree", "add", "--quiet", "-b", "main", str(vault))
    ledger.tasks.create(title="a")
    sync()
    assert f"{ACTIVE}/T1.md" in git(vault, "ls-files")
    assert git(vault, "status", "--porcelain") == ""


def test_locks_of_dead_processes_are_cleared_and_those_of_live_ones_are_not(
    ledger: Ledger, vault: Path, sync: Callable[..., Report]
) -> None:
    sync()
    ledger.tasks.create(title="a")
    locks = [vault / ".git" / name for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock")]
    for lock in locks:
        lock.touch()
        with pytest.raises(GitError, match=f"{lock.name} is"):
            sync()
        lock.unlink()
    sitting = subprocess.Popen(["git", "cat-file", "--batch"], cwd=vault, stdin=subprocess.PIPE)
    try:
        locks[0].touch()
        with pytest.raises(GitError, match="600 s"):
            sync()
    finally:
        assert sitting.stdin is not None
        sitting.stdin.close()
        sitting.wait()
    for lock in locks:
        lock.touch()
        os.utime(lock, (1, 1))
    assert len(sync().healed) == 3
    assert (vault / ACTIVE / "T1.md").exists()


@pytest.mark.parametrize("command", ["rebase", "merge"])
def test_half_done_rebase_or_merge_is_ended_and_nothing_of_it_is_lost(
    ledger: Ledger, vault: Path, sync: Callable[..., Report], command: str
) -> None:
    ledger.tasks.create(title="a")
    (vault).mkdir(exist_ok=True)
    (vault / "plan.md").write_text("one\n")
    (vault / "other.md").write_text("other\n")
    sync()
    git(vault, "checkout", "--quiet", "-b", "side")
    (vault / "plan.md").write_text("side\n")
    git(vault, "commit", "--quiet", "-a", "-m", "Side")
    git(vault, "checkout", "--quiet", "main")
    (vault / "plan.md").write_text("main\n")
    git(vault, "commit", "--quiet", "-a", "-m", "Main")
    git(vault, command, "side", check=False)
    (vault / "other.md").write_text("edited meanwhile\n")
    (vault / "new.md").write_text("new\n")
    ledger.tasks.create(title="b")
    with pytest.raises(GitError, match="finish it"):
        sync()
    for name in ("rebase-merge", "MERGE_HEAD"):
        if (vault / ".git" / name).exists():
            os.utime(vault / ".git" / name, (1, 1))

    report = sync()
    assert any("unfinished" in line for line in report.healed)
    assert git(vault, "branch", "--show-current") == "main"
    assert (vault / "plan.md").read_text() == "main\n"
    assert (vault / "other.md").read_text() == "edited meanwhile\n"
    assert (vault / "new.md").read_text() == "new\n"
    rescued = git(vault, "for-each-ref", "--format=%(refname)", "refs/shoal/rescued")
    assert "<<<<" in git(vault, "show", f"{rescued}:plan.md")
    assert git(vault, "status", "--porcelain") == ""


def test_broken_index_is_made_anew(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a")
    sync()
    (vault / ".git" / "index").write_bytes(b"DIRC" + b"\0" * 50)
    ledger.tasks.create(title="b")
    assert "broken index" in sync().healed[0]
    assert git(vault, "status", "--porcelain") == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_folder_of_another_user_is_explained(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    sync()
    ledger.tasks.create(title="a")
    for path in (vault, vault / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(GitError, match=r"safe\.directory"):
        sync()


def test_git_that_hangs_is_ended(ledger: Ledger, vault: Path, open_at: Callable[..., Ledger], tmp_path: Path) -> None:
    hurried = open_at(vault_git_seconds=1)
    run = VaultSync(hurried.engine).run  # type: ignore[arg-type]
    run()
    hanging = tmp_path / "hang.sh"
    hanging.write_text("#!/bin/sh\nsleep 60\n")
    hanging.chmod(0o755)
    git(vault, "remote", "add", "origin", "ssh://nowhere/x.git")
    git(vault, "config", "core.sshCommand", str(hanging))
    ledger.tasks.create(title="a")
    os.environ["GIT_SSH_COMMAND"] = str(hanging)
    try:
        with pytest.raises(GitError, match="longer than 1 s"):
            VaultSync(hurried.engine).run()  # type: ignore[arg-type]
    finally:
        del os.environ["GIT_SSH_COMMAND"]
    assert (vault / ACTIVE / "T1.md").exists()
