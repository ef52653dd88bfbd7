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


def test_what_assessments_cost_before_there_were_accounts_is_on_their_items(
    address: str, open_at: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: {number: every[number] for number in range(1, 15)})
    open_at()
    rows.execute(
        address,
        "INSERT INTO tasks (title, type, status, priority, queue, created_by, requires_qa, max_attempts, run_at, "
        "created_at, updated_at) VALUES ('kept', 'swe', 'queued', 2, 'default', 'ana', 0, 3, 1, 1, 1)",
    )
    rows.execute(
        address,
        "INSERT INTO items (project, text, text_hash, origin, first_seen_at, last_seen_at, created_at, updated_at) "
        "VALUES ('web', 'x', 'h', 'manual', 1, 1, 1, 1)",
    )
    for version, model, micros, tokens in ((1, "anthropic:m", 7, 3), (2, "m", None, 4), (3, None, None, None)):
        rows.execute(
            address,
            "INSERT INTO assessments (item, version, at, actor, model, cost_usd_micros, input_tokens, output_tokens) "
            "VALUES (1, ?, 86400000, 'ana', ?, ?, ?, 1)",
            *(version, model, micros, tokens),
        )
    rows.execute(
        address,
        "INSERT INTO costs (at, task, agent, provider, model, input_tokens, output_tokens, cache_read_tokens, "
        "cache_write_tokens, cost_usd_micros, priced, request_key) "
        "VALUES (1, 1, 'bo', 'p', 'm', 1, 1, 1, 1, 50, 'list', 'k')",
    )
    rows.execute(
        address, "INSERT INTO cost_sums SELECT 1, 0, 'bo', 'p', 'm', 1, 1, 1, 1, 1, 50, 0, '' FROM tasks WHERE id = 1"
    )
    monkeypatch.undo()

    new = open_at()

    found = [(one.task_id, one.item_id, one.provider, one.model, one.priced) for one in new.costs.list()]
    assert found == [
        ("T1", None, "p", "m", "list"),
        (None, "W1", "anthropic", "m", "list"),
        (None, "W1", "unknown", "m", "unknown"),
    ]
    assert [(one.key, one.calls, one.cost_usd_micros, one.unpriced) for one in new.costs.sums()] == [
        ("T1", 1, 50, 0),
        ("W1", 2, 7, 1),
    ]
    told = [(one.cost_usd_micros, one.input_tokens) for one in new.items.assessments(1)]
    assert told == [(None, None), (None, 4), (7, 3)]
    assert new.engine.read(lambda tx: tx.all("costs.recount", limit=10, prefix="T")) == []  # type: ignore[attr-defined]
    assert new.costs.record(costs=[{"task": 1, "request_key": "l", "provider": "p", "model": "m"}]).counted == 1


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
