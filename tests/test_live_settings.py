"""Settings are taken up while Shoal runs: by the server, by workers and dispatchers, each with its next use of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import connect, live_settings
from shoal.ledger.connect import open_home
from shoal.live_settings import AT_START, Change, LiveSettings
from shoal.mistakes import line_of
from shoal.settings import Home, Settings, setting_descriptions
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment
from tests.vaults import git

FAST = '[agents.fast]\nkind = "command"\nprogram = ["true"]\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    open_home(home, actor="ana", create=True).close()
    home.create()
    return home


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    monkeypatch.setattr(live_settings, "SETTLED_MS", 0)
    monkeypatch.setattr(live_settings, "LOOK_SECONDS", 0)
    return []


def test_changed_file_is_taken_up_at_the_next_use(home: Home, changes: list[Change]) -> None:
    live = LiveSettings(home, on_change=changes.append)
    assert live() is live()
    home.config.write_text(f'{FAST}[repositories."o/r"]\nbase = "main"\n')
    assert list(live().agents) == ["fast"]
    home.config.write_text(f"warn_minutes = 3\n{FAST}")
    assert live().warn_minutes == 3
    assert changes == [Change(["agents.fast", "repositories"]), Change(["warn_minutes", "repositories"])]


@pytest.mark.parametrize("how", ["same size", "replaced, older and of the same size"])
def test_change_is_seen_whatever_writes_it(home: Home, changes: list[Change], how: str) -> None:
    home.config.write_text("episodes = 3\n")
    live = LiveSettings(home)
    before = home.config.stat()
    if how == "same size":
        home.config.write_text("episodes = 4\n")
    else:
        other = home.folder / "other"
        other.write_text("episodes = 4\n")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(home.config)
    assert live().episodes == 4


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"{FAST}\nmax_turn = 3\n", r"shoal.toml, line 5: \[agents.fast\] max_turn: there is no such field"),
        ("episodes = 3\n[agents\n", r"shoal.toml is not valid TOML: .*line 2"),
        (None, "shoal.toml is gone"),
    ],
)
def test_broken_file_keeps_what_was(home: Home, changes: list[Change], written: str | None, said: str) -> None:
    home.config.write_text(FAST)
    live = LiveSettings(home, on_change=changes.append)
    if written is None:
        home.config.unlink()
    else:
        home.config.write_text(written)
    for _ in range(3):
        assert list(live().agents) == ["fast"]
    [change] = changes
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(change.problem)
    assert live.problem == change.problem
    home.config.write_text("episodes = 3\n")
    assert (live().agents, live().episodes, live.problem) == ({}, 3, None)


def test_what_is_just_being_written_is_left_for_a_moment(
    home: Home, changes: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_settings, "SETTLED_MS", 600_000)
    home.config.write_text(FAST)
    live = LiveSettings(home)
    home.config.write_text("")
    assert list(live().agents) == ["fast"]
    monkeypatch.setattr(live_settings, "SETTLED_MS", 0)
    assert live().agents == {}


def test_some_settings_hold_until_a_restart(home: Home, changes: list[Change]) -> None:
    live = LiveSettings(home, on_change=changes.append, port=0)
    home.config.write_text(
        'db = "other.db"\nport = 99\nvault = "elsewhere"\nlease_seconds = 7\ntasks_folder = "x"\n'
        '[dispatch]\nexecutor = "local"\nlimit = 4\n'
    )
    now = live()
    assert (now.db, now.port, now.vault, now.tasks_folder, now.dispatch.executor) == (
        None,
        0,
        "vault",
        "010-tasks",
        None,
    )
    assert (now.lease_seconds, now.dispatch.limit) == (7, 4)
    assert changes == [
        Change(["lease_seconds", "dispatch.limit"], ["db", "vault", "tasks_folder", "dispatch.executor"]),
    ]
    assert set(setting_descriptions()) >= AT_START


def test_what_goes_before_the_file_stays_before_it(
    home: Home, changes: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_EPISODES", "9")
    live = LiveSettings(home, on_change=changes.append)
    home.config.write_text("episodes = 2\n")
    assert live().episodes == 9
    assert changes == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["episodes"], 1),
        (["agents", "fast", "kind"], 4),
        (["agents", "fast", "env"], 5),
        (["agents", "a b", "kind"], 8),
        (["agents", "fast", "nothing"], 3),
        (["kubernetes", "image"], 2),
        (["workflows"], None),
        (["nothing"], None),
    ],
)
def test_line_of_a_mistake_is_found(path: list[str], line: int | None) -> None:
    text = (
        'episodes = 3\nkubernetes = {image = "x"}\n[agents.fast]\nkind = "codex"\nenv.A = "# kind = 3"\n\n'
        '[ agents . "a b" ]\n  "kind" = """\nworkflows = 3\n"""\n'
    )
    assert line_of(text, path) == line


def test_repository_is_named_without_the_password_of_its_address(home: Home) -> None:
    home.config.write_text('[repositories."https://u:hunter2@host/pond"]\npushh = true\n')
    with pytest.raises(Exception, match="pushh") as caught:
        home.settings()
    assert "hunter2" not in str(caught.value)


Serve = Callable[[], Server]


@pytest.fixture
def serve(home: Home) -> Iterator[Serve]:
    started: list[Server] = []

    def serve() -> Server:
        started.append(Server(home.folder))
        return started[-1]

    yield serve
    for server in started:
        if server.process.poll() is None:
            server.kill()


def test_server_takes_up_an_edited_overlay(home: Home, serve: Serve) -> None:
    overlay = '[workflows.careful]\ninstructions = "{}"\n'
    home.config.write_text(overlay.format("Change one thing."))
    server = serve()
    with connect(server.url, actor="ana") as ledger:
        ledger.tasks.create(title="x", workflow="careful")
        assert "Change one thing." in ledger.tasks.prompt(1).system
        home.config.write_text("port = 1\n" + overlay.format("Change nothing.") + FAST)
        wait_until(lambda: "Change nothing." in ledger.tasks.prompt(1, agent="fast").system)
        assert ledger.tasks.prompt(1, agent="fast").warnings == []
    wait_until(lambda: any("taken up" in line for line in server.log))
    assert server.stop() == 0
    log = "".join(server.log)
    assert 'changed="agents.fast, workflows.careful" event="settings taken up"' in log
    assert "restart only" not in log, "the port was given on the command line"


def test_server_names_what_waits_for_a_restart(home: Home, serve: Serve) -> None:
    server = serve()
    wait_until(lambda: loops(server))
    home.config.write_text('vault = "elsewhere"\n')
    wait_until(lambda: any("restart only" in line for line in server.log))
    assert server.stop() == 0
    assert "changed=vault" in "".join(server.log)


def test_server_goes_on_with_a_broken_file_and_says_so_once(home: Home, serve: Serve) -> None:
    home.config.write_text(FAST)
    server = serve()
    told = r"shoal.toml, line 4: [agents.fast] knid: there is no such field; did you mean kind?"
    with connect(server.url, actor="ana") as ledger:
        ledger.tasks.create(title="x")

        def events() -> list[Any]:
            return [event.data for event in ledger.events.list(after=0, kind="settings.refused", limit=10)]

        for _ in range(2):  # saved twice, with the same mistake
            home.config.write_text(f'{FAST}knid = "x"\n')
            [event] = wait_until(events)
            ticks = loops(server)["settings"]["ticks"]
            wait_until(lambda ticks=ticks: loops(server)["settings"]["ticks"] > ticks + 1)
        assert event["line"] == 4
        assert told in event["reason"]
        assert events() == [event]
        assert ledger.tasks.prompt(1, agent="fast").warnings == []
    doctor = subprocess.run(
        [*SHOAL, "--home", str(home), "doctor"], capture_output=True, text=True, check=False, env=environment()
    )
    assert doctor.returncode == 6
    assert told in doctor.stdout
    assert "keeps the settings from before" in doctor.stdout
    assert server.stop() == 0
    [line] = [line for line in server.log if "settings refused" in line]
    assert told in line.replace('\\"', '"')


def loops(server: Server) -> dict[str, Any]:
    import json
    import urllib.request

    with urllib.request.urlopen(f"{server.url}/health") as answer:
        found: dict[str, Any] = json.load(answer)["loops"]
    return found


def test_loop_hears_of_a_shorter_time_between_its_ticks(home: Home, serve: Serve) -> None:
    server = serve()
    home.config.write_text("backup_seconds = 1\n")
    wait_until(lambda: list(home.backups.glob("*.db")))
    assert loops(server)["backup"]["every_seconds"] == 1


@pytest.mark.parametrize("verb", ["work", "dispatch"])
def test_next_task_is_worked_on_as_the_settings_are_then(home: Home, tmp_path: Path, verb: str) -> None:
    pond = tmp_path / "pond"
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", "pond")
    git(pond, "commit", "--quiet", "--allow-empty", "--message", "Begin")

    def configure(says: str) -> None:
        home.config.write_text(
            f'[agents.it]\nkind = "command"\nprogram = ["sh", "-c", "echo {says}; cat set-up"]\n'
            f'[repositories.pond]\nurl = "{pond}"\nsetup = ["echo set up for {says} >set-up"]\n'
            f'[workflows.careful]\ninstructions = "be {says}"\n'
        )

    configure("one")
    options = ["--poll", "0.1", *(["--executor", "local"] if verb == "dispatch" else [])]
    errors = tmp_path / "errors"
    with connect(home=home.folder, actor="ana") as ledger, errors.open("w") as stream:
        worker = subprocess.Popen([*SHOAL, "--home", str(home), verb, *options], stderr=stream, env=environment())
        try:
            ledger.tasks.create(title="x", type="other", repos=["pond"])
            wait_until(lambda: ledger.tasks.get(1).status == "completed")
            configure("two")
            wait_until(lambda: is_settled(home))
            ledger.tasks.create(title="y", type="other", repos=["pond"], workflow="careful")
            wait_until(lambda: ledger.tasks.get(2).status == "completed")
            home.config.write_text("[agents")
            wait_until(lambda: is_settled(home))
            ledger.tasks.create(title="z", type="other", repos=["pond"], workflow="careful")
            wait_until(lambda: "settings refused" in errors.read_text())
            if verb == "dispatch":
                # Each attempt reads the file for itself: none is begun until it is mended.
                assert ledger.tasks.get(3).attempt == 0
                configure("three")
            wait_until(lambda: ledger.tasks.get(3).status == "completed")
        finally:
            worker.terminate()
            worker.wait(30)
        said = ["one", "two", "two" if verb == "work" else "three"]
        told = [str(ledger.tasks.get(number).summary).splitlines()[1:] for number in (1, 2, 3)]
        assert told == [[one, f"set up for {one}"] for one in said]


def is_settled(home: Home) -> bool:
    """Whether the file has been as it is for so long that it counts."""
    return LiveSettings._is_settled((0, home.config.stat().st_ctime_ns, 0, 0))


def test_settings_can_be_read_without_a_file(tmp_path: Path) -> None:
    assert LiveSettings(Home(tmp_path / "none"))() == Settings()
