"""`shoal work` with real commands: ends well and badly, in time, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from shoal import Ledger, connect
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment
from tests.vaults import git
from tests.worker.places import Remote


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with connect(tmp_path / "home" / "ledger.db", actor="ana") as ledger:
        (tmp_path / "home" / "shoal.toml").touch()
        yield ledger


Work = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    started: list[subprocess.Popen[str]] = []

    def work(*command: str, options: tuple[str, ...] = (), **settings: str) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [*SHOAL, "--home", str(tmp_path / "home"), "work", "--poll", "0.05", *options, "--", *command],
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(**settings),
        )
        started.append(worker)
        return worker

    yield work
    for worker in started:
        worker.kill()
        worker.communicate()


def finish(worker: subprocess.Popen[str], seconds: float = 30) -> str:
    _, errors = worker.communicate(timeout=seconds)
    assert worker.returncode == 0, errors
    return errors


ONCE = ("--until-empty",)


def test_command_gets_no_url_of_a_channel(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    (tmp_path / "home" / "shoal.toml").write_text('[channels.team]\nurl_variable = "TEAM_URL"\n')
    ledger.tasks.create(title="a", max_attempts=1)
    finish(work("sh", "-c", 'test -z "$TEAM_URL" && test "$OTHER" = mine', options=ONCE, TEAM_URL="x", OTHER="mine"))
    assert ledger.tasks.get(1).status == "completed"


def test_command_gets_the_task_and_its_output_is_kept(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    ledger.tasks.create(title="Größe", labels=["a", "b"], success_criteria=[{"criterion": "c", "measurable": "true"}])
    script = (
        "import json, os, sys; claim = json.load(sys.stdin); "
        "print(claim['task']['title'], claim['attempt'], os.environ['SHOAL_TASK_ID'], "
        "os.environ['SHOAL_TASK_LABELS'], len(claim['key']))"
    )
    finish(work(sys.executable, "-c", script, options=ONCE, PYTHONIOENCODING="utf-8"))

    task = ledger.tasks.get(1)
    assert (task.status, task.summary) == ("completed", "Größe 1 T1 a b 40")
    assert Path(task.result["log"]).read_text() == "Größe 1 T1 a b 40\n$ /bin/sh -c true\n"


def test_agent_gets_no_token_of_shoals_and_no_repository_around_the_home(
    ledger: Ledger, work: Work, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "home" / "shoal.toml").write_text(
        '[agents.it]\nkind = "command"\nprogram = ["sh", "-c", "env; git rev-parse --show-toplevel || true"]\n'
        'env = { ASKED_FOR = "$SHOAL_VAULT_TOKEN", OWN = "mine" }\n'
    )
    criteria = [{"criterion": "the same environment", "measurable": 'test "$OWN" = mine && test -d "$SHOAL_WORKSPACE"'}]
    ledger.tasks.create(title="x", success_criteria=criteria)
    finish(work(options=ONCE, SHOAL_GITHUB_TOKEN="for-shoal", SHOAL_VAULT_TOKEN="for-the-vault"))

    task = ledger.tasks.get(1)
    assert task.status == "completed", task.last_error
    said = Path(task.result["log"]).read_text()
    assert "for-shoal" not in said
    assert "ASKED_FOR=for-the-vault" in said
    assert "SHOAL_VAULT_TOKEN" not in said
    assert "not a git repository" in said


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        ("printf '{' > FILE", "it is not JSON"),
        ("head -c 80000 /dev/zero > FILE", "80,000 bytes, and 49,152 are taken"),
        ("python3 -c 'print([1e15] * 9000)' | sed 's/0000000000000.0/e13/g' > FILE", "are taken"),
        ('python3 -c \'print(64 * "[" + 64 * "]")\' > FILE', "nested more than 63 levels"),
        ('printf \'{"a": "\\\\u0000"}\' > FILE', "it holds a NUL"),
        ("mkfifo FILE", "not a regular file"),
        ("mkdir FILE", "not a regular file"),
        ("ln -s /dev/zero FILE", "it is a link"),
    ],
)
def test_result_that_cannot_be_taken_is_told_to_the_agent(
    ledger: Ledger, work: Work, tmp_path: Path, write: str, reason: str
) -> None:
    (tmp_path / "agent.sh").write_text(
        "if grep -q '^[$]SHOAL_RESULT_FILE' $SHOAL_PROMPT_FILE; then\n"
        f"grep -o '{reason}' $SHOAL_PROMPT_FILE; rm -rf $SHOAL_RESULT_FILE\n"
        """echo '{"fine": true}' > $SHOAL_RESULT_FILE\n"""
        f"else {write.replace('FILE', '$SHOAL_RESULT_FILE')}; fi\n"
    )
    ledger.tasks.create(title="x", success_criteria=[{"criterion": "c", "measurable": "result.fine == true"}])
    finish(work("sh", str(tmp_path / "agent.sh"), options=ONCE))
    task = ledger.tasks.get(1)
    assert task.status == "completed", task.last_error
    assert task.result["fine"] is True
    assert task.summary == reason, "the second episode was told what was wrong"


def test_idle_worker_is_woken_by_a_new_task(ledger: Ledger, work: Work) -> None:
    worker = work("true", options=("--poll", "60"))
    for number in range(3):
        task = ledger.tasks.create(title=f"t{number}")
        wait_until(lambda task=task: ledger.tasks.get(task.id).status == "completed", seconds=15)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0, "an idle worker stops at once"


def test_exit_codes_decide(ledger: Ledger, work: Work) -> None:
    ledger.tasks.create(title="exit 0")
    ledger.tasks.create(title="exit 3", max_attempts=1)
    ledger.tasks.create(title="exit 75")
    worker = work("sh", "-c", "echo out; echo err >&2; $SHOAL_TASK_TITLE")
    wait_until(lambda: ledger.tasks.get(3).releases)
    wait_until(lambda: ledger.tasks.get(2).status == "failed")
    worker.send_signal(signal.SIGTERM)
    finish(worker)

    assert ledger.tasks.get(1).status == "completed"
    assert ledger.tasks.get(2).last_error == "exit 3\nout\nerr"
    later = ledger.tasks.get(3)
    assert (later.status, later.failures, later.releases) == ("scheduled", 0, 1)


def test_command_that_cannot_start_is_refused_at_once(ledger: Ledger, work: Work) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    worker = work("/no/such/program", options=ONCE)
    _, errors = worker.communicate(timeout=30)
    assert worker.returncode == 1
    assert "/no/such/program is not found" in errors
    assert ledger.tasks.get(1).attempt == 0


def test_long_error_keeps_its_beginning_and_its_end(ledger: Ledger, work: Work) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    finish(work("sh", "-c", "yes aaaaaaaa | head -c 9000; echo the end; exit 3", options=ONCE))
    error = ledger.tasks.get(1).last_error
    assert error.startswith("exit 3\naaa")
    assert error.endswith("the end")
    assert len(error) <= 4000


def test_timeout_ends_the_whole_group(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    ledger.tasks.create(title="x", max_attempts=1, timeout_seconds=1)
    pids = tmp_path / "pids"
    # The child ignores TERM, and so does its own child: only KILL of the group ends them.
    finish(
        work(
            "sh",
            "-c",
            f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >> {pids}; sleep 60' & echo $$ >> {pids}; wait; sleep 60",
            options=(*ONCE, "--grace", "0.2"),
        )
    )
    assert ledger.tasks.get(1).last_error.startswith("timed out after 1 s")
    assert_gone(pids)


def test_cancel_reaches_the_command(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    ledger.tasks.create(title="x")
    pids = tmp_path / "pids"
    worker = work("sh", "-c", f"echo $$ > {pids}; sleep 60", options=(*ONCE, "--lease", "2", "--grace", "0.2"))
    wait_until(lambda: pids.exists() and pids.read_text())
    ledger.tasks.cancel(1)
    finish(worker)
    assert ledger.tasks.get(1).status == "cancelled"
    assert_gone(pids)


def test_stopped_worker_gives_back_what_does_not_end_in_time(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    ledger.tasks.create(title="1", max_attempts=1)
    ledger.tasks.create(title="60", max_attempts=1)
    ledger.tasks.create(title="never begun")
    worker = work("sh", "-c", 'sleep "$SHOAL_TASK_TITLE"', options=("-n", "2", "--grace", "2"))
    wait_until(lambda: ledger.stats.get().counts["active"] == 2)
    wait_until(lambda: all(ledger.tasks.get(id).started_at for id in (1, 2)))
    worker.send_signal(signal.SIGTERM)
    finish(worker)
    assert ledger.tasks.get(1).status == "completed"
    assert (ledger.tasks.get(2).status, ledger.tasks.get(2).failures) == ("queued", 0)
    assert ledger.tasks.get(3).attempt == 0


def test_worker_that_is_stopped_while_it_clones_gives_the_task_back(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    (tmp_path / "home" / "shoal.toml").write_text('[repositories."acme/pond"]\nurl = "ssh://h.invalid/x"\n')
    started = tmp_path / "started"
    ledger.tasks.create(title="1", repos=["acme/pond"], max_attempts=1)
    worker = work("true", GIT_SSH_COMMAND=f"touch {started}; sleep 1000 #")
    wait_until(started.exists, seconds=20)
    worker.send_signal(signal.SIGTERM)
    finish(worker)
    task = ledger.tasks.get(1)
    assert (task.status, task.failures, task.releases) == ("queued", 0, 1), task.last_error


def test_second_signal_ends_at_once(ledger: Ledger, work: Work) -> None:
    ledger.tasks.create(title="x")
    worker = work("sleep", "60", options=("--grace", "50"))
    wait_until(lambda: ledger.tasks.get(1).started_at)
    # Many at once: a handler is interrupted by the next signal's.
    for _ in range(100):
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
    finish(worker)
    assert ledger.tasks.get(1).status == "queued"


def test_killed_worker_leaves_no_process_and_its_task_is_done_by_another(
    ledger: Ledger, work: Work, tmp_path: Path
) -> None:
    ledger.tasks.create(title="x")
    pids = tmp_path / "pids"
    victim = work("sh", "-c", f"echo $$ > {pids}; sleep 60", options=("--lease", "1"))
    wait_until(lambda: pids.exists() and pids.read_text())
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert_gone(pids)

    finish(work("true", options=ONCE))
    task = ledger.tasks.get(1)
    assert (task.status, task.attempt, task.failures) == ("completed", 2, 1)


def test_work_that_a_killed_attempt_pushed_is_gone_on_with_on_another_machine(
    ledger: Ledger, work: Work, tmp_path: Path
) -> None:
    remote = Remote(tmp_path)
    remote.commit({"other.txt": "of another ledger's T1\n"}, branch="shoal/T1-x")
    ledger.tasks.create(title="x", type="docs", repos=[str(remote.path)])
    pushed = tmp_path / "pushed"
    commit = (
        "echo a >a.txt && git add a.txt && git -c user.name=a -c user.email=a@b commit -qm A && git push -q origin HEAD"
    )
    victim = work("sh", "-c", f"{commit} && touch {pushed} && sleep 60", options=("--lease", "1"))
    wait_until(pushed.exists)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    # Another machine is another home: it knows the ledger and the remote.
    database = tmp_path / "home" / "ledger.db"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "shoal.toml").write_text(f'db = "{database}"\n')
    command = [
        "--home",
        str(tmp_path / "other"),
        "work",
        "--until-empty",
        "--poll",
        "0.05",
        "--",
        "test",
        "-e",
        "a.txt",
    ]
    subprocess.run([*SHOAL, *command], check=True, capture_output=True, env=environment())
    task = ledger.tasks.get(1)
    assert (task.status, task.attempt) == ("completed", 2), task.last_error


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to one of their forebears")
def test_what_left_the_group_ends_with_it(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    ledger.tasks.create(title="ends by itself")
    ledger.tasks.create(title="is timed out", max_attempts=1, timeout_seconds=1)
    pids = tmp_path / "pids"
    script = f"""env -i setsid sh -c 'trap "" TERM; echo $$ >> {pids}; sleep 60; sleep 60' & """
    wait = f"while ! test -s {pids}; do sleep 0.02; done; test $SHOAL_TASK_NUMBER = 1 || sleep 60"
    finish(work("sh", "-c", script + wait, options=(*ONCE, "--grace", "0.2")))
    assert len(pids.read_text().split()) == 2
    assert_gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to one of their forebears")
def test_killed_worker_leaves_nothing_that_left_the_group(ledger: Ledger, work: Work, tmp_path: Path) -> None:
    ledger.tasks.create(title="x")
    pids = tmp_path / "pids"
    victim = work("sh", "-c", f"env -i setsid sh -c 'echo $$ > {pids}; sleep 60; sleep 60' & sleep 60")
    wait_until(lambda: pids.exists() and pids.read_text())
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert_gone(pids)


def test_worker_that_cannot_renew_stops_its_command_before_the_lease_ends(tmp_path: Path, work: Work) -> None:
    server = Server(tmp_path / "home")
    with connect(server.url, actor="a") as ledger:
        ledger.tasks.create(title="x")
        pids = tmp_path / "pids"
        work(
            "sh", "-c", f"echo $$ > {pids}; sleep 60", options=("--lease", "2", "--grace", "0.1"), SHOAL_URL=server.url
        )
        wait_until(lambda: pids.exists() and pids.read_text())
        server.process.send_signal(signal.SIGSTOP)
        try:
            assert_gone(pids, seconds=4)
        finally:
            server.process.send_signal(signal.SIGCONT)
    server.kill()


def test_outage_nearly_as_long_as_the_lease_costs_no_attempt(tmp_path: Path, work: Work) -> None:
    server = Server(tmp_path / "home")
    port = server.url.rpartition(":")[2]
    with connect(server.url, actor="a") as ledger:
        ledger.tasks.create(title="x", max_attempts=1)
        pids = tmp_path / "pids"
        worker = work(
            *("sh", "-c", f"echo $$ > {pids}; sleep 14"), options=(*ONCE, "--lease", "10"), SHOAL_URL=server.url
        )
        wait_until(lambda: pids.exists() and pids.read_text())
    server.kill()
    threading.Event().wait(4.5)  # starting again takes another second
    again = Server(tmp_path / "home", "--port", port)
    said = finish(worker)
    with connect(again.url, actor="a") as ledger:
        task = ledger.tasks.get(1)
    again.stop()
    assert (task.status, task.attempt) == ("completed", 1), said
    assert said.count("server is away") == said.count("server is back") == 1, said


def test_stopped_worker_says_at_once_what_it_waits_for(ledger: Ledger, work: Work) -> None:
    ledger.tasks.create(title="x")
    worker = work("sleep", "30", options=("--grace", "20"))
    wait_until(lambda: ledger.tasks.get(1).started_at)
    worker.send_signal(signal.SIGINT)
    assert worker.stderr is not None
    said = next(line for line in worker.stderr if line.startswith("stopping"))
    assert said == "stopping: T1 may go on for 20 s; Ctrl-C again ends it now\n"
    assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    finish(worker)


def test_idle_worker_says_once_that_the_server_is_away_and_back(tmp_path: Path, work: Work) -> None:
    server = Server(tmp_path / "home")
    port = server.url.rpartition(":")[2]
    worker = work("true", SHOAL_URL=server.url, SHOAL_UNREACHABLE_SECONDS="1")
    assert worker.stderr is not None
    worker.stderr.readline()
    said: list[str] = []
    reader = threading.Thread(target=said.extend, args=(worker.stderr,))
    reader.start()
    with connect(server.url, actor="a") as ledger:
        ledger.tasks.create(title="x")
        wait_until(lambda: ledger.tasks.get(1).status == "completed")
    server.kill()
    wait_until(lambda: any("server is away" in line for line in said), seconds=5)
    again = Server(tmp_path / "home", "--port", port)
    wait_until(lambda: any("server is back" in line for line in said), seconds=5)
    again.kill()
    wait_until(lambda: len([line for line in said if "server is away" in line]) == 2, seconds=15)
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    reader.join()
    assert [line.split('event="')[1].split('"')[0] for line in said if "server is" in line] == [
        *("the server is away", "the server is back", "the server is away")
    ]
    assert "stopping\n" in said


def test_worker_ends_although_nobody_hears_its_reports(tmp_path: Path, work: Work) -> None:
    server = Server(tmp_path / "home")
    with connect(server.url, actor="a") as ledger:
        ledger.tasks.create(title="x")
        worker = work("sleep", "1", options=("--grace", "0.5"), SHOAL_URL=server.url)
        wait_until(lambda: ledger.tasks.get(1).started_at)
    server.kill()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(40) == 0


def test_worker_carries_on_through_a_restart_of_the_server(tmp_path: Path, work: Work) -> None:
    server = Server(tmp_path / "home")
    port = server.url.rpartition(":")[2]
    with connect(server.url, actor="a") as ledger:
        ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 2} for n in range(30)])
    worker = work("sh", "-c", "sleep 0.05", options=(*ONCE, "-n", "2", "--lease", "20"), SHOAL_URL=server.url)
    with connect(server.url, actor="a") as ledger:
        wait_until(lambda: ledger.stats.get().counts["completed"] >= 5)
    server.kill()
    again = Server(tmp_path / "home", "--port", port)
    # A claim whose answer died with the server comes back when its lease ends.
    finish(worker, seconds=90)
    with connect(again.url, actor="a") as ledger:
        assert ledger.stats.get().counts["completed"] == 30
    again.stop()


def test_worker_that_ends_while_it_sweeps_leaves_no_repository_of_a_probe(
    ledger: Ledger, work: Work, tmp_path: Path
) -> None:
    ledger.tasks.create(title="x")
    mirrors = tmp_path / "home" / "mirrors" / "_"
    git(tmp_path, "init", "--quiet", "--bare", str(mirrors / "pond-1.git"))
    (mirrors / ".probe-killed").mkdir()
    os.utime(mirrors / ".probe-killed", (0, 0))
    (mirrors / ".probe-fresh").mkdir()
    calls = tmp_path / "calls"
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    real = shutil.which("git")
    slow.write_text(f'#!/bin/sh\necho begins >> {calls}\nsleep 0.7\n{real} "$@"\necho ends >> {calls}\n')
    slow.chmod(0o755)
    finish(work("sh", "-c", "sleep 0.3", options=ONCE, PATH=f"{slow.parent}:{os.environ['PATH']}"))
    said = calls.read_text().split()
    assert said.count("begins") == said.count("ends") > 0
    assert {path.name for path in mirrors.iterdir()} <= {"pond-1.git", ".probe-fresh", ".probe-killed"}
    idle = work("true")
    wait_until(lambda: {path.name for path in mirrors.iterdir()} == {"pond-1.git", ".probe-fresh"})
    idle.kill()


def assert_gone(pids: Path, seconds: float = 10) -> None:
    for pid in map(int, pids.read_text().split()):
        wait_until(
            lambda pid=pid: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", seconds=seconds
        )
