"""`shoal run-attempt`: one claimed attempt, carried out and reported; and the executor that runs it as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from shoal import Ledger, connect
from shoal.model.task import Claim
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment
from tests.worker.test_worker import assert_gone

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "home")
    yield server
    server.kill()


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    with connect(server.url, actor="ana") as ledger:
        yield ledger


@pytest.fixture
def start(tmp_path: Path, server: Server) -> Iterator[Run]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, under: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*under, *SHOAL, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(SHOAL_URL=server.url, SHOAL_HOME=str(tmp_path / "pod"), **variables),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


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
