"""Process groups: what they are given, what they may take, and that nothing of them is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.adapters.processes import commands
from shoal.adapters.processes.commands import Commands
from shoal.adapters.processes.groups import Groups, Limits
from tests.conftest import wait_until

ENVIRONMENT = dict(os.environ)


@pytest.fixture
def groups() -> Iterator[Groups]:
    groups = Groups()
    yield groups
    groups.close()


@pytest.fixture
def run(groups: Groups, tmp_path: Path) -> Commands:
    return Commands(groups, log=tmp_path / "log", environment=ENVIRONMENT, grace_seconds=0.5)


def sh(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc/self/stat").exists() else True
    return False


def test_output_is_a_pipe_while_errors_go_to_the_log(groups: Groups, tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log:
        log.write(b"before\n")
        log.flush()
        # So many open files that the log's number has two digits.
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
        errors = os.dup(log.fileno())
        process = groups.start(
            sh("read line; echo out $line; echo err >&2; echo more >&2"),
            stdin=subprocess.PIPE,
            output=subprocess.PIPE,
            errors=errors,
            environment=ENVIRONMENT,
            folder=tmp_path,
        )
        out, _ = process.communicate(b"in\n")
        groups.end(process, 1)
        for number in (*held, errors):
            os.close(number)
    assert out == b"out in\n"
    assert (tmp_path / "log").read_bytes() == b"before\nerr\nmore\n"


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


def test_memory_of_each_process_is_limited(run: Commands, groups: Groups, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux holds to it")
    limited = Commands(groups, log=tmp_path / "log", environment=ENVIRONMENT, limits=Limits(memory_mb=200))
    wants = [sys.executable, "-c", "bytearray(400 * 1024 * 1024)"]
    assert run(wants, tmp_path, seconds=30).ok
    assert "MemoryError" in limited(wants, tmp_path, seconds=30).tail
    assert "MemoryError" in limited(sh(f"{sys.executable} -c '{wants[2]}'; exit 1"), tmp_path, seconds=30).tail
    reserves = "import mmap; mmap.mmap(-1, 2**33, prot=mmap.PROT_READ)"
    assert limited([sys.executable, "-c", reserves], tmp_path, seconds=30).ok, "what is only reserved costs nothing"


def test_open_files_of_each_process_are_limited(groups: Groups, tmp_path: Path) -> None:
    def limit(number: int) -> str:
        limited = Commands(groups, log=tmp_path / "log", environment=ENVIRONMENT, limits=Limits(open_files=number))
        return limited(sh("ulimit -Sn; ulimit -Hn"), tmp_path, seconds=30).tail

    assert limit(64).split() == ["64", "64"]
    hard = 2**62  # more than the machine allows
    assert limit(hard).split(), "it runs with what the machine allows"


def test_limits_leave_the_keeper_in_order(tmp_path: Path) -> None:
    script = f"""
import os, subprocess, sys
from shoal.adapters.processes.groups import Groups, Limits
groups = Groups()
process = groups.start(["sleep", "1000"], stdin=subprocess.DEVNULL, output=subprocess.DEVNULL,
    environment=os.environ, folder=None, errors=open({str(tmp_path / "log")!r}, "ab"),
    limits=Limits(memory_mb=10**9, open_files=2**62))
print(process.pid, flush=True)
sys.stdin.read()
"""
    worker = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    wait_until(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").exists() else True)
    worker.kill()
    worker.communicate()
    wait_until(lambda: not is_alive(pid))


def test_command_is_run_in_its_folder_and_what_it_wrote_is_in_the_log(run: Commands, tmp_path: Path) -> None:
    ran = run(sh("pwd; echo $EXTRA >&2; exit 3"), tmp_path, seconds=30, environment={"EXTRA": "extra"})
    assert (ran.ok, ran.code, ran.tail) == (False, 3, f"{tmp_path}\nextra")
    assert ran.describe() == f"ended with 3: {tmp_path}\nextra"
    assert (tmp_path / "log").read_text().endswith(f"{tmp_path}\nextra\n")


def test_time_is_limited(run: Commands, tmp_path: Path) -> None:
    ran = run(sh("trap '' TERM; echo begun; while :; do sleep 0.1; done"), tmp_path, seconds=0.5)
    assert (ran.ok, ran.code, ran.stopped) == (False, None, "stopped after 0 s")
    assert ran.tail == "begun"


def test_endless_output_fills_neither_memory_nor_the_log(
    run: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "OUTPUT_BYTES", 20_000_000)
    ran = run(["yes", "x" * 100], tmp_path, seconds=60)
    assert ran.stopped == "stopped after 20 MB of output"
    assert len(ran.tail) <= commands.TAIL_BYTES
    assert (tmp_path / "log").stat().st_size < commands.LOG_BYTES + 10_000


def test_children_in_the_background_end_with_the_command_and_nobody_waits_for_them(
    run: Commands, tmp_path: Path
) -> None:
    ran = run(sh("sleep 1000 & echo $! > pid; echo done"), tmp_path, seconds=100)
    assert (ran.code, ran.tail) == (0, "done")
    wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_child_that_left_the_group_with_the_output_holds_nobody_up(run: Commands, tmp_path: Path) -> None:
    leave = "import os, signal; os.fork() and os._exit(0); os.setsid(); open('pid', 'w').write(str(os.getpid()))"
    ran = run([sys.executable, "-c", f"{leave}; signal.pause()"], tmp_path, seconds=100)
    assert ran.code == 0
    pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    os.kill(pid, signal.SIGKILL)


def test_command_that_closes_its_output_is_waited_for(run: Commands, tmp_path: Path) -> None:
    assert run(sh("exec >&- 2>&-; sleep 0.3; exit 4"), tmp_path, seconds=30).code == 4


def test_output_that_is_no_text_is_shown_as_far_as_it_is(run: Commands, tmp_path: Path) -> None:
    assert run(sh(r"printf 'a\0b\377\n'"), tmp_path, seconds=30).tail == "ab�"


def test_what_cannot_be_started_is_told_and_not_raised(run: Commands, tmp_path: Path) -> None:
    assert run(["echo"], tmp_path / "nowhere", seconds=1).code == 127
    assert "null byte" in run(["echo", "a\0b"], tmp_path, seconds=1).tail


def test_attempt_that_is_told_to_stop_is_heard_after_its_command(groups: Groups, tmp_path: Path) -> None:
    class Told(Exception):
        pass

    told = threading.Event()

    def check() -> None:
        if told.is_set():
            raise Told

    run = Commands(groups, log=tmp_path / "log", environment=ENVIRONMENT, check=check)
    assert run(["true"], tmp_path, seconds=1).ok
    told.set()
    with pytest.raises(Told):
        run(["true"], tmp_path, seconds=1)
