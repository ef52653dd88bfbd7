"""What the tests of workspaces share: a remote on disk, a home, and the workspaces of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.worker.workspaces import Workspaces
from tests.worker.places import Remote


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def workspaces(home: Path, remote: Remote) -> Workspaces:
    return Workspaces(home, remote.settings())
