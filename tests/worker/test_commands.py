"""Commands beside an agent: how long they may run, what they may write, what is told of their end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shoal.adapters.processes import commands
from shoal.adapters.processes.commands import Commands
from shoal.adapters.processes.groups import Groups
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
    wait_until(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


def test_child_that_left_the_group_with_the_output_holds_nobody_up(run: Commands, tmp_path: Path) -> None:
    leave = "import os, signal; os.fork() and os.wait(); os.setsid(); open('pid', 'w').write(str(os.getpid()))"
    leaves = sh(f'{sys.executable} -c "{leave}; signal.pause()" & while ! test -s pid; do sleep 0.02; done')
    assert run(leaves, tmp_path, seconds=100).code == 0
    if sys.platform == "linux":
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


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
