"""Supervision by several at once, and by servers and workers that are really there."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from shoal import Ledger, connect
from shoal.daemon.supervisor import Supervisor
from shoal.settings import GITHUB_TOKEN
from tests import rows
from tests.conftest import FakeClock, wait_until
from tests.daemon.supervised import DAY, MINUTE, WEB
from tests.fleet import SHOAL, Server, environment
from tests.forge_api import TOKEN, ForgeApi


def test_supervisors_at_once_do_each_thing_once(
    open_at: Callable[..., Ledger], clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    supervisors = [make(open_at()) for _ in range(3)]
    ledger = open_at()
    supervisors[0].tick()
    ledger.tasks.create_many(
        tasks=[{"title": f"t{n}", "repos": [WEB], "max_attempts": 1} for n in range(6)] + [{"title": "slow"}] * 3
    )
    ledger.tasks.claim(worker="w", limit=6, lease_seconds=60)
    ledger.tasks.claim(worker="x", limit=3, lease_seconds=DAY)
    api.repository().ahead = {"shoal/T1-a": 1, "shoal/T2-a": 1}
    api.pull(WEB, "shoal/T3-a")
    clock.advance(45 * MINUTE)
    barrier = threading.Barrier(3)

    def tick(supervisor: Supervisor) -> None:
        barrier.wait()
        supervisor.tick()
        barrier.wait()
        supervisor._round()  # also when two take themselves for the only one

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(tick, supervisors))

    kinds = Counter(event.kind for event in ledger.events.list(after=0, limit=1000))
    assert (kinds["task.orphaned"], kinds["task.expired"], kinds["task.warned"]) == (3, 3, 3)
    assert len(api.repositories[WEB].pulls) == 3
    assert len(ledger.tasks.list(type="system")) == 3


# What follows has real servers and workers.


@pytest.fixture
def forged(api: ForgeApi) -> dict[str, str]:
    """The settings of a server that looks at its tasks every second."""
    return {
        "SHOAL_SUPERVISE_SECONDS": "1",
        "SHOAL_GITHUB_URL": api.url,
        GITHUB_TOKEN: TOKEN,
        "SHOAL_VAULT": "",
    }


def test_servers_at_one_ledger_rescue_each_orphan_once(
    address: str, tmp_path: Path, api: ForgeApi, forged: dict[str, str]
) -> None:
    with connect(address, actor="ana") as ledger:
        servers = [Server(tmp_path / name, "--db", address, **forged) for name in "ab"]
        ledger.tasks.create_many(tasks=[{"title": f"t{n}", "repos": [WEB], "max_attempts": 1} for n in range(8)])
        api.repository().ahead = {f"shoal/T{n}-x": 1 for n in range(1, 5)}
        # A first round is over when it has begun to read the log.
        wait_until(lambda: rows.execute(address, "SELECT 1 FROM cursors WHERE name = 'investigations'"))
        ledger.tasks.claim(worker="w", limit=8, lease_seconds=1)
        wait_until(lambda: not ledger.tasks.list(status="active"))
        wait_until(lambda: len(ledger.tasks.list(type="system")) == 4)
        for server in servers:
            assert server.stop() == 0

        assert sorted(task.status for task in ledger.tasks.list(type="swe")) == ["failed"] * 4 + ["review"] * 4
        kinds = Counter(event.kind for event in ledger.events.list(after=0, limit=1000))
        assert (kinds["task.orphaned"], kinds["pull_request.opened"], kinds["task.expired"]) == (4, 4, 4)
    assert len(api.repositories[WEB].pulls) == 4


def test_timeout_stops_the_run_of_a_worker(tmp_path: Path) -> None:
    home, pids = tmp_path / "home", tmp_path / "pids"
    server = Server(home, SHOAL_SUPERVISE_SECONDS="1", SHOAL_VAULT="")
    command = ["sh", "-c", f"echo $$ > {pids}; sleep 120"]
    worker = subprocess.Popen(
        [*SHOAL, "--home", str(home), "work", "--lease", "3", "--grace", "0.2", "--until-empty", "--", *command],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(SHOAL_URL=server.url),
    )
    with connect(server.url, actor="ana") as ledger:
        ledger.tasks.create(title="hangs", estimate_minutes=1, max_attempts=1)
        wait_until(lambda: pids.exists() and pids.read_text())
        pid = int(pids.read_text())
        assert ledger.tasks.get(1).status == "active"
        rows.begun_earlier(str(home / "ledger.db"), 1, 60)
        wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")

        task = ledger.tasks.get(1)
        assert (task.status, task.last_error) == (
            "failed",
            "attempt 1 runs for 60 min, 1 min were thought enough; it may take 31 min",
        )
        told = {event.kind: event.data for event in ledger.events.list(task=1)}
        assert list(told)[:2] == ["task.failed", "task.warned"]
        assert told["task.failed"]["rule"] == "timeout"
    _, errors = worker.communicate(timeout=30)
    assert worker.returncode == 0, errors
    server.stop()


def test_server_says_what_it_cannot_supervise(tmp_path: Path, api: ForgeApi, forged: dict[str, str]) -> None:
    import json
    import urllib.request

    def health(server: Server) -> Any:
        with urllib.request.urlopen(f"{server.url}/health") as answer:
            return json.load(answer)

    server = Server(tmp_path / "a", SHOAL_VAULT="")
    found = health(server)
    assert found["supervision"]["forge"] is None
    assert "$SHOAL_GITHUB_TOKEN is not set" in found["supervision"]["remarks"][0]
    server.stop()
    server = Server(tmp_path / "b", **forged)
    wait_until(lambda: health(server)["loops"]["supervisor"]["ticks"])
    found = health(server)
    assert (found["ok"], found["supervision"]) == (True, {"forge": api.url, "remarks": []})
    server.stop()

    def doctor(**given: str) -> str:
        command = [*SHOAL, "--home", str(tmp_path / "b"), "doctor"]
        run = subprocess.run(command, env=environment(**given), capture_output=True, text=True, check=False)
        return run.stdout

    assert "$SHOAL_GITHUB_TOKEN is not set" in doctor()
    told = doctor(SHOAL_GITHUB_TOKEN="not a token")
    assert "is not a token" in told
