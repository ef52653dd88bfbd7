"""The cycle of the vault's sync against real git: what people wrote survives, and any step may be the last."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon.vault_cycle import Report
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import GitError, ShoalError

ACTIVE, COMPLETED = "010-tasks/active", "010-tasks/completed"


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "Person",
        "GIT_AUTHOR_EMAIL": "person@example.org",
        "GIT_COMMITTER_NAME": "Person",
        "GIT_COMMITTER_EMAIL": "person@example.org",
        "GIT_EDITOR": "true",
    }
    run = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not check or run.returncode == 0, f"git {arguments}: {run.stdout}{run.stderr}"
    return run.stdout.strip()


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def sync(ledger: Ledger) -> Callable[..., Report]:
    return VaultSync(ledger.engine).run  # type: ignore[arg-type]


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """An empty bare repository."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    return tmp_path / "remote.git"


@pytest.fixture
def person(tmp_path: Path, remote: Path, vault: Path, sync: Callable[..., Report]) -> Path:
    """A second clone of a vault that is synced with the remote."""
    sync()
    git(vault, "remote", "add", "origin", str(remote))
    sync()
    git(tmp_path, "clone", "--quiet", str(remote), "person")
    return tmp_path / "person"


def push(folder: Path, message: str = "By hand") -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    git(folder, "push", "--quiet")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def commits(folder: Path) -> int:
    return int(git(folder, "rev-list", "--count", "HEAD"))


def test_cycle_writes_what_changed_in_one_commit(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a", body="# a\n")
    ledger.tasks.create(title="b", depends_on=[1], parent=1, repos=["o/r"], labels=["x"])
    report = sync()
    assert commits(vault) == 1
    assert (vault / ACTIVE / "T1.md").read_text().endswith("---\n\n# a\n")
    text = (vault / ACTIVE / "T2.md").read_text()
    assert "status: blocked\n" in text
    assert "depends_on: [T1]\nparent: T1\n" in text
    assert "## Acceptance criteria" in text
    assert report.position == ledger.sync.status().position
    assert ledger.sync.status().pending == 0

    ledger.tasks.complete(1)
    sync()
    assert commits(vault) == 2
    assert "status: completed\n" in (vault / COMPLETED / "T1.md").read_text()
    assert not (vault / ACTIVE / "T1.md").exists()
    assert "status: queued\n" in (vault / ACTIVE / "T2.md").read_text()
    assert git(vault, "log", "-1", "--format=%s").startswith("Sync: 1 completed")
    assert "[[010-tasks/completed/T1\\|T1]]" in (vault / "010-tasks/_overview.md").read_text()
    assert git(vault, "status", "--porcelain") == ""


def test_nothing_changed_makes_no_commit_and_no_event(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a")
    sync()
    sync()
    before = len(ledger.events.list(after=0))
    assert sync().commit is None
    assert commits(vault) == 1
    assert len(ledger.events.list(after=0)) == before


def test_edits_in_the_folder_are_committed_and_own_keys_restored(
    ledger: Ledger, vault: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create(title="a")
    sync()
    edit(vault / ACTIVE / "T1.md", "status: queued\n", "status: done  # by me\nmine: [1, 2]\n")
    edit(vault / ACTIVE / "T1.md", "## Objective\n", "## Objective\n\nGröße\r\n")
    (vault / "my own note.md").write_text("x\n")
    sync()
    text = (vault / ACTIVE / "T1.md").read_bytes().decode()
    assert "status: queued  # by me\nmine: [1, 2]\n" in text
    assert "## Objective\n\nGröße\r\n" in text
    assert git(vault, "status", "--porcelain") == ""
    assert "my own note.md" in git(vault, "ls-files")


def test_cleared_field_is_cleared_in_the_file(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a", assignee="bob", model="m", labels=["x"])
    sync()
    ledger.tasks.update(1, assignee=None, labels=[])
    sync()
    text = (vault / ACTIVE / "T1.md").read_text()
    assert "assigned_to:\n" in text
    assert "model: m\n" in text
    assert "tags:\n" in text


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


def test_edits_of_both_sides_to_one_task_are_both_kept(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.create(title="b")
    sync()
    git(person, "pull", "--quiet")
    for number in (1, 2):
        path = person / ACTIVE / f"T{number}.md"
        edit(path, "## Objective\n", "## Objective\n\nwritten by hand\n")
        edit(path, "status: queued\n", "status: urgent\nmine: kept\n")
        path.write_text(path.read_text() + "\nhand at the end\n")
    push(person)
    ledger.tasks.result(1, text="the result")
    ledger.tasks.complete(1)
    report = sync()
    assert report.pushed
    git(person, "pull", "--quiet")
    text = (person / COMPLETED / "T1.md").read_text()
    for line in ("written by hand\n", "mine: kept\n", "hand at the end\n", "the result\n", "status: completed\n"):
        assert line in text, line
    assert not (person / ACTIVE / "T1.md").exists()
    assert "status: queued\nmine: kept\n" in (person / ACTIVE / "T2.md").read_text()
    assert "<<<<" not in text
    assert git(vault, "fsck", "--no-dangling") == ""


def test_same_lines_changed_on_both_sides_keep_both_versions(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create(title="a", body="# a\n\nline\n")
    (vault / "plan.md").write_text("one\ntwo\n")
    (vault / "data.bin").write_bytes(b"\0one")
    sync()
    git(person, "pull", "--quiet")
    edit(person / ACTIVE / "T1.md", "line\n", "theirs\n")
    edit(person / "plan.md", "two\n", "theirs\n")
    (person / "data.bin").write_bytes(b"\0theirs")
    push(person)
    edit(vault / ACTIVE / "T1.md", "line\n", "ours\n")
    edit(vault / "plan.md", "two\n", "ours\n")
    (vault / "data.bin").write_bytes(b"\0ours")
    sync()
    git(person, "pull", "--quiet")
    for path in (person / ACTIVE / "T1.md", person / "plan.md"):
        assert "theirs\n" in path.read_text()
        assert "ours\n" in path.read_text()
    assert sorted(path.read_bytes() for path in person.glob("data*")) == [b"\0ours", b"\0theirs"]
    assert {event.data["path"] for event in ledger.events.list(after=0, kind="vault.conflict")} == {
        f"{ACTIVE}/T1.md",
        "plan.md",
        "data.bin",
    }


def test_file_that_a_person_deleted_while_it_was_changed_comes_back(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create(title="a", body="text\n")
    sync()
    git(person, "pull", "--quiet")
    (person / ACTIVE / "T1.md").unlink()
    push(person)
    ledger.tasks.result(1, text="the result")
    sync()
    assert "text\n" in (vault / ACTIVE / "T1.md").read_text()
    assert "the result\n" in (vault / ACTIVE / "T1.md").read_text()


def test_remote_that_is_away_gets_everything_later(
    ledger: Ledger, vault: Path, remote: Path, person: Path, sync: Callable[..., Report]
) -> None:
    away = remote.rename(remote.with_name("away.git"))
    ledger.tasks.create(title="a")
    for _ in range(2):
        with pytest.raises(GitError, match="remote"):
            sync()
    status = ledger.sync.status()
    assert status.pending == 1
    assert status.last_error is not None
    assert (vault / ACTIVE / "T1.md").exists(), "the person at this machine sees it already"
    made = commits(vault)
    away.rename(remote)
    assert sync().pushed
    assert commits(vault) == made, "nothing is written twice"
    assert ledger.sync.status().last_error is None
    assert ledger.sync.status().pending == 0
    git(person, "pull", "--quiet")
    assert (person / ACTIVE / "T1.md").exists()


def test_force_pushed_remote_loses_no_local_commit(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create(title="a", body="local text\n")
    sync()
    (person / "theirs.md").write_text("theirs\n")
    git(person, "add", "--all")
    git(person, "commit", "--quiet", "--message", "Rewritten")
    git(person, "push", "--quiet", "--force")
    (vault / "ours.md").write_text("ours\n")
    assert sync().pushed
    git(person, "pull", "--quiet", "--rebase")
    for name, text in (("theirs.md", "theirs\n"), ("ours.md", "ours\n"), (f"{ACTIVE}/T1.md", "local text\n")):
        assert text in (person / name).read_text()


def test_remote_with_a_history_of_its_own_is_taken_in(
    ledger: Ledger, vault: Path, remote: Path, tmp_path: Path, sync: Callable[..., Report]
) -> None:
    git(tmp_path, "clone", "--quiet", str(remote), "person")
    (tmp_path / "person" / "notes.md").write_text("mine\n")
    push(tmp_path / "person")
    ledger.tasks.create(title="a")
    sync()
    git(vault, "remote", "add", "origin", str(remote))
    sync()
    assert (vault / "notes.md").read_text() == "mine\n"
    git(tmp_path / "person", "pull", "--quiet")
    assert (tmp_path / "person" / ACTIVE / "T1.md").exists()


def test_old_names_are_renamed_in_one_move(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    sync()
    old = vault / ACTIVE / "task-2026-02-15-a1b2.md"
    old.write_text("---\nid: task-2026-02-15-a1b2\nname: Old\n---\n\n" + "long text\n" * 40)
    sync()
    ledger.tasks.migrate(tasks=[{"name": "task-2026-02-15-a1b2", "title": "Old", "status": "queued"}])
    sync()
    assert not old.exists()
    assert (vault / ACTIVE / "T1.md").read_text().endswith("long text\n" * 40)
    assert git(vault, "show", "--format=", "--name-status", "-M", "HEAD", "--", ACTIVE).startswith("R")


def test_two_files_of_one_task_both_stay(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a", body="one\n")
    ledger.tasks.create(title="b", body="one\n")
    sync()
    for number, text in ((1, "two\n"), (2, "one\n")):
        (vault / COMPLETED / f"T{number}.md").write_text(f"---\nid: T{number}\n---\n\n{text}")
    sync()
    assert "one\n" in (vault / ACTIVE / "T1.md").read_text()
    assert [path.read_text().splitlines()[-1] for path in vault.rglob("T1.other-*.md")] == ["two"]
    assert [path.name for path in vault.rglob("T2*.md")] == ["T2.md"]


def test_twin_with_a_key_of_its_own_stays(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a", body="one\n")
    sync()
    (vault / COMPLETED / "T1.md").write_text("---\nid: T1\nmine: precious  # keep\n---\n\none\n")
    sync()
    assert ["precious" in path.read_text() for path in vault.rglob("T1.other-*.md")] == [True]


def test_outcome_stands_on_the_page(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    for title in "abcd":
        ledger.tasks.create(title=title)
    sync()
    ledger.tasks.complete(1, summary="merged as #7")
    ledger.tasks.fail(2, error="exit 3\n``` no fence\nlast line")
    ledger.tasks.fail(3, error="disk on fire")
    ledger.tasks.result(4, text="all said")
    ledger.tasks.complete(4, summary="all said")
    for _ in range(2):
        sync()
        ledger.tasks.feedback(1, quality=5)
    assert (vault / COMPLETED / "T1.md").read_text().endswith("## Result\n\nmerged as #7\n")
    failed = (vault / "010-tasks/failed/T2.md").read_text()
    assert "## Result\n\nFailed:\n\n````text\nexit 3\n``` no fence\nlast line\n````\n" in failed
    assert (vault / "010-tasks/failed/T3.md").read_text().endswith("Failed: disk on fire\n")
    assert (vault / COMPLETED / "T4.md").read_text().count("all said") == 1


def test_page_that_is_deleted_or_moved_by_hand_comes_back(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    for number in (1, 2, 3):
        ledger.tasks.create(title="a", body=f"text {number}\n")
    sync()
    (vault / ACTIVE / "T1.md").unlink()
    (vault / "Projects").mkdir()
    (vault / ACTIVE / "T2.md").rename(vault / "Projects" / "T2.md")
    git(person, "pull", "--quiet")
    (person / ACTIVE / "T3.md").unlink()
    push(person)
    sync()
    for number in (1, 2, 3):
        assert f"text {number}\n" in (vault / ACTIVE / f"T{number}.md").read_text()
    assert list((vault / "Projects").iterdir()) == []
    assert {event.task_id for event in ledger.events.list(after=0, kind="vault.conflict")} == {"T1", "T2", "T3"}


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


def test_remote_that_refuses_is_quoted(ledger: Ledger, remote: Path, person: Path, sync: Callable[..., Report]) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'policy: no' >&2\nexit 1\n")
    hook.chmod(0o755)
    ledger.tasks.create(title="a")
    with pytest.raises(GitError, match="policy: no"):
        sync()


def test_line_edited_beside_one_that_was_added_stands_once(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create(title="a", body="A line of mine.\n")
    sync()
    git(person, "pull", "--quiet")
    edit(person / ACTIVE / "T1.md", "A line of mine.", "A line of mine, edited.")
    push(person)
    ledger.tasks.result(1, text="the result")
    sync()
    text = (vault / ACTIVE / "T1.md").read_text()
    assert text.endswith("A line of mine, edited.\n\n## Result\n\nthe result\n")
    assert ledger.events.list(after=0, kind="vault.conflict") == []


def test_properties_of_a_note_changed_on_both_sides_stay_valid(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    (vault / "Garden.md").write_text("---\ntags: [a]\nmood: ok\n---\n\nText\n")
    sync()
    git(person, "pull", "--quiet")
    (person / "Garden.md").write_text("---\ntags: [x]\nmood: happy\n---\n\nText\n")
    push(person)
    (vault / "Garden.md").write_text("---\ntags: [y]\nmood: sad\n---\n\nText\n")
    sync()
    texts = {path.read_text() for path in vault.glob("Garden*.md")}
    assert texts == {
        "---\ntags: [x]\nmood: happy\n---\n\nText\n",
        "---\ntags: [y]\nmood: sad\n---\n\nText\n",
    }


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


def test_what_a_person_resolved_in_a_merge_stays_resolved(
    ledger: Ledger, vault: Path, person: Path, sync: Callable[..., Report]
) -> None:
    (vault / "plan.md").write_text("one\n")
    sync()
    git(person, "pull", "--quiet")
    (person / "plan.md").write_text("theirs\n")
    push(person)
    (vault / "plan.md").write_text("ours\n")
    git(vault, "commit", "--quiet", "-a", "-m", "Ours")
    git(vault, "fetch", "--quiet")
    git(vault, "merge", "--quiet", "origin/main", check=False)
    (vault / "plan.md").write_text("resolved by hand\n")
    git(vault, "commit", "--quiet", "-a", "-m", "Resolved")
    (person / "more.md").write_text("more\n")
    push(person)
    sync()
    git(person, "pull", "--quiet", "--rebase")
    assert (person / "plan.md").read_text() == "resolved by hand\n"
    assert (person / "more.md").read_text() == "more\n"


def test_commit_of_a_person_is_never_amended(
    ledger: Ledger, vault: Path, person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoal.adapters.vault.git import Git, Rejected

    ledger.tasks.create(title="a")
    real = Git.push
    calls = 0

    def pushed(self: Git, remote: str, branch: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            (vault / "mine.md").write_text("mine\n")
            git(vault, "add", "mine.md")
            git(vault, "commit", "--quiet", "-m", "My careful message")
            raise Rejected("moved on")
        real(self, remote, branch)

    monkeypatch.setattr(Git, "push", pushed)
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    assert "My careful message" in git(vault, "log", "--author=Person", "--format=%s")
    assert git(vault, "status", "--porcelain") == ""


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


def test_remote_that_is_away_makes_no_work_twice(ledger: Ledger, vault: Path, remote: Path, person: Path) -> None:
    from shoal.daemon.task_files import TaskFiles

    remote.rename(remote.with_name("away.git"))
    for title in "abc":
        ledger.tasks.create(title=title)
    seen: list[int] = []
    real = TaskFiles.write
    sync = VaultSync(ledger.engine)  # type: ignore[arg-type]
    try:
        TaskFiles.write = lambda self, batch: (seen.append(len(batch)), real(self, batch))[1]  # type: ignore[method-assign,assignment,func-returns-value]
        for _ in range(3):
            with pytest.raises(GitError):
                sync.run()
    finally:
        TaskFiles.write = real  # type: ignore[method-assign]
    assert seen == [3]


def test_archived_task_stays_archived(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> None:
    ledger.tasks.create(title="a", body="one\n")
    ledger.tasks.complete(1)
    ledger.tasks.archive(1)
    sync()
    ledger.tasks.feedback(1, quality=5)
    sync()
    assert [path.name for path in vault.rglob("*T1*")] == [
        path.name for path in vault.glob("090-archive/task_T1_*.tar.gz")
    ]


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


def test_credentials_reach_neither_configuration_nor_messages(
    ledger: Ledger, vault: Path, sync: Callable[..., Report], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from shoal.adapters.vault import setup
    from shoal.adapters.vault.git import Git
    from shoal.adapters.vault.layout import Layout
    from shoal.settings import Settings

    sync()
    ledger.tasks.create(title="a")
    with pytest.raises(ShoalError, match="credentials"):
        setup.ensure(vault, Layout.of(Settings()), Git(vault), remote="https://me:hunter2@127.0.0.1:1/x.git")
    assert "hunter2" not in (vault / ".git/config").read_text()
    git(vault, "remote", "add", "origin", "http://me:hunter2@127.0.0.1:1/x.git")
    monkeypatch.setenv("SHOAL_VAULT_TOKEN", "s3cret")
    with pytest.raises(GitError) as raised:
        VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    told = raised.value.message + str(ledger.sync.status().last_error)
    assert "hunter2" not in told
    assert "s3cret" not in told
    assert "s3cret" not in (vault / ".git/config").read_text()


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


def test_two_syncs_at_once_take_turns(ledger: Ledger, vault: Path, open_at: Callable[..., Ledger]) -> None:
    runs = [VaultSync(open_at().engine).run for _ in range(3)]  # type: ignore[arg-type]
    errors: list[Exception] = []

    def go(run: Callable[[], Report]) -> None:
        try:
            for number in range(3):
                ledger.tasks.create(title=f"t{number}")
                run()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=go, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list((vault / ACTIVE).glob("T*.md"))) == 9
    assert git(vault, "status", "--porcelain") == ""


STEPS = ["heal", "edits", "fetch", "rebase", "move", "tasks", "views", "commit", "push", "cursor"]
VICTIM = """
import os, sys
from pathlib import Path
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from shoal.daemon.vault_sync import VaultSync

address, vault, last = sys.argv[1:]
place = Path(vault), Path(vault).with_name("spool")
ledger = open_ledger(address, settings=Settings(), actor="ana", create=True, vault=place)
VaultSync(ledger.engine, on_step=lambda step: os._exit(9) if step == last else None).run()
os._exit(0)
"""


@pytest.mark.parametrize("step", STEPS)
def test_cycle_that_dies_at_a_step_is_made_good_by_the_next(
    ledger: Ledger, address: str, vault: Path, person: Path, sync: Callable[..., Report], step: str, clock: object
) -> None:
    ledger.tasks.create(title="a", body="body\n")
    ledger.tasks.create(title="b")
    sync()
    git(person, "pull", "--quiet")
    edit(person / ACTIVE / "T1.md", "body\n", "body\nby hand\n")
    edit(person / ACTIVE / "T2.md", "## Notes\n", "## Notes\n\nby hand too\n")
    push(person)
    edit(vault / ACTIVE / "T2.md", "## Objective\n", "## Objective\n\nin the folder\n")
    ledger.tasks.result(1, text="the result")
    ledger.tasks.complete(1)
    ledger.tasks.body(1)
    said = subprocess.run(
        [sys.executable, "-c", VICTIM, address, str(vault), step], capture_output=True, text=True, check=False
    )
    assert said.returncode == 9, said.stderr
    # Its lock ends by itself; the clock of the test is moved on.
    clock.advance(60 * 60 * 24 * 365 * 3)  # type: ignore[attr-defined]
    for lock in (vault / ".git").rglob("*.lock"):
        os.utime(lock, (1, 1))

    sync()
    git(person, "pull", "--quiet")
    first = (person / COMPLETED / "T1.md").read_text()
    second = (person / ACTIVE / "T2.md").read_text()
    for line in ("body\n", "by hand\n", "the result\n", "status: completed\n"):
        assert first.count(line) == 1, line
    for line in ("by hand too\n", "in the folder\n", "status: queued\n"):
        assert second.count(line) == 1, line
    assert not (person / ACTIVE / "T1.md").exists()
    assert git(vault, "status", "--porcelain") == ""
    assert git(vault, "fsck", "--no-dangling") == ""
    assert git(vault, "rev-parse", "HEAD") == git(person, "rev-parse", "HEAD")
    assert ledger.sync.status().pending == 0
