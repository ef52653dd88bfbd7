"""Which ledger `connect` opens, by what the environment says."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal import connect
from tests.fleet import Server


def test_address_of_lobwife_stands_in_where_nothing_else_is_said(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBWIFE_URL", server.url)
    with connect() as ledger:
        assert ledger.address == server.url
        assert ledger.tasks.create(title="x").id == 1
    monkeypatch.setenv("SHOAL_URL", str(tmp_path / "own.db"))
    with connect() as ledger:
        assert ledger.address.endswith("own.db")
    with connect(tmp_path / "given.db") as ledger:
        assert ledger.address.endswith("given.db")
    monkeypatch.delenv("SHOAL_URL")
    with connect(home=server.home) as ledger:
        assert ledger.address == server.url, "the server of the home that was named"
