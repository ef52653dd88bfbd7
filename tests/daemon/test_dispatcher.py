"""The dispatcher, by the executor that runs attempts as processes beside it. By a cluster: tests/kubernetes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from shoal import Ledger, connect
from shoal.adapters.executors.local import LocalExecutor
from shoal.daemon.dispatcher import Dispatcher
from shoal.errors import AgentError
from shoal.pause import Pause
from shoal.settings import DispatchSettings, Home
from tests.conftest import wait_until
from tests.fleet import Programs, Server, environment
from tests.worker.test_worker import assert_gone

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def ledger(served: Ledger) -> Ledger:
    return served


@pytest.fixture
def start(tmp_path: Path, programs: Programs) -> Run:
    return partial(programs.start, SHOAL_HOME=str(tmp_path / "pod"))


def test_local_executor_runs_tasks_beside_the_dispatcher(ledger: Ledger, start: Run, tmp_path: Path) -> None:
    for number in range(4):
        ledger.tasks.create(title=f"t{number}")
    command = ("sh", "-c", "echo $SHOAL_TASK_ID")
    options = ("--executor", "local", "-n", "2", "--poll", "0.1", "--until-empty")
    process = start("dispatch", *options, "--", *command)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert ledger.stats.get().counts["completed"] == 4
    assert (tmp_path / "pod" / "logs" / "T3.1.log").read_text() == "T3\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_local_attempts_end_with_their_dispatcher_and_are_given_back(
    ledger: Ledger, start: Run, tmp_path: Path, number: signal.Signals
) -> None:
    ledger.tasks.create(title="x")
    pids = tmp_path / "pids"
    process = start("dispatch", "--executor", "local", "--poll", "0.1", "--", "sh", "-c", f"echo $$ > {pids}; sleep 60")
    wait_until(lambda: pids.exists() and pids.read_text())
    attempts = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    process.communicate(timeout=40)
    wait_until(lambda: ledger.tasks.get(1).status == "queued")
    assert ledger.tasks.get(1).failures == 0
    assert_gone(pids)
    psutil.wait_procs(attempts, timeout=20)
    assert not [one for one in attempts if one.is_running() and one.status() != "zombie"]


NOT_LOGGED_IN = """#!/bin/sh
test -e FOLDER/works && exec sh FOLDER/works
echo '{"type": "result", "subtype": "success", "is_error": true, "result": "Please run /login", "session_id": "s"}'
exit 1
"""
LOGGED_IN = """
echo '{"type": "result", "subtype": "success", "is_error": false, "result": "Done.", "session_id": "s"}'
"""


class Dispatching:
    """A dispatcher in this process, whose attempts are processes with an agent that is not logged in until `log_in`."""

    def __init__(self, folder: Path, ledger: Ledger, check: Callable[[], None] | None = None) -> None:
        self._folder = folder
        home = Home(folder / "home")
        (folder / "claude").write_text(NOT_LOGGED_IN.replace("FOLDER", str(folder)))
        (folder / "claude").chmod(0o755)
        (home.folder / "shoal.toml").write_text(f'[agents.it]\nkind = "claude"\nprogram = ["{folder}/claude"]\n')
        self.executor = LocalExecutor(home=home.folder, logs=home.logs, arguments=lambda: ["--retry-later", "1"])
        self.dispatcher = Dispatcher(
            ledger, self.executor, lambda: DispatchSettings(limit=2), logs=home.logs, check=check, pause=Pause(0.5)
        )

    def log_in(self) -> None:
        (self._folder / "works").write_text(LOGGED_IN)

    def until(self, condition: Callable[[], object]) -> None:
        def ticked() -> object:
            self.dispatcher.tick()
            return condition()

        wait_until(ticked)

    def close(self) -> None:
        self.executor.close()
        self.dispatcher.close()


def test_set_up_at_fault_pauses_the_dispatcher_as_it_does_a_worker(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 1} for n in range(8)])
    dispatching = Dispatching(tmp_path, ledger)
    try:
        dispatching.until(lambda: dispatching.dispatcher.pause.faults == 2)
        given_back = [e for e in ledger.events.list(after=0, limit=1000) if e.kind == "task.released"]
        assert 2 <= len(given_back) <= 4, "two at once, twice, and nothing between"
        assert "Please run /login" in dispatching.dispatcher.pause.reason
        assert "the set-up is at fault, no task's: nothing is claimed" in "".join(capsys.readouterr())
        dispatching.log_in()
        dispatching.until(lambda: ledger.stats.get().counts["completed"] == 8)
        assert dispatching.dispatcher.pause.faults == 0
        assert {task.failures for task in ledger.tasks.list(limit=100)} == {0}
    finally:
        dispatching.close()


def test_nothing_is_claimed_while_the_set_up_is_seen_to_be_at_fault(ledger: Ledger, tmp_path: Path) -> None:
    ledger.tasks.create(title="x")
    missing = tmp_path / "missing"
    missing.touch()

    def check() -> None:
        if missing.exists():
            raise AgentError("claude is not found")

    dispatching = Dispatching(tmp_path, ledger, check)
    dispatching.log_in()
    try:
        dispatching.until(lambda: dispatching.dispatcher.pause.faults == 2)
        assert dispatching.dispatcher.pause.reason == "claude is not found"
        assert ledger.tasks.get(1).attempt == 0
        missing.unlink()
        dispatching.until(lambda: ledger.tasks.get(1).status == "completed")
    finally:
        dispatching.close()


def test_dispatcher_that_is_to_end_when_the_queue_is_empty_gives_up(
    ledger: Ledger, tmp_path: Path, server: Server
) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 1} for n in range(4)])
    Dispatching(tmp_path, ledger).close()
    script = (
        "import sys; from shoal import pause; pause.Pause.__init__.__defaults__ = (0.2,); "
        "from shoal.cli.main import main; sys.argv[0] = 'shoal'; main()"
    )
    home = ("--home", str(tmp_path / "home"))
    options = (*home, "dispatch", "--executor", "local", "-n", "1", "--poll", "0.1", "--until-empty")
    ran = subprocess.run(
        [sys.executable, "-c", script, *options],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(SHOAL_URL=server.url),
        timeout=200,
    )
    assert ran.returncode == 1
    assert "given up after 3 faults of the set-up in a row, the last: " in ran.stderr
    assert "Please run /login" in ran.stderr.splitlines()[-1]
    assert [task.failures for task in ledger.tasks.list(limit=100)] == [0] * 4
    assert ledger.tasks.get(4).attempt == 0


@pytest.fixture
def caught(ledger: Ledger, start: Run, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A dispatcher, and the process of its one attempt, which is stopped before it has begun."""
    ledger.tasks.create(title="x", max_attempts=1)
    dispatcher = start("dispatch", "--executor", "local", "--poll", "0.1", "--", "true")

    def attempts() -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(dispatcher.pid).children()
            return [one for one in children if "run-attempt" in one.cmdline()]
        return []

    attempt = wait_until(attempts)[0]
    attempt.suspend()
    yield dispatcher, attempt
    with contextlib.suppress(psutil.NoSuchProcess):
        attempt.kill()


def test_attempt_that_is_stopped_with_its_dispatcher_before_it_began_is_given_back(
    ledger: Ledger, caught: tuple[subprocess.Popen[str], psutil.Process]
) -> None:
    dispatcher, attempt = caught
    assert ledger.tasks.get(1).status == "active"
    attempt.terminate()
    dispatcher.terminate()
    attempt.resume()
    dispatcher.communicate(timeout=40)
    task = ledger.tasks.get(1)
    assert (task.status, task.failures, task.started_at) == ("queued", 0, None)


def test_attempt_that_is_stopped_alone_before_it_began_is_made_again(
    ledger: Ledger, caught: tuple[subprocess.Popen[str], psutil.Process]
) -> None:
    _, attempt = caught
    attempt.terminate()
    attempt.resume()
    wait_until(lambda: ledger.tasks.get(1).status == "completed")
    assert (ledger.tasks.get(1).attempt, ledger.tasks.get(1).failures) == (2, 0)


def test_server_dispatches_when_it_is_configured(tmp_path: Path) -> None:
    home = tmp_path / "own"
    Server(home).kill()
    (home / "shoal.toml").write_text(
        '[dispatch]\nexecutor = "local"\nlimit = 2\npoll_seconds = 0.1\ncommand = ["sh", "-c", "echo done"]\n'
    )
    server = Server(home)
    with connect(server.url, actor="ana") as ledger:
        for number in range(3):
            ledger.tasks.create(title=f"t{number}")
        wait_until(lambda: ledger.stats.get().counts["completed"] == 3)
        assert ledger.tasks.get(1).summary == "done"
    assert server.stop() == 0
