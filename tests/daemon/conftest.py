"""A vault that is synced, and a person with a clone of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon.vault_cycle import Report
from shoal.daemon.vault_sync import VaultSync
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
