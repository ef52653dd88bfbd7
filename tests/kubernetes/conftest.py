"""A cluster, a Shoal server that its pods reach, and dispatchers as programs of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from tests.fleet import Programs, Server
from tests.kubernetes.api import Api

Dispatch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path)
    yield api
    api.close()


@pytest.fixture
def ledger(served: Ledger) -> Ledger:
    return served


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of dispatchers: what they collect is in its logs."""
    home = tmp_path / "dispatcher"
    home.mkdir()
    return home


@pytest.fixture
def dispatch(api: Api, server: Server, home: Path, programs: Programs) -> Dispatch:
    """Start `shoal dispatch` with a command; `kubernetes` and `table` ([dispatch]) hold further settings."""

    def dispatch(
        *command: str,
        options: tuple[str, ...] = (),
        kubernetes: dict[str, Any] | None = None,
        table: dict[str, Any] | None = None,
        **variables: str,
    ) -> subprocess.Popen[str]:
        settings = {"image": "shoal:1", "url": server.url, "kubeconfig": str(api.kubeconfig), "namespace": "agents"}
        settings |= kubernetes or {}
        lines = [f"kubernetes = {_toml(settings)}", f"dispatch = {_toml(table or {})}"]
        (home / "shoal.toml").write_text("\n".join(lines) + "\n")
        return programs.start(
            *("--home", str(home), "dispatch", "--executor", "kubernetes", "--poll", "0.1"),
            *options,
            *(["--", *command] if command else []),
            **variables,
        )

    return dispatch


def finish(process: subprocess.Popen[str], seconds: float = 60) -> str:
    """Wait until it ends well; what it said."""
    _, said = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)
