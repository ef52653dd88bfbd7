"""A server of its own for each file of tests, and a ledger that is reached through it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shoal import Ledger, connect
from tests.fleet import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("home"))
    yield server
    assert server.stop() == 0


@pytest.fixture
def remote(server: Server) -> Iterator[Ledger]:
    with connect(server.url, actor="ana") as ledger:
        yield ledger
