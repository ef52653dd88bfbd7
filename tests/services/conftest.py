"""What the tests of jobs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal import Ledger
from shoal.model.job import Claimed, Job, RunStatus
from shoal.services import firing, runs

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
