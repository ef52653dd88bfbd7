"""Content on its way into the vault: whoever dies meanwhile, and whatever fails, nothing acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.adapters.vault import files
from shoal.daemon import health
from shoal.daemon.daemon import Daemon
from shoal.errands import vault_check
from shoal.ledger.connect import open_ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.live_settings import LiveSettings
from shoal.settings import Home, Settings
from tests.conftest import FakeClock, wait_until


def test_what_could_not_be_written_does_not_overwrite_what_came_later(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tasks.create(title="a", body="first\n")
    ledger.tasks.body(1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_partial", full)
        ledger.tasks.set_body(1, text="old\n")
        ledger.tasks.share(1, key="k", value="old")
        ledger.tasks.share(1, key="other", value="kept")
        assert ledger.tasks.body(1).text == "first\n"
    ledger.tasks.set_body(1, text="new\n")
    ledger.tasks.share(1, key="k", value="new")
    assert ledger.tasks.body(1).text == "new\n"
    ledger.engine.settler.recover()  # type: ignore[attr-defined]
    assert ledger.tasks.body(1).text == "new\n"
    assert ledger.tasks.context(1).values == {"k": "new", "other": "kept"}
    assert ledger.engine.settler.waiting == {}  # type: ignore[attr-defined]
    wait_until(lambda: len(ledger.events.list(after=0, kind="vault.unreadable")) == 3)


def test_content_that_waits_for_long_is_told_of(
    ledger: Ledger, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ledger.engine
    assert isinstance(engine, EmbeddedEngine)
    assert engine.settler is not None
    ledger.tasks.create(title="a", body="first\n")
    ledger.tasks.body(1)

    def full(*_: object, **__: object) -> None:
        raise OSError(36, "File name too long")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_partial", full)
        ledger.tasks.share(1, key="k", value="v")
        engine.settler.settle()
    home = Home(tmp_path)
    daemon = Daemon(engine, home, LiveSettings(home))

    def waiting() -> list[str]:
        return [one for one in health.look(engine, daemon)["warnings"] if "waits" in one]

    assert waiting() == []
    clock.advance(61)
    assert waiting() == ["shared of task 1 waits for its file: OSError(36, 'File name too long')"]
    assert "shared of task 1" in {what: wrong for what, wrong, _ in vault_check.look(engine)}["content"]
    engine.settler.recover()
    assert waiting() == []


VICTIM = """
import os, sys
from pathlib import Path
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from shoal.ledger import settler
from shoal.adapters.vault import files, spool

address, vault, spool_folder, point = sys.argv[1:]

def die(*_, **__):
    os._exit(9)

def before(owner, name):
    setattr(owner, name, die)

def after(owner, name):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        real(*args, **kwargs)
        die()
    setattr(owner, name, wrapped)

ledger = open_ledger(address, settings=Settings(), actor="ana", create=True, vault=(Path(vault), Path(spool_folder)))
before_or_after, owner, name = point.split()
owners = {"Settler": settler.Settler, "Spool": spool.Spool, "files": files, "Path": Path}
(before if before_or_after == "before" else after)(owners[owner], name)
ledger.tasks.create(title="a", body="# Body\\n")
print("acknowledged", flush=True)
ledger.close()
"""


@pytest.mark.parametrize(
    "point",
    [
        "before Spool lay_down",
        "after Spool lay_down",
        "before Settler take_up",
        "before files update",
        "before files _partial",
        "after files _partial",
        "before Path replace",
        "after Path replace",
        "before Spool done",
        "after Spool done",
    ],
)
def test_body_survives_death_at_any_step(address: str, tmp_path: Path, point: str) -> None:
    vault = tmp_path / "vault"
    victim = [sys.executable, "-c", VICTIM, address, str(vault), str(vault.with_name("spool")), point]
    said = subprocess.run(victim, capture_output=True, text=True, check=False)
    assert said.returncode == 9, said.stderr

    with open_ledger(
        address, settings=Settings(), actor="ana", create=True, vault=(vault, vault.with_name("spool"))
    ) as ledger:
        ledger.engine.settler.settle()  # type: ignore[attr-defined]
        tasks = ledger.tasks.list()
        assert len(tasks) == 1 or "acknowledged" not in said.stdout
        assert tasks or "lay_down" in point
        for task in tasks:
            assert ledger.tasks.body(task.id).text == "# Body\n"
        assert [path.name for path in vault.rglob("*.md")] == [f"{task.task_id}.md" for task in tasks]
    assert list((vault.with_name("spool")).glob("*.jsonl")) == []


def test_what_a_closing_ledger_cannot_wait_for_stays_in_the_spool(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.ledger.settler.PATIENCE_SECONDS", 0.0)
    places = (tmp_path / "vault", tmp_path / "spool")
    with open_ledger(address, settings=Settings(), actor="ana", create=True, vault=places) as ledger:
        ledger.tasks.create_many(tasks=[{"title": f"t{number}", "body": f"body {number}"} for number in range(500)])
    assert not [thread for thread in threading.enumerate() if thread.name == "shoal-settler"]
    assert len(list(places[0].rglob("*.md"))) < 500, "it did not wait"
    monkeypatch.undo()
    with open_ledger(address, settings=Settings(), actor="ana", create=True, vault=places) as ledger:
        assert [ledger.tasks.body(number + 1).text.strip() for number in range(500)] == [
            f"body {number}" for number in range(500)
        ]


def test_killed_creators_lose_no_acknowledged_body(address: str, tmp_path: Path) -> None:
    loop = """
import sys
from pathlib import Path
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
vault = Path(sys.argv[2]), Path(sys.argv[2]).with_name("spool")
ledger = open_ledger(sys.argv[1], settings=Settings(), actor="ana", create=True, vault=vault)
while True:
    task = ledger.tasks.create(title="x", body="body " * 2000)
    ledger.tasks.result(task.id, text="result " * 2000)
    print(task.id, flush=True)
"""
    vault = tmp_path / "vault"
    open_ledger(address, settings=Settings(), actor="ana", create=True).close()
    acknowledged: list[int] = []
    for lines in (1, 3, 10):
        creator = subprocess.Popen([sys.executable, "-c", loop, address, str(vault)], stdout=subprocess.PIPE, text=True)
        assert creator.stdout is not None
        for _ in range(lines):
            acknowledged.append(int(creator.stdout.readline()))
        creator.kill()
        acknowledged += [int(line) for line in creator.stdout.read().split("\n")[:-1]]
        creator.wait()
        creator.stdout.close()
    with open_ledger(
        address, settings=Settings(), actor="ana", create=True, vault=(vault, vault.with_name("spool"))
    ) as ledger:
        for task in acknowledged:
            text = ledger.tasks.body(task).text
            assert text.count("body ") == 2000
            assert text.count("result ") + text.count("result\n") == 2000
