"""A worker whose server goes away: its reports wait on the disk, and are delivered by it or by the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shoal import connect
from shoal.ledger.outbox import FILE
from tests.conftest import wait_until
from tests.fleet import Programs, Server

SETTINGS = "unreachable_seconds = [1, 2]\n"


def read(outbox: Path) -> str:
    try:
        return outbox.read_text()
    except FileNotFoundError:
        return ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("killed", [False, True])
def test_end_of_an_attempt_in_an_outage_is_reported_afterwards(tmp_path: Path, killed: bool) -> None:
    server = Server(tmp_path / "server")
    port = server.url.rpartition(":")[2]
    home, began, went = tmp_path / "worker", tmp_path / "began", tmp_path / "went"
    home.mkdir()
    (home / "shoal.toml").write_text(SETTINGS)
    programs = Programs(server.url, SHOAL_HOME=str(home))
    try:
        with connect(server.url, actor="ana") as ledger:
            ledger.tasks.create(title="x")
            script = f"touch {began}; while ! test -e {went}; do sleep 0.05; done; echo fine"
            worker = programs.start("work", "--poll", "0.1", "--lease", "90", "--", "sh", "-c", script)
            wait_until(began.exists)
        server.kill()
        went.touch()
        outbox = home / FILE
        wait_until(lambda: "sessions.end" in read(outbox), seconds=60)
        if killed:
            worker.kill()
            worker.wait()
            lines = [json.loads(line) for line in outbox.read_text().splitlines()]
            assert [line["verb"] for line in lines if "verb" in line] == ["sessions.record", "sessions.end"]
        again = Server(tmp_path / "server", "--port", port)
        if killed:
            programs.start("work", "--poll", "0.1", "--", "true")
        with connect(again.url, actor="ana") as ledger:
            if killed:
                wait_until(lambda: ledger.sessions.get(1).outcome == "completed", seconds=20)
            else:
                wait_until(lambda: ledger.tasks.get(1).status == "completed", seconds=40)
                assert ledger.tasks.get(1).attempt == 1
            kinds = [str(event.kind) for event in ledger.events.list(after=0, task=1)]
            assert kinds.count("session.ended") == 1
        wait_until(lambda: not outbox.exists())
        assert again.stop() == 0
    finally:
        programs.close()
        server.kill() if server.process.poll() is None else None


def test_agent_reports_into_the_outbox_of_its_worker(tmp_path: Path) -> None:
    home = tmp_path / "worker"
    server = Server(tmp_path / "server")
    programs = Programs(server.url, SHOAL_OUTBOX=str(home))
    try:
        with connect(server.url, actor="ana") as ledger:
            ledger.tasks.create(title="x")
            ledger.tasks.claim(worker="w")
            heard = programs.start("progress", "T1", "10", "--attempt", "1")
            assert "T1 is active" in heard.communicate(timeout=30)[0]
            port = server.url.rpartition(":")[2]
            server.kill()
            for command in (["progress", "T1", "50", "--attempt", "1"], ["comment", "T1", "half"]):
                said = programs.start(*command)
                assert "kept" in said.communicate(timeout=60)[1]
                assert said.returncode == 0
            server = Server(tmp_path / "server", "--port", port)
            worker = programs.start("work", "--poll", "0.1", "--", "true", SHOAL_HOME=str(home))
            wait_until(lambda: ledger.tasks.get(1).progress == 50)
            wait_until(lambda: not (home / FILE).exists())
            worker.kill()
            kinds = [str(event.kind) for event in ledger.events.list(after=0, task=1)]
            assert kinds[2:] == ["task.progressed", "task.progressed", "task.commented"]
    finally:
        programs.close()
        server.stop()
