"""Process groups: what a command is given, what it may take, and how its end is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shoal.adapters.processes import groups as module
from shoal.adapters.processes.groups import NO_LIMITS, Groups, Limits
from tests.conftest import wait_until

ENVIRONMENT = dict(os.environ)


# How it is where orphans go to the first of all processes.
ELSEWHERE = """
import runpy, sys
sys.platform = "darwin"
runpy.run_path({path!r}, run_name="__main__")
"""


@pytest.fixture(params=["here", "elsewhere"])
def groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Groups]:
    if request.param == "elsewhere":
        (tmp_path / "reaper.py").write_text(ELSEWHERE.format(path=str(module.REAPER)))
        monkeypatch.setattr(module, "REAPER", tmp_path / "reaper.py")
    groups = Groups()
    yield groups
    groups.close()


def sh(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def said(groups: Groups, command: list[str], *, limits: Limits = NO_LIMITS) -> str:
    """What a command printed."""
    process = groups.start(
        command,
        stdin=subprocess.DEVNULL,
        output=subprocess.PIPE,
        environment=ENVIRONMENT,
        folder=None,
        limits=limits,
    )
    out, _ = process.communicate()
    groups.end(process, 1)
    return out.decode()


def test_output_is_a_pipe_while_errors_go_to_the_log(groups: Groups, tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log:
        log.write(b"before\n")
        log.flush()
        process = groups.start(
            sh("read line; echo out $line; echo err >&2; echo more >&2"),
            stdin=subprocess.PIPE,
            output=subprocess.PIPE,
            errors=log.fileno(),
            environment=ENVIRONMENT,
            folder=tmp_path,
        )
        out, _ = process.communicate(b"in\n")
        groups.end(process, 1)
    assert out == b"out in\n"
    assert (tmp_path / "log").read_bytes() == b"before\nerr\nmore\n"


def test_pipes_are_the_commands_alone(groups: Groups) -> None:
    process = groups.start(
        sh("exec <&- >&- 2>&-; sleep 1000"),
        stdin=subprocess.PIPE,
        output=subprocess.PIPE,
        environment=ENVIRONMENT,
        folder=None,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    with process.stdin as stdin, process.stdout as stdout:
        assert stdout.read() == b""
        with pytest.raises(BrokenPipeError):
            os.write(stdin.fileno(), b"x")
    assert process.poll() is None
    groups.end(process, 1)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 3", 3), ("kill -TERM $$", -signal.SIGTERM), ("kill -KILL $$", -signal.SIGKILL), ("kill -SEGV $$", -11)],
)
def test_end_of_the_command_is_told_as_it_was(groups: Groups, script: str, code: int) -> None:
    process = groups.start(
        sh(script), stdin=subprocess.DEVNULL, output=subprocess.DEVNULL, environment=ENVIRONMENT, folder=None
    )
    assert process.wait() == code
    groups.end(process, 1)
    assert process.returncode == code


@pytest.mark.parametrize("environment", [{}, {"LC_CTYPE": "C", "A": "Größe"}, {"LANG": "C", "SHOAL_X": "\udcff"}])
def test_command_has_the_environment_it_was_given_and_no_other(groups: Groups, environment: dict[str, str]) -> None:
    plainly = subprocess.run([*sh('exec "$@"'), "sh", "env"], env=environment, capture_output=True, check=True)
    process = groups.start(
        ["env"], stdin=subprocess.DEVNULL, output=subprocess.PIPE, environment=environment, folder=None
    )
    out, _ = process.communicate()
    groups.end(process, 1)
    assert sorted(out.splitlines()) == sorted(plainly.stdout.splitlines())


def test_command_leads_a_session_that_hears_every_signal(groups: Groups) -> None:
    script = "import os; print(os.getpid() == os.getpgrp() == os.getsid(0), os.getpgid(os.getppid()) == os.getpgrp())"
    assert said(groups, [sys.executable, "-c", script]) == "True False\n"
    if sys.platform == "linux":
        assert said(groups, ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]).split()[1::2] == 2 * [16 * "0"]
        assert said(groups, sh("for n in 3 4 5 6 7 8 9; do test ! -e /proc/self/fd/$n || echo $n; done")) == ""


def test_command_that_is_not_there_says_so_in_the_log(groups: Groups, tmp_path: Path) -> None:
    for errors in (True, False):
        with (tmp_path / "log").open("ab") as log:
            process = groups.start(
                ["/no/such/program"],
                stdin=subprocess.DEVNULL,
                output=log,
                errors=log if errors else None,
                environment=ENVIRONMENT,
                folder=None,
            )
            assert process.wait() == 127
            groups.end(process, 1)
    assert (tmp_path / "log").read_text().count("/no/such/program") == 2


def test_memory_of_each_process_is_limited(groups: Groups) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux holds to it")
    limits = Limits(memory_mb=200)
    wants = [sys.executable, "-c", "bytearray(400 * 1024 * 1024); print('had')"]
    assert said(groups, wants) == "had\n"
    assert "MemoryError" in said(groups, wants, limits=limits)
    assert "MemoryError" in said(groups, sh(f'{sys.executable} -c "{wants[2]}"; exit 1'), limits=limits)
    reserves = "import mmap; mmap.mmap(-1, 2**33, prot=mmap.PROT_READ); print('had')"
    reserved = said(groups, [sys.executable, "-c", reserves], limits=limits)
    assert reserved == "had\n", "what is only reserved costs nothing"


def test_open_files_of_each_process_are_limited(groups: Groups) -> None:
    asks = sh("ulimit -Sn; ulimit -Hn")
    assert said(groups, asks, limits=Limits(open_files=64)).split() == ["64", "64"]
    hard = 2**62  # more than the machine allows
    assert said(groups, asks, limits=Limits(open_files=hard)).split(), "it runs with what the machine allows"


@pytest.mark.parametrize("ends_by_itself", [True, False])
def test_all_of_the_group_ends(groups: Groups, ends_by_itself: bool) -> None:
    deaf = "sh -c 'trap \"\" TERM; echo $$; exec >&-; while :; do sleep 0.1; done' &"
    process = groups.start(
        sh(f"{deaf} sleep 1000 >&- & echo $!; read line"),
        stdin=subprocess.PIPE,
        output=subprocess.PIPE,
        environment=ENVIRONMENT,
        folder=None,
    )
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    if ends_by_itself:
        process.communicate(b"\n")
    groups.end(process, 0.2)
    process.communicate()
    assert process.returncode == (0 if ends_by_itself else -signal.SIGTERM)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


@pytest.mark.parametrize("way", ["killed", "closed"])
@pytest.mark.parametrize("limits", ["", "memory_mb=10**9, open_files=2**62", "memory_mb=100, open_files=32"])
def test_group_ends_with_its_worker(tmp_path: Path, limits: str, way: str) -> None:
    script = f"""
import os, subprocess, sys
from shoal.adapters.processes.groups import Groups, Limits
groups = Groups()
process = groups.start(["/bin/sh", "-c", "echo $$ > pid; read line; sleep 1000"],
    stdin=subprocess.PIPE, output=subprocess.DEVNULL,
    environment=os.environ, folder={str(tmp_path)!r}, limits=Limits({limits}))
sys.stdin.read()
groups.close()
"""
    worker = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    if way == "killed":
        worker.kill()
    worker.communicate()
    wait_until(lambda: not psutil.pid_exists(pid))
