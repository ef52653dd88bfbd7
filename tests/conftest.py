"""What tests share: a clock they set, a ledger on each database, a PostgreSQL of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger, connect
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from tests.fleet import Programs, Server
from tests.postgres import Cluster

START_MS = 1_800_000_000_000


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


def wait_until(condition: Callable[[], Any], *, seconds: float = 30.0, why: str = "") -> Any:
    """Wait for a condition; the only way in which a test waits."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain {why}")
        time.sleep(0.01)
    return found


@pytest.fixture(scope="session")
def postgres_server(testrun_uid: str) -> Iterator[str]:
    """The URL of a PostgreSQL server: SHOAL_TEST_POSTGRES, else one that all test processes of this run share."""
    given = os.environ.get("SHOAL_TEST_POSTGRES")
    if given:
        yield given
        return
    folder = Path(tempfile.gettempdir()) / f"shoal-test-{testrun_uid[:12]}"
    cluster = Cluster(folder)
    yield cluster.url
    cluster.close()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty schema on that server."""
    import psycopg

    schema = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    joint = "&" if "?" in postgres_server else "?"
    yield f"{postgres_server}{joint}options=-c%20search_path%3D{schema}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def private_postgres() -> Iterator[Cluster]:
    """A PostgreSQL server that the test may stop, kill and restart."""
    folder = Path(tempfile.mkdtemp(prefix="shoal-private-"))
    cluster = Cluster(folder / "data")
    yield cluster
    cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def open_at(address: str, clock: FakeClock, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Opens further ledgers at the same address."""
    opened: list[Ledger] = []

    def open_one(*, actor: str = "ana", **settings: Any) -> Ledger:
        ledger = open_ledger(
            address,
            settings=Settings(**settings),
            actor=actor,
            create=True,
            clock=clock,
            vault=(tmp_path / "vault", tmp_path / "spool"),
        )
        opened.append(ledger)
        return ledger

    yield open_one
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_at: Callable[..., Ledger]) -> Ledger:
    """A ledger on each database."""
    return open_at()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    server = Server(tmp_path / "home")
    yield server
    server.kill()


@pytest.fixture
def served(server: Server) -> Iterator[Ledger]:
    """Its ledger, over HTTP."""
    with connect(server.url, actor="ana") as ledger:
        yield ledger


@pytest.fixture
def programs(server: Server) -> Iterator[Programs]:
    """Commands that reach it."""
    programs = Programs(server.url)
    yield programs
    programs.close()


@pytest.fixture
def events_of(ledger: Ledger) -> Callable[..., list[str]]:
    """The kinds of a task's events, oldest first."""

    def kinds(task: Any) -> list[str]:
        return [event.kind for event in ledger.events.list(after=0, task=task, limit=1000)]

    return kinds


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs the tests in the background has Ctrl-C ignored, and programs started here would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Settings of the person who runs the tests must not reach them.
    for name in list(os.environ):
        if name == "LOBWIFE_URL" or (name.startswith("SHOAL_") and not name.startswith("SHOAL_TEST_")):
            del os.environ[name]
