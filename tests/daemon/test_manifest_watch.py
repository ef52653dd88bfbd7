"""A server takes a changed manifest up by itself, and tells of one that it cannot use."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger, connect
from shoal.daemon.manifest_watch import ManifestWatch
from shoal.errors import BadInput
from shoal.ledger.connect import open_home
from shoal.settings import Home
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment

SWEEP = '[jobs.sweep]\nschedule = "@daily"\ncommand = "sweep.sh"\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    open_home(home, actor="ana", create=True).close()
    home.create()
    (home.folder / "shoal.toml").write_text('vault = ""\n')
    return home


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    with open_home(home, actor="ana", create=True) as ledger:
        yield ledger


@pytest.fixture
def watch(ledger: Ledger) -> ManifestWatch:
    return ManifestWatch(ledger.engine)  # type: ignore[arg-type]


def names(ledger: Ledger) -> list[str]:
    return [one.definition.name for one in ledger.jobs.list()]


def refused(ledger: Ledger) -> list[Any]:
    return [one.data for one in ledger.events.list(kind="jobs.refused")]


def test_file_is_applied_once_it_is_written_to_the_end(home: Home, ledger: Ledger, watch: ManifestWatch) -> None:
    watch.tick()
    watch.tick()
    assert refused(ledger) == []
    (home.folder / "jobs.toml").write_text(SWEEP)
    watch.tick()
    assert names(ledger) == []
    watch.tick()
    assert names(ledger) == ["sweep"]
    (home.folder / "jobs.toml").write_text("")
    watch.tick()
    (home.folder / "jobs.toml").write_text(SWEEP.replace("sweep]", "other]"))
    watch.tick()
    assert names(ledger) == ["sweep"]
    watch.tick()
    assert names(ledger) == ["other"]


def test_file_that_is_emptied_while_it_is_read_takes_no_job_away(
    home: Home, ledger: Ledger, watch: ManifestWatch
) -> None:
    written = home.folder / "jobs.toml"
    written.write_text(SWEEP)
    watch.tick()
    watch.tick()
    source: Any = ledger.engine.sources.manifest  # type: ignore[attr-defined]

    class Emptied:
        mark = source.mark

        def __call__(self) -> Any:
            written.write_text("")
            return source()

    written.write_text(SWEEP + "# changed\n")
    ledger.engine.sources.manifest = Emptied()  # type: ignore[attr-defined]
    watch.tick()
    watch.tick()
    assert names(ledger) == ["sweep"]


def test_remote_that_is_away_changes_nothing_and_is_asked_again(
    home: Home, ledger: Ledger, watch: ManifestWatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = tmp_path / "ops.git"
    (home.folder / "shoal.toml").write_text(f'vault = ""\njobs = "{remote}"\n')
    wait_until(lambda: ledger.engine.settings.jobs)  # type: ignore[attr-defined]
    monkeypatch.setattr("shoal.daemon.manifest_watch.RETRY_SECONDS", 0.0)
    watch.tick()
    for _ in range(2):
        with pytest.raises(BadInput, match="git fetch"):
            watch.tick()
    assert len(refused(ledger)) == 1
    remote.mkdir()
    named = ("-c", "user.name=ana", "-c", "user.email=ana@localhost")
    (remote / "jobs.toml").write_text(SWEEP)
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "Begin"]):
        subprocess.run(["git", *named, *command], cwd=remote, check=True)
    watch.tick()
    assert names(ledger) == ["sweep"]


def test_problem_is_told_once_stays_in_sight_and_goes(home: Home, ledger: Ledger, watch: ManifestWatch) -> None:
    written = home.folder / "jobs.toml"
    written.write_text(SWEEP)
    watch.tick()
    watch.tick()
    written.write_text(SWEEP + "shedule = 1\n")
    watch.tick()
    for _ in range(3):
        with pytest.raises(BadInput, match=r"jobs.toml, line 4: job sweep: shedule.*schedule"):
            watch.tick()
    assert [one["line"] for one in refused(ledger)] == [4]
    written.write_text(SWEEP)
    with pytest.raises(BadInput):
        watch.tick()
    watch.tick()
    written.unlink()
    watch.tick()
    with pytest.raises(BadInput, match=r"there is no jobs.toml"):
        watch.tick()
    assert (names(ledger), len(refused(ledger))) == (["sweep"], 2)


def test_setting_that_leads_nowhere_is_told(home: Home, ledger: Ledger, watch: ManifestWatch) -> None:
    (home.folder / "shoal.toml").write_text('vault = ""\njobs = "ftp://example.org/jobs.git"\n')
    wait_until(lambda: ledger.engine.settings.jobs)  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="ftp"):
        watch.tick()
    assert len(refused(ledger)) == 1
    (home.folder / "shoal.toml").write_text('vault = ""\njobs = "ops"\n')
    (home.folder / "ops").mkdir()
    (home.folder / "ops" / "a.toml").write_text(SWEEP)
    wait_until(lambda: ledger.engine.settings.jobs == "ops")  # type: ignore[attr-defined]

    def applied() -> bool:
        try:
            watch.tick()
        except BadInput:
            return False
        return names(ledger) == ["sweep"]

    wait_until(applied)


def test_server_follows_its_file_and_says_in_health_and_doctor_what_is_wrong(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = Server(home)
    try:
        (home / "jobs.toml").write_text(SWEEP)
        with connect(server.url) as ledger:
            wait_until(lambda: names(ledger) == ["sweep"])
            (home / "jobs.toml").write_text(SWEEP + "x = 1\n")
            wait_until(lambda: refused(ledger))
        with urllib.request.urlopen(f"{server.url}/health") as answer:
            health = json.load(answer)
        assert health["ok"]
        assert any("jobs.toml, line 4" in one for one in health["warnings"])
        done = subprocess.run(
            [*SHOAL, "--home", str(home), "doctor"], capture_output=True, text=True, env=environment(), check=False
        )
        assert "jobs.toml, line 4" in done.stdout + done.stderr
    finally:
        assert server.stop() == 0
