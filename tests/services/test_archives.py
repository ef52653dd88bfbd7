"""Archives: all files of a task packed away, and brought back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon import archiver
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import NotFound, Refused, WrongStatus
from tests.conftest import FakeClock, wait_until

Open = Callable[..., Ledger]


def test_archive_takes_all_files_away_and_restore_brings_them_back(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a", body="body\n")
    ledger.tasks.create(title="b", body="other\n")
    ledger.tasks.share(1, key="k", value=1)
    ledger.tasks.note(1, text="note")
    with pytest.raises(WrongStatus):
        ledger.tasks.archive(1)
    with pytest.raises(NotFound):
        ledger.tasks.restore(1)
    ledger.tasks.complete(1)
    ledger.tasks.body(1)
    before = {path: path.read_bytes() for path in vault.rglob("T1*")}
    assert len(before) == 3
    ledger.tasks.archive(1)
    for refused in (
        lambda: ledger.tasks.body(1),
        lambda: ledger.tasks.result(1, text="late"),
        lambda: ledger.tasks.archive(1),
    ):
        with pytest.raises(Refused, match="archive T1 --restore"):
            refused()
    assert [path.name for path in vault.rglob("*T1*")] == [
        path.name for path in vault.glob("090-archive/task_T1_20270115T080000Z-*.tar.gz")
    ]
    ledger.tasks.restore(1)
    ledger.tasks.body(1)
    assert {path: path.read_bytes() for path in vault.rglob("*T1*")} == before
    assert ledger.tasks.body(2).text == "other\n"


def test_restoring_over_another_text_keeps_both(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a", body="old text\n")
    ledger.tasks.complete(1)
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    ledger.tasks.archive(1)
    with pytest.raises(Refused):
        ledger.tasks.body(1)
    (vault / "010-tasks/completed/T1.md").write_text("---\nid: T1\n---\n\nlate result\n")
    ledger.tasks.restore(1)
    assert "late result" in ledger.tasks.body(1).text
    [other] = vault.rglob("T1.other-*.md")
    assert "old text\n" in other.read_text()
    assert list(vault.glob("090-archive/*")) == []
    [told] = wait_until(lambda: list(ledger.events.list(after=0, kind="vault.conflict")))
    assert told.data["path"] == str(other.relative_to(vault))


def test_files_of_old_tasks_are_archived_where_asked_for(open_at: Open, vault: Path, clock: FakeClock) -> None:
    ledger = open_at(vault_archive_days=30)
    for number in range(1, 251):
        ledger.tasks.create(title="a", body=f"{number}\n")
        if number <= 240:
            ledger.tasks.complete(number)
    clock.advance(31 * 86_400)
    ledger.tasks.complete(241)
    assert archiver.tick(ledger.engine) == 240  # type: ignore[arg-type]
    assert archiver.tick(ledger.engine) == 0  # type: ignore[arg-type]
    with pytest.raises(Refused, match="archived"):
        ledger.tasks.body(1)
    assert len(list((vault / "090-archive").iterdir())) == 240
    assert ledger.tasks.body(241).text == "241\n"
    ledger.tasks.reopen(1)
    assert ledger.tasks.body(1).text == "1\n", "work goes on where it was"
    ledger.tasks.complete(1)
    clock.advance(31 * 86_400)
    assert archiver.tick(ledger.engine) == 2  # type: ignore[arg-type]
