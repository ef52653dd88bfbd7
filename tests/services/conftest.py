"""What the tests of services share beside the ledger: agents and workflows, rows of other services, jobs that fire, a
GitHub with an App.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.model.job import Claimed, Job, RunStatus
from shoal.services import firing, runs
from shoal.settings import ADMIN_TOKEN
from shoal.store import postgres, sqlite
from shoal.store.migrate import migrations
from shoal.store.queries import Query
from tests.conftest import FakeClock
from tests.github_app import AppApi
from tests.services.broker import ADMIN, Open, open_broker
from tests.services.prompted import CONFIGURED

ECHO = {"kind": "program", "command": ["echo", "x"]}


@pytest.fixture
def make_job(ledger: Ledger) -> Callable[..., Job]:
    """Makes jobs that fire every minute, unless told otherwise."""

    def make(name: str = "sweep", **given: Any) -> Job:
        return ledger.jobs.create(**{"name": name, "schedule": "every 60s", "action": ECHO} | given)

    return make


@pytest.fixture
def fire(ledger: Ledger) -> Callable[[], firing.Fired]:
    return lambda: ledger.engine.write(firing.fire)  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def claim(ledger: Ledger) -> Callable[..., list[Claimed]]:
    def claim(server: str = "s1", limit: int = 10) -> list[Claimed]:
        return ledger.engine.write(lambda tx: runs.claim(tx, server=server, limit=limit, logs="/logs"))  # type: ignore

    return claim


@pytest.fixture
def end(ledger: Ledger) -> Callable[..., Any]:
    def end(run: int, status: str = "success", server: str = "s1", **given: Any) -> Any:
        return ledger.engine.write(lambda tx: runs.end(tx, run=run, server=server, status=RunStatus(status), **given))  # type: ignore

    return end


@pytest.fixture
def api(clock: FakeClock) -> Iterator[AppApi]:
    api = AppApi(clock)
    yield api
    api.close()


@pytest.fixture
def broker(api: AppApi, open_at: Open, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger on each database, with an App and an administrator."""
    monkeypatch.setenv(ADMIN_TOKEN, ADMIN)
    return open_broker(open_at, api)


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
        "VALUES (:task, :at, :actor, :text, 'next_episode', :delivered_at)",
    }
    for module in (sqlite, postgres):
        for name, text in texts.items():
            monkeypatch.setitem(module.QUERIES, f"test.{name}", Query(f"test.{name}", "", text, module.DIALECT))


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"
