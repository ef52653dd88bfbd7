"""What a run starts ends with the run, wherever it went: out of its group, its session, its environment, its family."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from shoal.adapters.processes import groups as module
from shoal.adapters.processes.groups import Groups
from tests.conftest import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to one of their forebears")

PYTHON = f"exec env -i setsid {sys.executable} -I -S -c 'import os, signal"
WAIT = 'os.write(9, b"."); signal.pause()'
STRAYS = {
    "without environment": "env -i setsid sh -c 'echo . >&9; sleep 1000' &",
    "forked twice": f"""{PYTHON}
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {WAIT}' &""",
    "deaf": f"""{PYTHON}
for number in (1, 2, 15):
    signal.signal(number, signal.SIG_IGN)
{WAIT}' &""",
    "stopped": "env -i setsid sh -c 'echo . >&9; kill -STOP $$' &",
    "with descendants": f"""{PYTHON}
for _ in range(9):
    if os.fork():
        signal.pause()
    os.setsid()
{WAIT}' &""",
    "reviving its child": "env -i setsid sh -c 'while :; do setsid sh -c \"echo . >&9; sleep 1000\"; done' &",
    "keeping orphans": f"""{PYTHON}, ctypes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        {WAIT}
    os._exit(0)
signal.pause()' &""",
    # It is another process, of another session, at every look.
    "fleeing": f"""{PYTHON}
for _ in range(20_000):
    if os.fork():
        os._exit(0)
    os.setsid()
    os.write(9, b".")
    signal.sigtimedwait([signal.SIGUSR1], 0.001)' &""",
}


class Stray:
    """What a script leaves behind: it is there for as long as anything holds the pipe."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.path = folder / kind.replace(" ", "-")
        os.mkfifo(self.path)
        self._pipe = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._script = STRAYS[kind]

    def then(self, rest: str) -> list[str]:
        """The command that leaves it behind and goes on."""
        return ["/bin/sh", "-c", f"( {self._script}\n) 9> {self.path}; {rest}"]

    def is_there(self) -> bool:
        """Whether it has said so."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._pipe, 65536) != b""
        return False

    def is_gone(self) -> bool:
        """Whether nothing of it is left."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._pipe, 65536):
                pass
            return True
        return False

    def close(self) -> None:
        while not self.is_gone():  # where a test fails
            for process in psutil.process_iter():
                with contextlib.suppress(OSError, psutil.Error):
                    if os.readlink(f"/proc/{process.pid}/fd/9") == str(self.path):
                        process.kill()
        os.close(self._pipe)


Leave = Callable[[str], Stray]


@pytest.fixture
def leave(tmp_path: Path) -> Iterator[Leave]:
    """Prepare a stray of a kind."""
    strays: list[Stray] = []

    def leave(kind: str) -> Stray:
        folder = tmp_path / str(len(strays))
        folder.mkdir()
        strays.append(Stray(kind, folder))
        return strays[-1]

    yield leave
    for stray in strays:
        stray.close()


@pytest.fixture(params=STRAYS)
def stray(request: pytest.FixtureRequest, leave: Leave) -> Stray:
    return leave(request.param)


@pytest.fixture
def groups() -> Iterator[Groups]:
    groups = Groups()
    yield groups
    groups.close()


Start = Callable[[list[str]], subprocess.Popen[bytes]]


@pytest.fixture
def start(groups: Groups) -> Iterator[Start]:
    """Start a command that may be told a line."""
    started = []

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        process = groups.start(
            command, stdin=subprocess.PIPE, output=subprocess.DEVNULL, environment=os.environ, folder=None
        )
        started.append(process)
        return process

    yield start
    for process in started:
        groups.end(process, 0)
        process.communicate()


GOES_ON = "trap '' TERM; while :; do sleep 0.1; done"


def test_it_ends_when_the_command_ends(start: Start, groups: Groups, stray: Stray) -> None:
    process = start(stray.then("read line; exit 3"))
    wait_until(stray.is_there)
    process.communicate(b"\n")
    groups.end(process, 1)
    assert process.returncode == 3
    assert stray.is_gone()


def test_it_ends_when_the_run_is_ended(start: Start, groups: Groups, stray: Stray) -> None:
    process = start(stray.then(GOES_ON))
    wait_until(stray.is_there)
    groups.end(process, 0.2)
    assert stray.is_gone()


NO_LIST = """
import builtins, runpy
opened = builtins.open
def open_but_the_list(path, *more):
    if str(path).endswith("/children"):
        raise FileNotFoundError(path)
    return opened(path, *more)
builtins.open = open_but_the_list
runpy.run_path({path!r}, run_name="__main__")
"""


@pytest.mark.parametrize("kind", ["forked twice", "with descendants", "reviving its child"])
def test_it_ends_where_the_kernel_lists_no_children(
    start: Start, groups: Groups, leave: Leave, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "reaper.py").write_text(NO_LIST.format(path=str(module.REAPER)))
    monkeypatch.setattr(module, "REAPER", tmp_path / "reaper.py")
    stray = leave(kind)
    process = start(stray.then(GOES_ON))
    wait_until(stray.is_there)
    groups.end(process, 0.2)
    assert stray.is_gone()


WORKER = """
import json, os, subprocess, sys
from shoal.adapters.processes.groups import Groups
groups = Groups()
for command in json.loads(sys.argv[1]):
    groups.start(command, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL, environment=os.environ, folder=None)
sys.stdin.read()
"""


def test_it_ends_when_the_worker_is_killed(stray: Stray) -> None:
    commands = json.dumps([stray.then(GOES_ON), ["sleep", "1000"]])
    worker = subprocess.Popen([sys.executable, "-c", WORKER, commands], stdin=subprocess.PIPE)
    wait_until(stray.is_there)
    worker.kill()
    worker.communicate()
    wait_until(stray.is_gone)


def test_it_is_asked_before_it_is_killed(start: Start, groups: Groups, leave: Leave, tmp_path: Path) -> None:
    stray = leave("without environment")
    hears = f"trap 'touch {tmp_path}/asked; exit' TERM; until test -e {tmp_path}/deaf; do sleep 0.02; done"
    (tmp_path / "stray").write_text(f"{hears}; echo . >&9; while :; do sleep 0.1; done")
    leaves = f"(env -i setsid sh {tmp_path}/stray &) 9> {stray.path}"
    process = start(["/bin/sh", "-c", f"{leaves}; trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.1; done"])
    wait_until(stray.is_there)
    groups.end(process, 1)
    assert (tmp_path / "asked").exists()


def test_end_of_one_leaves_the_others_alone(start: Start, groups: Groups, leave: Leave) -> None:
    kinds = ["without environment", "forked twice"] * 5
    strays = [leave(kind) for kind in kinds]
    processes = [start(stray.then("read line")) for stray in strays]
    for stray in strays:
        wait_until(stray.is_there)
    for number, (process, stray) in enumerate(zip(processes, strays, strict=True)):
        if number % 2:
            process.communicate(b"\n")
        groups.end(process, 1)
        assert stray.is_gone()
        assert not any(other.is_gone() for other in strays[number + 1 :])
        assert all(other.poll() is None for other in processes[number + 1 :])


def test_orphans_that_end_by_themselves_are_no_zombies(start: Start) -> None:
    process = start(["/bin/sh", "-c", "(true & true & true &); exec sleep 1000"])
    reaper = psutil.Process(process.pid)
    wait_until(lambda: [child.name() for child in reaper.children(recursive=True)] == ["sleep"])


def test_command_ends_with_its_reaper(start: Start, groups: Groups, leave: Leave) -> None:
    stray = leave("without environment")
    process = start(["/bin/sh", "-c", f"exec 9> {stray.path}; echo . >&9; while :; do sleep 0.1; done"])
    wait_until(stray.is_there)
    process.kill()
    groups.end(process, 1)
    wait_until(stray.is_gone)
