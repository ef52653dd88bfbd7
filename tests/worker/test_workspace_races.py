"""Many processes on one mirror, and processes killed while they prepare."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from shoal.worker.place import Place
from shoal.worker.workspaces import Workspaces
from tests.conftest import wait_until
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, task_of

FILES = 1500
BRANCH = "shoal/T42-mend-the-pond"
PREPARE = """
import sys, time, msgspec, pathlib
from shoal.model.task import Task
from shoal.settings import RepositorySettings
from shoal.worker.workspaces import Workspaces
home, url, attempt, text, write = sys.argv[1:]
workspaces = Workspaces(pathlib.Path(home), {"acme/pond": RepositorySettings(url=url)})
workspace = workspaces.prepare(msgspec.json.decode(text, type=Task), int(attempt))
if write:
    (workspace.folder / write).write_text("work\\n")
    [branch] = workspace.keep("Kept")
    assert branch.commits == 1, branch
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    files = {f"folder{number % 50}/file{number}.txt": f"{number}\n" * 20 for number in range(FILES)}
    return Remote(tmp_path_factory.mktemp("remote"), files=files)


def preparing(home: Path, remote: Remote, number: int, attempt: int, write: str = "") -> subprocess.Popen[str]:
    task = msgspec.json.encode(task_of(number, repos=[REPOSITORY])).decode()
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(home), str(remote.path), str(attempt), task, write],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def files_in(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def test_processes_that_want_the_same_mirror_make_one(tmp_path: Path, remote: Remote) -> None:
    home = tmp_path / "home"
    processes = [preparing(home, remote, number, 1, write=f"work{number}.txt") for number in range(1, 9)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, answers
    assert {path.name for path in (home / "mirrors" / "acme").iterdir()} == {"pond.git", "pond.git.lock"}
    for number in range(1, 9):
        folder = home / "workspaces" / f"T{number}.1"
        assert git(folder, "status", "--porcelain") == ""
        assert git(folder, "diff", "--name-only", "origin/main") == f"work{number}.txt"


def test_threads_that_wait_for_the_same_mirror_fetch_it_once(tmp_path: Path, remote: Remote) -> None:
    workspaces = Workspaces(tmp_path / "home", remote.settings())
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda number: workspaces.prepare(task_of(number, repos=[REPOSITORY]), 1), range(1, 7)))
    assert all(files_in(workspace.folder) == FILES + 1 for workspace in made)


def left_in(home: Path) -> list[Path]:
    half_cloned = list((home / "mirrors" / "acme").glob("*.new-*"))
    return half_cloned + [path for path in (home / "workspaces").iterdir() if path.name == "T43.1"]


def is_cloning(home: Path) -> bool:
    return any((home / "mirrors" / "acme").glob("pond.git.new-*/objects/pack/tmp_*"))


def is_checking_out(home: Path) -> bool:
    return files_in(home / "workspaces" / "T42.1") > FILES // 10


def is_at_work(home: Path) -> bool:
    return (home / "workspaces" / "T42.1" / "half.txt").exists()


def is_ready(home: Path) -> bool:
    record = Place(home, "T42.1").read()
    return record is not None and record.ready


def killed(home: Path, remote: Remote, moment: Callable[[Path], bool]) -> bool:
    """Kill a worker at a moment of its preparation; whether it was caught there."""
    process = preparing(home, remote, 42, 1)
    if moment is is_at_work:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (home / "workspaces" / "T42.1" / "half.txt").write_text("half\n")
    caught = wait_until(lambda: "caught" if moment(home) else is_ready(home) and "late")
    # The worker alone: its git may go on for a moment.
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return bool(caught == "caught")


@pytest.mark.parametrize("moment", [is_cloning, is_checking_out, is_at_work], ids=lambda moment: moment.__name__)
def test_worker_killed_while_it_prepares_stops_nobody(
    tmp_path: Path, remote: Remote, moment: Callable[[Path], bool]
) -> None:
    # A clone can be over between two looks at it.
    home = next(home for home in (tmp_path / f"home{number}" for number in range(50)) if killed(home, remote, moment))
    workspaces = Workspaces(home, remote.settings())
    workspace = workspaces.prepare(task_of(42, repos=[REPOSITORY]), 2)
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert git(workspace.folder, "branch", "--show-current") == BRANCH
    changed = git(workspace.folder, "diff", "--name-only", "origin/main").split()
    assert changed == (["half.txt"] if moment is is_at_work else [])
    # What its git wrote after it was killed goes with a later attempt at the latest.
    wait_until(lambda: workspaces.prepare(task_of(43, repos=[REPOSITORY]), 1).remove() and not left_in(home))
