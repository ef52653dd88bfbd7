"""What the tests of services share beside the ledger: jobs that fire, a GitHub with an App, a ledger that asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shoal import Ledger
from shoal.model.job import Claimed, Job, RunStatus
from shoal.services import firing, runs
from shoal.settings import ADMIN_TOKEN
from tests.conftest import FakeClock
from tests.github_app import AppApi
from tests.services.broker import ADMIN, Open, open_broker

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
