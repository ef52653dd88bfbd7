"""The cycle of the vault's sync against real git: one commit each, and any step may be the last."""

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
from tests.vaults import ACTIVE, COMPLETED, commits, edit, git, push


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


def test_cost_is_in_the_front_matter_after_the_next_cycle(
    ledger: Ledger, vault: Path, sync: Callable[..., Report]
) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}])
    sync()
    cost = {"task": 1, "provider": "anthropic", "model": "claude", "cost_usd_micros": 1_250_000}
    ledger.costs.record(costs=[cost | {"request_key": "k"}])
    assert sync().tasks == 1
    assert "cost_usd: 1.25\n" in (vault / ACTIVE / "T1.md").read_text()
    assert "cost_usd" not in (vault / ACTIVE / "T2.md").read_text()
    ledger.costs.record(costs=[cost | {"request_key": "k"}])
    assert sync().commit is None
    ledger.costs.record(costs=[cost | {"request_key": "l", "cost_usd_micros": 1}])
    sync()
    assert "cost_usd: 1.250001\n" in (vault / ACTIVE / "T1.md").read_text()


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


STEPS = ["heal", "edits", "fetch", "rebase", "move", "tasks", "views", "commit", "push", "knowledge", "cursor"]


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


def test_loop_makes_way_while_others_write(ledger: Ledger, vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr("shoal.daemon.vault_sync.sleep", rests.append)
    # The step comes after the loop looked how far the log is: what is written then is somebody else's.
    busy = VaultSync(ledger.engine, on_step=lambda step: step == "edits" and ledger.tasks.create(title="b"))  # type: ignore
    ledger.tasks.create(title="a")
    busy.tick()
    assert len(rests) == 1
    VaultSync(ledger.engine).tick()  # type: ignore[arg-type]
    assert len(rests) == 1
