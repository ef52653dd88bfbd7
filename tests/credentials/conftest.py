"""What the tests of credentials share: a forge that checks tokens, a broker, and git as an agent has it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.ledger.connect import open_ledger
from shoal.ledger.world import Sources
from shoal.model.task import Claim
from shoal.settings import BrokerSettings, RepositorySettings, Settings
from tests.conftest import FakeClock
from tests.credentials.agents_git import KEY_OF_EVERYTHING, Run, as_agent, persons_configuration
from tests.git_server import GitServer
from tests.github_app import AppApi
from tests.served import Served

NAMES = ("acme/web", "acme/api", "other/web")


@pytest.fixture
def api(clock: FakeClock) -> Iterator[AppApi]:
    api = AppApi(clock)
    yield api
    api.close()


@pytest.fixture
def forge(tmp_path: Path, api: AppApi) -> Iterator[GitServer]:
    """What GitHub serves: three repositories, to tokens that may; and a long-lived key that opens all of them."""

    def admits(user: str, password: str, repository: str, pushes: bool) -> bool:
        allowed = user == "x-access-token" and api.allows(
            password, repository, "contents", "write" if pushes else "read"
        )
        return allowed or password == KEY_OF_EVERYTHING

    folder = tmp_path / "forge"
    folder.mkdir()
    server = GitServer(folder, admits)
    for name in NAMES:
        server.add(name)
    yield server
    server.close()


@pytest.fixture
def ledger(tmp_path: Path, api: AppApi, forge: GitServer, clock: FakeClock) -> Iterator[Ledger]:
    source = api.source()
    settings = Settings(
        broker=BrokerSettings(hosts=[forge.host]),
        repositories={name: RepositorySettings(url=f"{forge.url}/{name}.git") for name in NAMES},
    )
    ledger = open_ledger(
        str(tmp_path / "ledger.db"),
        settings=settings,
        actor="ana",
        create=True,
        clock=clock,
        sources=Sources(tokens=lambda: source),
    )
    yield ledger
    ledger.close()


@pytest.fixture
def url(ledger: Ledger, tmp_path: Path) -> Iterator[str]:
    served = Served(ledger, tmp_path / "home")
    yield served.url
    served.close()


@pytest.fixture
def run(tmp_path: Path, url: str, forge: GitServer) -> Run:
    """Git as an agent of a claim has it; the person who runs the worker has a key that opens everything."""
    config = persons_configuration(tmp_path, forge.url)

    def run(
        claim: Claim, *arguments: str, folder: Path = tmp_path, ok: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = as_agent(claim, *arguments, folder=folder, stdin=stdin, config=config, url=url, hosts=[forge.host])
        assert (done.returncode == 0) == ok, done.stderr
        assert KEY_OF_EVERYTHING not in {password for _, password in forge.logins}
        return done

    return run
