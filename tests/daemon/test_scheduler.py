"""A server's clock and what it runs: programs with their time, their end, their output and their log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shoal import Ledger, connect
from shoal.adapters.processes import log_file
from shoal.clock import SystemClock
from shoal.daemon import built_ins, scheduler
from shoal.daemon.job_runner import JobRunner
from shoal.daemon.loop import Loop
from shoal.daemon.scheduler import Scheduler
from shoal.errors import BadInput
from shoal.ledger.connect import open_ledger
from shoal.model.built_in import OPTIONS
from shoal.model.job import Run
from shoal.services import runs
from shoal.settings import ChannelSettings, Home, Settings
from tests.conftest import wait_until
from tests.fleet import Server


class Clockwork:
    """A server without HTTP."""

    def __init__(self, address: str, folder: Path, **settings: Any) -> None:
        self.ledger: Ledger = open_ledger(
            address, settings=Settings(**settings), actor="ana", create=True, clock=SystemClock()
        )
        self.home = Home(folder)
        folder.mkdir(exist_ok=True)
        engine: Any = self.ledger.engine
        self.runner = JobRunner(engine, self.home)
        clock = Scheduler(engine, self.runner)
        self.loops = [
            Loop("scheduler", 1.0, clock.tick, clock.wait),
            Loop("runs", 0.2, self.runner.beat),
        ]
        self.is_stopped = False
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        if self.is_stopped:
            return
        self.is_stopped = True
        for loop in self.loops:
            loop.stop()
        self.runner.stop(20)
        for loop in self.loops:
            loop.join(20)
        self.ledger.close()


@pytest.fixture
def start(address: str, tmp_path: Path) -> Iterator[Callable[..., Clockwork]]:
    started: list[Clockwork] = []

    def start(**settings: Any) -> Clockwork:
        started.append(Clockwork(address, tmp_path / "home", **settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def server(start: Callable[..., Clockwork]) -> Clockwork:
    return start()


def sh(text: str) -> dict[str, Any]:
    return {"kind": "program", "command": ["/bin/sh", "-c", text]}


def ended(ledger: Ledger, run: Run) -> Run:
    def look() -> Run | None:
        found = ledger.runs.get(run.id)
        return None if found.status in {"waiting", "running"} else found

    return wait_until(look)  # type: ignore[no-any-return]


def run(server: Clockwork, action: Any, **given: Any) -> Run:
    server.ledger.jobs.create(name="sweep", schedule="@yearly", action=action, **given)
    return ended(server.ledger, server.ledger.jobs.trigger("sweep"))


def file_of(path: Path) -> str:
    return wait_until(lambda: path.exists() and path.read_text())  # type: ignore[no-any-return]


def test_job_fires_by_itself_and_its_output_is_kept(server: Clockwork) -> None:
    server.ledger.jobs.create(name="sweep", schedule="every 1s", action=sh("echo out; echo err >&2"))
    [first, *_] = wait_until(lambda: server.ledger.runs.list(job="sweep", status="success"))
    found = server.ledger.runs.get(first.id)
    assert (found.output, found.exit_code, found.cause) == ("out\nerr", 0, "schedule")
    assert Path(str(found.log)) == server.home.logs / "jobs" / "sweep" / f"{found.id}.log"
    assert Path(str(found.log)).read_text() == "out\nerr\n"


def test_program_knows_its_run_and_none_of_the_servers_secrets(
    server: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_GITHUB_TOKEN", "secret")
    monkeypatch.setenv("SHOAL_ADMIN_TOKEN", "secret")
    names = "SHOAL_JOB SHOAL_RUN SHOAL_SLOT SHOAL_HOME SHOAL_GITHUB_TOKEN SHOAL_ADMIN_TOKEN OWN"
    found = run(server, sh(f'for n in {names}; do eval "echo $n=\\$$n"; done'), environment={"OWN": "x"})
    assert str(found.output).splitlines() == [
        "SHOAL_JOB=sweep",
        f"SHOAL_RUN={found.run_id}",
        f"SHOAL_SLOT={found.slot}",
        f"SHOAL_HOME={server.home}",
        "SHOAL_GITHUB_TOKEN=",
        "SHOAL_ADMIN_TOKEN=",
        "OWN=x",
    ]


@pytest.mark.parametrize(
    ("name", "text"), [("a.py", "print('ran')"), ("a.sh", "echo ran"), ("./a", "#!/bin/sh\necho ran")]
)
def test_scripts_are_run_by_what_their_names_say(server: Clockwork, name: str, text: str) -> None:
    folder = server.home.folder / "scripts"
    folder.mkdir()
    (folder / name).write_text(text)
    if name == "./a":
        (folder / name).chmod(0o755)
    found = run(server, {"kind": "program", "command": [name]}, folder="scripts")
    assert (found.status, found.output) == ("success", "ran")


def test_failure_is_told_with_its_exit_code_and_tried_again(server: Clockwork) -> None:
    found = run(server, sh("echo no; exit 3"), max_attempts=2, backoff_seconds=1)
    assert (found.status, found.exit_code, found.reason) == ("failed", 3, "ended with 3")
    again = wait_until(lambda: [one for one in server.ledger.jobs.runs("sweep") if one.attempt == 2])[0]
    assert ended(server.ledger, again).status == "failed"
    assert len(server.ledger.jobs.runs("sweep")) == 2


def test_run_in_a_folder_that_is_not_there_ends_in_error(server: Clockwork) -> None:
    found = run(server, sh("true"), folder="nowhere")
    assert (found.status, found.exit_code) == ("error", None)
    assert "nowhere" in str(found.reason)


def test_timeout_ends_the_whole_group(server: Clockwork) -> None:
    pid = server.home.folder / "pid"
    found = run(
        server, sh(f"sleep 1000 & echo $! > {pid}; trap '' TERM; echo begun; wait; sleep 1000"), timeout_seconds=1
    )
    assert (found.status, found.reason, found.output) == ("timeout", "stopped after 1 s", "begun")
    wait_until(lambda: not psutil.pid_exists(int(pid.read_text())))


def test_cancelled_run_ends_with_its_group(server: Clockwork) -> None:
    pid = server.home.folder / "pid"
    server.ledger.jobs.create(name="sweep", schedule="@yearly", action=sh(f"sleep 1000 & echo $! > {pid}; wait"))
    begun = server.ledger.jobs.trigger("sweep")
    child = int(file_of(pid))
    server.ledger.runs.cancel(begun.id)
    found = ended(server.ledger, begun)
    assert (found.status, found.cancelled_by) == ("cancelled", "ana")
    wait_until(lambda: not psutil.pid_exists(child))


def test_output_so_far_is_in_the_ledger_while_it_runs(server: Clockwork) -> None:
    server.ledger.jobs.create(name="sweep", schedule="@yearly", action=sh("echo so far; sleep 1000"))
    begun = server.ledger.jobs.trigger("sweep")
    wait_until(lambda: server.ledger.runs.get(begun.id).output == "so far")
    assert server.ledger.runs.get(begun.id).status == "running"


def test_log_is_rotated_and_the_last_lines_are_kept(server: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "LOG_BYTES", 100_000)
    monkeypatch.setattr(log_file, "LOGS_KEPT", 2)
    found = run(server, sh("i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done"))
    lines = str(found.output).splitlines()
    assert (len(lines), lines[-1]) == (200, "line 39999")
    log = Path(str(found.log))
    assert sorted(path.name for path in log.parent.iterdir()) == [f"{found.id}.log{end}" for end in ("", ".1", ".2")]
    whole = "".join(Path(f"{log}{end}").read_text() for end in (".2", ".1", ""))
    assert whole.endswith("line 39999\n")
    assert all(path.stat().st_size <= 100_000 for path in log.parent.iterdir())


def test_built_in_is_run_and_an_unknown_one_names_those_there_are(
    server: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: built_ins.Context) -> str:
        raise BadInput("not like this")

    def wait(context: built_ins.Context) -> str:
        context.stopping.wait(60)
        return "ended"

    known = {"greet": lambda context: f"hello {context.options['who']}", "refuse": refuse, "wait": wait}
    monkeypatch.setattr("shoal.daemon.job_runner.BUILT_INS", known)
    for name in (*known, "dance"):
        monkeypatch.setitem(OPTIONS, name, dict)
    jobs = server.ledger.jobs
    expected = {
        "greet": ("success", None),
        "refuse": ("failed", "not like this"),
        "wait": ("timeout", "stopped after 1 s"),
        "dance": ("error", "there is no built-in 'dance'; there are: greet, refuse, wait"),
    }
    for name, told in expected.items():
        action = {"kind": "built_in", "name": name, "options": {"who": "ana"}}
        jobs.create(name=name, schedule="@yearly", action=action, timeout_seconds=1)
        found = ended(server.ledger, jobs.trigger(name))
        assert (found.status, found.reason) == told
    assert server.ledger.runs.get(jobs.runs("greet")[0].id).output == "hello ana"


def test_only_so_many_run_at_once_and_the_next_begins_at_once(start: Callable[..., Clockwork]) -> None:
    server = start(jobs_at_once=2)
    jobs = server.ledger.jobs
    jobs.create(name="sweep", schedule="@yearly", action=sh("sleep 0.3"), overlap="allow")
    made = [jobs.trigger("sweep") for _ in range(6)]
    spans = [(one.started_at, one.finished_at) for one in (ended(server.ledger, one) for one in made)]
    for begun, _ in spans:
        assert sum(first <= begun < last for first, last in spans) <= 2  # type: ignore[operator]


def test_program_gets_no_url_of_a_channel(start: Callable[..., Clockwork], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", "json://geheim")
    server = start(channels={"team": ChannelSettings(url_variable="TEAM_URL")})
    assert run(server, sh('echo "${TEAM_URL-none}"')).output == "none"


def test_replaced_run_ends_before_the_next_begins(server: Clockwork) -> None:
    jobs = server.ledger.jobs
    pid = server.home.folder / "pid"
    jobs.create(name="sweep", schedule="@yearly", action=sh(f"echo $$ > {pid}; sleep 1000"), overlap="replace")
    first = jobs.trigger("sweep")
    file_of(pid)
    second = jobs.trigger("sweep")
    assert ended(server.ledger, first).reason == "replaced by a later slot"
    wait_until(lambda: server.ledger.runs.get(second.id).status == "running")
    old, new = server.ledger.runs.get(first.id), server.ledger.runs.get(second.id)
    assert old.finished_at is not None
    assert new.started_at is not None
    assert old.finished_at <= new.started_at


def test_server_that_stops_ends_its_runs_and_they_are_tried_again(start: Callable[..., Clockwork]) -> None:
    server = start()
    pid = server.home.folder / "pid"
    server.ledger.jobs.create(
        name="sweep", schedule="@yearly", action=sh(f"echo $$ > {pid}; sleep 1000"), max_attempts=2, backoff_seconds=1
    )
    begun = server.ledger.jobs.trigger("sweep")
    child = int(file_of(pid))
    server.stop()
    assert not psutil.pid_exists(child)
    later = start()
    found = later.ledger.runs.get(begun.id)
    assert (found.status, found.reason) == ("error", "the server stopped")
    wait_until(lambda: [one for one in later.ledger.runs.list(status="running") if one.attempt == 2])


@pytest.mark.parametrize("lease", ["2", "3000"])
def test_killed_server_leaves_no_orphan_and_its_run_is_tried_again(tmp_path: Path, lease: str) -> None:
    settings = {"SHOAL_RUN_LEASE_SECONDS": lease, "SHOAL_VAULT": ""}
    server = Server(tmp_path / "home", **settings)
    pid = tmp_path / "pid"
    with connect(server.url, actor="ana") as ledger:
        ledger.jobs.create(
            name="sweep",
            schedule="@yearly",
            action=sh(f"echo $$ >> {pid}; sleep 1000"),
            max_attempts=2,
            backoff_seconds=1,
        )
        begun = ledger.jobs.trigger("sweep")
        file_of(pid)
        assert ledger.runs.get(begun.id).status == "running"
    server.kill()
    child = int(pid.read_text().split()[0])
    wait_until(lambda: not psutil.pid_exists(child))
    server = Server(tmp_path / "home", **settings)
    try:
        with connect(server.url, actor="ana") as ledger:
            found = ended(ledger, begun)
            assert (found.status, found.reason) == ("error", "its server is gone")
            again = wait_until(lambda: ledger.runs.list(status="running"))[0]
            assert (again.attempt, again.slot) == (2, begun.slot)
            wait_until(lambda: len(pid.read_text().split()) == 2)
    finally:
        assert server.stop() == 0
    assert not psutil.pid_exists(int(pid.read_text().split()[1]))


def test_silence_is_measured_anew_after_the_watcher_was_away_itself(
    open_at: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_at(run_lease_seconds=30)
    engine: Any = ledger.engine
    ledger.jobs.create(name="sweep", schedule="@yearly", action=sh("true"))
    begun = ledger.jobs.trigger("sweep")
    assert engine.write(lambda tx: runs.claim(tx, server="elsewhere", limit=1, logs="/logs"))
    watcher = Scheduler(engine, JobRunner(engine, Home(tmp_path)))
    now = [1000.0]
    monkeypatch.setattr(scheduler, "monotonic_seconds", lambda: now[0])

    def statuses(*waits: float) -> list[str]:
        told = []
        for wait in waits:
            now[0] += wait
            watcher.tick()
            told.append(ledger.runs.get(begun.id).status.value)
        return told

    assert statuses(0, 5, 5, 5) == ["running"] * 4
    assert statuses(100) == ["running"], "the other one may have beaten meanwhile, where nobody could see it"
    assert statuses(*[5] * 6) == ["running"] * 6
    assert statuses(5) == ["error"]
