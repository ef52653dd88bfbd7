"""A vault that syncs with a remote to which others push: both sides' text survives, the ledger's keys win."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon.vault_cycle import Report
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import GitError, ShoalError
from tests.vaults import ACTIVE, COMPLETED, commits, edit, git, push


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
    from shoal.adapters.git.repository import Git, Rejected

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


def test_credentials_reach_neither_configuration_nor_messages(
    ledger: Ledger, vault: Path, sync: Callable[..., Report], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from shoal.adapters.git.repository import Git
    from shoal.adapters.vault import setup
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
