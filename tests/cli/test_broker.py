"""`shoal broker` against a server whose App is on a GitHub on loopback."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal import connect
from shoal.settings import ADMIN_TOKEN, APP_KEY
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment
from tests.github_app import APP_ID, AppApi, pem
from tests.services.broker import ADMIN

Run = Callable[..., str]


@pytest.fixture
def api() -> Iterator[AppApi]:
    api = AppApi()
    yield api
    api.close()


@pytest.fixture
def home(tmp_path: Path, api: AppApi) -> Path:
    home = tmp_path / "home"
    subprocess.run([*SHOAL, "--home", str(home), "init"], check=True, env=environment(), capture_output=True)
    (home / "shoal.toml").write_text(
        f'github_url = "{api.url}"\n[broker]\napp_id = {APP_ID}\n[broker.installations]\nacme = 7\nother = 8\n'
    )
    return home


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    server = Server(home, **{APP_KEY: base64.b64encode(pem()).decode(), ADMIN_TOKEN: ADMIN})
    yield server
    assert server.stop() == 0


@pytest.fixture
def shoal(home: Path) -> Run:
    def run(*arguments: str, code: int = 0, **variables: str) -> str:
        done = subprocess.run(
            [*SHOAL, "--home", str(home), *arguments],
            capture_output=True,
            text=True,
            env=environment(**variables),
            timeout=60,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run


def test_token_from_registration_to_the_end_of_its_task(api: AppApi, server: Server, shoal: Run, home: Path) -> None:
    with connect(server.url) as ledger:
        ledger.tasks.create(title="x", repos=["acme/web"])
        [claim] = ledger.tasks.claim(worker="w").claims
        own = {"SHOAL_TASK_KEY": claim.key}
        assert "App 123456" in shoal("broker", "status")
        assert "needs the key of its attempt 1" in shoal("broker", "token", "T1", code=4)
        token = shoal("broker", "token", "T1", **own).strip()
        assert api.allows(token, "acme/web", "contents", "write")
        assert json.loads(shoal("broker", "token", "T1", "--json", **own))["data"]["token"] == token
        assert shoal("broker", "token", "T1", "-q", "--key", ADMIN).strip() == token
        assert "T1 may have tokens for acme/web" in shoal("broker", "registrations")
        assert f"…{token[-4:]}" in shoal("broker", "list", "T1", "--alive")
        less = shoal("broker", "register", "T1", "-p", "contents=read", **own)
        assert "T1 may have tokens for acme/web (contents=read) until" in less
        wait_until(lambda: api.alive == [])
        again = shoal("broker", "token", "T1", **own).strip()
        assert not api.allows(again, "acme/web", "contents", "write")
        assert "other/web is not among" in shoal("broker", "token", "T1", "-r", "other/web", code=4, **own)
        shoal("broker", "register", "T1", "-r", "other/web", **{ADMIN_TOKEN: ADMIN})
        assert "write NAME=read" in shoal("broker", "register", "T1", "-p", "contents", code=2)
        theirs = shoal("broker", "token", "T1", **own).strip()
        assert api.allows(theirs, "other/web", "contents", "write")
        ledger.tasks.complete(1, attempt=1)
        wait_until(lambda: api.alive == [])
        assert "T1 is completed" in shoal("broker", "token", "T1", code=4, **own)
        assert "deregistering T1 needs the administrator's token" in shoal("broker", "deregister", "T1", code=4)
        assert "until it is registered anew" in shoal("broker", "deregister", "T1", "--key", ADMIN)
        assert "until it is registered anew" in shoal("broker", "registrations", "T1")
        assert "name a task, or a --service" in shoal("broker", "token", "T1", "--service", "x", code=2)
        assert "there is no service 'x'" in shoal("broker", "token", "--service", "x", "--key", ADMIN, code=3)
        wait_until(lambda: len(ledger.grants.audit(action="revoked")) == 3)
        told = shoal("broker", "audit", "T1", "-n", "100")
        assert all(word in told for word in ("registered", "issued", "reused", "refused", "revoked", "deregistered"))
        shown = told + shoal("broker", "audit", "--json") + shoal("events", "--json") + shoal("show", "T1")
    shown += "".join(path.read_text("latin-1") for path in home.rglob("*") if path.is_file())
    assert not any(one in shown for one in api.tokens)


def test_without_an_app_the_status_names_the_settings(tmp_path: Path, shoal: Run, home: Path) -> None:
    (home / "shoal.toml").write_text("")
    said = shoal("broker", "status")
    assert "broker.app_id" in said
    assert f"broker.private_key (or ${APP_KEY})" in said
    shoal("add", "x")
    shoal("claim", "--worker", "w")
    assert "broker.app_id" in shoal("broker", "token", "T1", code=6)
