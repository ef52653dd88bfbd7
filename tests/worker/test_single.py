"""`shoal run-attempt`: one claimed attempt, carried out and reported; and the executor that runs it as a process."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import psutil
import pytest

from shoal import Ledger, connect
from shoal.adapters.executors.local import LocalExecutor
from shoal.daemon.dispatcher import Dispatcher
from shoal.errors import AgentError
from shoal.model.task import Claim
from shoal.pause import Pause
from shoal.settings import DispatchSettings, Home
from shoal.worker.workspaces import Workspaces
from tests.conftest import FakeClock, wait_until
from tests.fleet import Programs, Server, environment
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, on_push, task_of
from tests.worker.test_worker import assert_gone

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def ledger(served: Ledger) -> Ledger:
    return served


@pytest.fixture
def start(tmp_path: Path, programs: Programs) -> Run:
    return partial(programs.start, SHOAL_HOME=str(tmp_path / "pod"))


@pytest.fixture
def attempt(ledger: Ledger, start: Run) -> Run:
    """Create a task, claim it and run its attempt with a command."""

    def attempt(
        *command: str, options: tuple[str, ...] = (), under: tuple[str, ...] = (), **fields: object
    ) -> subprocess.Popen[str]:
        ledger.tasks.create(title="x", **fields)
        (claim,) = ledger.tasks.claim(worker="kubernetes:1", lease_seconds=60).claims
        return again(claim, *command, options=options, under=under)

    def again(
        claim: Claim, *command: str, options: tuple[str, ...] = (), under: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        carried = msgspec.json.encode(claim).decode()
        return start("run-attempt", *options, "--", *command, under=under, SHOAL_CLAIM=carried)

    attempt.again = again  # type: ignore[attr-defined]
    return attempt


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [("true", 0, "completed"), ("exit 3", 1, "failed"), ("exit 75", 75, "scheduled")],
)
def test_exit_code_is_the_outcome(ledger: Ledger, attempt: Run, command: str, code: int, status: str) -> None:
    process = attempt("sh", "-c", command, max_attempts=1)
    process.communicate(timeout=30)
    assert (process.returncode, ledger.tasks.get(1).status) == (code, status)


def test_output_is_echoed_and_the_claim_is_not_passed_on(ledger: Ledger, attempt: Run) -> None:
    process = attempt("sh", "-c", 'echo "$SHOAL_TASK_ID ${SHOAL_CLAIM:-none}"', options=("--echo",))
    out, _ = process.communicate(timeout=30)
    assert out == "T1 none\n"


def test_cancelled_task_ends_it(ledger: Ledger, attempt: Run, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    process = attempt("sh", "-c", f"echo $$ > {pids}; sleep 60", options=("--lease", "2", "--grace", "0.2"))
    wait_until(lambda: pids.exists() and pids.read_text())
    ledger.tasks.cancel(1)
    process.communicate(timeout=30)
    assert process.returncode == 5
    assert_gone(pids)


def test_lease_is_renewed_for_as_long_as_it_takes(ledger: Ledger, attempt: Run) -> None:
    process = attempt("sleep", "4", options=("--lease", "1"))
    process.communicate(timeout=30)
    assert (process.returncode, ledger.tasks.get(1).status) == (0, "completed")


def test_attempt_that_has_begun_is_not_begun_again(ledger: Ledger, attempt: Run, tmp_path: Path) -> None:
    ledger.tasks.create(title="x")
    (claim,) = ledger.tasks.claim(worker="kubernetes:1", lease_seconds=60).claims
    ledger.tasks.start(1, attempt=1)
    process = attempt.again(claim, "touch", str(tmp_path / "ran"))  # type: ignore[attr-defined]
    process.communicate(timeout=30)
    assert process.returncode == 5
    assert not (tmp_path / "ran").exists()
    assert ledger.tasks.get(1).status == "active"


def test_folders_of_old_attempts_go_when_no_worker_lives_in_the_home(
    ledger: Ledger, attempt: Run, tmp_path: Path
) -> None:
    remote, pod = Remote(tmp_path), tmp_path / "pod"
    old = Workspaces(pod, remote.settings(), clock=FakeClock(1)).prepare(task_of(42, repos=[REPOSITORY]), 1)
    (old.folder / "a.py").write_text("x\n")
    old.keep("Kept")
    old.close()
    attempt("true").communicate(timeout=30)
    assert not old.folder.exists()


def test_lost_attempt_does_not_begin(ledger: Ledger, attempt: Run, tmp_path: Path) -> None:
    ledger.tasks.create(title="x")
    (claim,) = ledger.tasks.claim(worker="kubernetes:1", lease_seconds=60).claims
    ledger.tasks.release(1, attempt=1)
    process = attempt.again(claim, "touch", str(tmp_path / "ran"))  # type: ignore[attr-defined]
    process.communicate(timeout=30)
    assert process.returncode == 5
    assert not (tmp_path / "ran").exists()


def test_stopped_attempt_gives_its_task_back(ledger: Ledger, attempt: Run, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    process = attempt("sh", "-c", f"echo $$ > {pids}; sleep 60", options=("--grace", "0.2"))
    wait_until(lambda: pids.exists() and pids.read_text())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert (ledger.tasks.get(1).status, ledger.tasks.get(1).failures) == ("queued", 0)
    assert_gone(pids)


CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.mark.parametrize("init", [(), ("sh", "-c", '"$@"; exit $?', "sh")], ids=["first process", "under an init"])
def test_nothing_of_the_command_is_left_in_its_container(
    ledger: Ledger, attempt: Run, tmp_path: Path, init: tuple[str, ...]
) -> None:
    if sys.platform != "linux" or subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no container can be made here")
    (tmp_path / "look").write_text("cat /proc/[0-9]*/comm | sort | uniq -c > looked; ! grep sleep looked")
    leaves = (
        "cd $1; env -i setsid sh -c 'echo > begun; sleep 1000' & (true & true &); until test -e begun; do true; done"
    )
    process = attempt(
        "sh",
        "-c",
        leaves,
        "sh",
        str(tmp_path),
        under=(*CONTAINER, *init),
        success_criteria=[{"criterion": "it has gone", "measurable": f"cd {tmp_path}; sh look"}],
        max_attempts=1,
    )
    process.communicate(timeout=60)
    assert (process.returncode, ledger.tasks.get(1).status) == (0, "completed"), (tmp_path / "looked").read_text()
    assert "true" not in (tmp_path / "looked").read_text(), "orphans are reaped"


@pytest.mark.parametrize("claim", ["", "nonsense", '{"task": 1}'])
def test_bad_claim_is_refused(start: Run, claim: str) -> None:
    process = start("run-attempt", "--", "true", SHOAL_CLAIM=claim)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "SHOAL_CLAIM" in errors


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


def test_set_up_at_fault_is_in_the_exit_code_and_the_log(ledger: Ledger, start: Run, tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "shoal.toml").write_text('[agents.it]\nkind = "claude"\nprogram = ["nosuchclaude"]\n')
    ledger.tasks.create(title="x", max_attempts=1)
    (claim,) = ledger.tasks.claim(worker="kubernetes:1", lease_seconds=60).claims
    process = start("run-attempt", SHOAL_CLAIM=msgspec.json.encode(claim).decode())
    _, said = process.communicate(timeout=30)
    assert process.returncode == 78
    assert "nosuchclaude is not found" in said
    task = ledger.tasks.get(1)
    assert (task.status, task.failures, task.releases) == ("scheduled", 0, 1)


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


@pytest.mark.parametrize("end", ["stop", "cancel"])
def test_ephemeral_home_is_left_with_everything_pushed(ledger: Ledger, start: Run, tmp_path: Path, end: str) -> None:
    remote = configured(tmp_path)
    pod = tmp_path / "pod"
    on_push(remote, "sleep 1")
    ledger.tasks.create(title="x", repos=[REPOSITORY])
    (claim,) = ledger.tasks.claim(worker="kubernetes:1", lease_seconds=60).claims
    process = start(
        *("run-attempt", "--lease", "2", "--", "sh", "-c", "echo half > done.py; touch ../begun; sleep 60"),
        SHOAL_CLAIM=msgspec.json.encode(claim).decode(),
        SHOAL_EPHEMERAL="true",
    )
    wait_until((pod / "workspaces" / "begun").exists)
    if end == "stop":
        process.send_signal(signal.SIGTERM)
    else:
        ledger.tasks.cancel(1)
    process.communicate(timeout=30)
    assert process.returncode == (75 if end == "stop" else 5)
    assert git(remote.path, "show", "shoal/T1-x:done.py") == "half"


def test_what_an_ephemeral_home_cannot_push_is_in_the_vault_and_the_next_attempt_has_it(
    ledger: Ledger, start: Run, tmp_path: Path
) -> None:
    remote = configured(tmp_path)
    on_push(remote, "echo 'no such user here'; exit 1")
    ledger.tasks.create(title="x", repos=[REPOSITORY])
    command = 'if [ -f done.py ]; then cat done.py; else echo "half a job" > done.py; exit 75; fi'

    def carry_out(**variables: str) -> str:
        (claim,) = ledger.tasks.claim(worker="kubernetes:1", lease_seconds=60).claims
        text = msgspec.json.encode(claim).decode()
        arguments = ("run-attempt", "--retry-later", "0", "--", "sh", "-c", command)
        process = start(*arguments, SHOAL_CLAIM=text, SHOAL_EPHEMERAL="true", **variables)
        _, errors = process.communicate(timeout=30)
        return errors

    assert "was not pushed" in carry_out()
    (event,) = ledger.events.list(task=1, kind="task.rescued")
    assert event.attempt == 1
    assert "pre-receive hook declined" in event.data["reason"]
    assert (tmp_path / "home" / "vault" / event.data["path"]).stat().st_size == event.data["bytes"]

    wait_until(lambda: ledger.tasks.get(1).status == "queued")
    (remote.path / "hooks" / "pre-receive").unlink()
    (tmp_path / "pod").rename(tmp_path / "gone")
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "shoal.toml").write_text((tmp_path / "gone" / "shoal.toml").read_text())
    errors = carry_out()
    task = ledger.tasks.get(1)
    assert (task.status, task.attempt) == ("completed", 2), errors
    assert "half a job" in task.summary
    assert git(remote.path, "show", "shoal/T1-x:done.py") == "half a job"


def configured(folder: Path) -> Remote:
    """A repository, and the settings of a pod that tell of it."""
    remote = Remote(folder)
    (folder / "pod").mkdir()
    (folder / "pod" / "shoal.toml").write_text(f'[repositories."{REPOSITORY}"]\nurl = "{remote.path}"\n')
    return remote
