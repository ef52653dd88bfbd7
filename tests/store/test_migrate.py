"""Migrations: numbered, forward only, by one process at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.errors import SchemaTooNew
from shoal.store import migrate
from tests import rows


def test_numbers_have_no_gap() -> None:
    assert list(migrate.migrations()) == list(range(1, migrate.latest() + 1))


def test_every_file_has_a_number_of_its_own() -> None:
    folder = Path(migrate.__file__).parent / "migrations"
    assert len(list(folder.glob("*.sql"))) == len(migrate.migrations())


def test_only_what_is_missing_is_pending() -> None:
    assert list(migrate.pending(0, "x")) == list(migrate.migrations())
    assert migrate.pending(migrate.latest(), "x") == {}
    with pytest.raises(SchemaTooNew):
        migrate.pending(migrate.latest() + 1, "x")


def test_ledger_of_an_older_schema_keeps_its_tasks_and_gains_the_rest(
    address: str, open_at: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: {1: every[1]})
    open_at()
    rows.execute(
        address,
        "INSERT INTO tasks (title, type, status, priority, queue, created_by, requires_qa, max_attempts, run_at, "
        "created_at, updated_at) VALUES ('kept', 'swe', 'queued', 2, 'default', 'ana', 0, 3, 1, 1, 1)",
    )
    monkeypatch.undo()

    new = open_at()

    assert [task.title for task in new.tasks.list()] == ["kept"]
    assert new.tasks.search(text="anything") == []


def test_processes_that_open_a_new_ledger_at_once_agree(open_at: Callable[..., Ledger]) -> None:
    opened: list[Ledger] = []
    errors: list[BaseException] = []

    def open_one() -> None:
        try:
            opened.append(open_at())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number, ledger in enumerate(opened, start=1):
        assert ledger.tasks.create(title="x").id == number
    assert len({ledger.engine.identity.ledger_id for ledger in opened}) == 1  # type: ignore[attr-defined]
