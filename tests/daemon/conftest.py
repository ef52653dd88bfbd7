"""A vault that is synced, and a person with a clone of it; a supervisor, and the GitHub that it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.adapters.forges.github import GitHub
from shoal.daemon.supervisor import Supervisor
from shoal.daemon.vault_cycle import Report
from shoal.daemon.vault_sync import VaultSync
from tests.daemon.supervised import Jobs
from tests.forge_api import TOKEN, ForgeApi
from tests.vaults import git


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


@pytest.fixture
def api() -> Iterator[ForgeApi]:
    api = ForgeApi()
    api.repository()
    yield api
    api.close()


@pytest.fixture
def make(api: ForgeApi) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def make(ledger: Ledger, *, forge: bool = True, jobs: Jobs | None = None) -> Supervisor:
        supervisor = Supervisor(ledger.engine, GitHub(api.url, TOKEN) if forge else None, jobs)  # type: ignore[arg-type]
        made.append(supervisor)
        return supervisor

    yield make
    for supervisor in made:
        supervisor.close()


@pytest.fixture
def supervisor(ledger: Ledger, make: Callable[..., Supervisor]) -> Supervisor:
    """One that has made a first round, as a server that has run for a while."""
    supervisor = make(ledger)
    supervisor.tick()
    return supervisor
