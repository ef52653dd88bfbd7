"""What several tests of services share: a ledger with agents and workflows, rows of other services."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal import Ledger
from shoal.store import postgres, sqlite
from shoal.store.migrate import migrations
from shoal.store.queries import Query
from tests.services.prompted import CONFIGURED, Open


@pytest.fixture
def configured(open_at: Open, rows: None) -> Ledger:
    return open_at(**CONFIGURED)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries that write what other services write."""
    # A column that sessions have where the ledger keeps whether messages reach them.
    column, value = (", takes_messages", ", 0") if "takes_messages" in migrations()[4] else ("", "")
    texts = {
        "session": f"INSERT INTO sessions (task, attempt, agent, kind, workspace, branches, started_at{column}) "
        f"VALUES (:task, 1, :agent, 'claude', '/w/T1.1', :branches, 0{value})",
        "last": "SELECT MAX(id) FROM sessions",
        "line": "INSERT INTO transcript_lines "
        "(session, attempt, at, role, key, text, tool_name, arguments, result, error) "
        "VALUES (:session, 1, :at, :role, :key, :text, :tool_name, :arguments, :result, :error)",
        "tell": "INSERT INTO tells (task, at, actor, text, delivery, delivered_at) "
        "VALUES (:task, :at, :actor, :text, 'next_run', :delivered_at)",
    }
    for module in (sqlite, postgres):
        for name, text in texts.items():
            monkeypatch.setitem(module.QUERIES, f"test.{name}", Query(f"test.{name}", "", text, module.DIALECT))


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"
