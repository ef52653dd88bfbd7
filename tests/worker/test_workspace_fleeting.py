"""A home that goes with the attempt, as a pod's does: what was done is at the remote before it goes."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.errors import GitError
from shoal.model.content import RESCUE_LIMIT
from shoal.model.session import Branch
from shoal.worker.preparation import Rescued
from shoal.worker.workspace import Unpushed
from shoal.worker.workspaces import Workspaces
from tests.conftest import wait_until
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote, on_push, task_of

TASK = task_of(repos=[REPOSITORY])
BRANCH = "shoal/T42-mend-the-pond"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def pod(tmp_path: Path, remote: Remote, number: int) -> Workspaces:
    return Workspaces(tmp_path / f"pod-{number}", remote.settings(), ephemeral=True)


def test_pushed_after_every_keep_whatever_the_repository_says(tmp_path: Path, remote: Remote) -> None:
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    for name in ("a.py", "b.py"):
        (workspace.folder / name).write_text("x\n")
        [branch] = workspace.keep("Kept")
        assert branch.pushed
        assert git(remote.path, "show", f"{BRANCH}:{name}") == "x"


def test_next_attempt_goes_on_from_it_in_a_home_of_its_own(tmp_path: Path, remote: Remote) -> None:
    first = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (first.folder / "a.py").write_text("x\n")
    branches = first.keep("Kept")
    second = pod(tmp_path, remote, 2).prepare(TASK, 2, branches=branches)
    assert (second.folder / "a.py").read_text() == "x\n"


def test_work_beside_the_branch_that_has_gone_on_is_pushed_beside_it(tmp_path: Path, remote: Remote) -> None:
    first = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (first.folder / "late.py").write_text("x\n")
    remote.commit({"other.py": "y\n"}, BRANCH)
    branches = first.keep("Kept")
    [kept] = [one for one in remote.branches() if one.startswith("shoal/kept/T42.1-")]
    assert git(remote.path, "show", f"{kept}:late.py") == "x"
    assert git(remote.path, "show", f"{BRANCH}:other.py") == "y"
    assert [one.pushed for one in branches] == [False, True]


def test_stashes_are_pushed_too(tmp_path: Path, remote: Remote) -> None:
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (workspace.folder / "README.md").write_text("stashed\n")
    git(workspace.folder, "stash")
    workspace.keep("Kept")
    [stash] = [one for one in remote.branches() if "-stash-" in one]
    assert git(remote.path, "show", f"{stash}:README.md") == "stashed"


def test_push_goes_on_when_the_attempt_is_stopped(tmp_path: Path, remote: Remote) -> None:
    stopped = threading.Event()
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1, stop=stopped.is_set)
    (workspace.folder / "a.py").write_text("x\n")
    on_push(remote, "sleep 1")
    stopped.set()
    assert workspace.keep("Kept")[0].pushed, workspace.notes


def test_push_that_takes_too_long_for_a_stopped_attempt_is_given_up_and_said(tmp_path: Path, remote: Remote) -> None:
    late = threading.Event()
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1, late=late.is_set)
    (workspace.folder / "a.py").write_text("x\n")
    begun = tmp_path / "begun"
    on_push(remote, f"touch {begun}; sleep 60")
    keeping = threading.Thread(target=workspace.keep, args=("Kept",))
    keeping.start()
    wait_until(begun.exists)
    late.set()
    keeping.join(20)
    assert not keeping.is_alive()
    assert "was not pushed" in workspace.notes[-1]


def test_push_that_fails_is_said_with_its_reason(tmp_path: Path, remote: Remote) -> None:
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (workspace.folder / "a.py").write_text("x\n")
    shutil.rmtree(remote.path)
    [branch] = workspace.keep("Kept")
    assert (branch.commits, branch.pushed) == (1, False)
    assert f"{BRANCH} was not pushed: git push" in workspace.notes[-1]


def stranded(tmp_path: Path, remote: Remote, work: str = "x\n") -> tuple[list[Unpushed], list[Branch]]:
    """What the first attempt could not push, and its branches."""
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (workspace.folder / "a.py").write_text(work)
    with closed(remote):
        branches = workspace.keep("Kept")
    return workspace.unpushed(), branches


@contextmanager
def closed(remote: Remote) -> Iterator[None]:
    away = remote.path.rename(remote.path.with_name("away.git"))
    yield
    away.rename(remote.path)


def rescued(found: list[Unpushed]) -> list[Rescued]:
    return [Rescued("T42.1", one.repository, one.branches, lambda one=one: one.data or b"") for one in found]


def test_what_could_not_be_pushed_is_a_bundle_of_what_the_remote_lacks(tmp_path: Path, remote: Remote) -> None:
    (one,), (branch,) = stranded(tmp_path, remote)
    assert one.data is not None
    assert len(one.data) < 1000
    assert one.name.startswith("pond-")
    assert "git push" in one.reason
    assert (one.branches[0].branch, one.branches[0].head) == (BRANCH, branch.head)
    (tmp_path / "a.bundle").write_bytes(one.data)
    git(remote.clone, "fetch", "--quiet", str(tmp_path / "a.bundle"), BRANCH)
    assert git(remote.clone, "show", "FETCH_HEAD:a.py") == "x"


def test_next_attempt_goes_on_from_the_bundle_and_pushes_all_of_it(tmp_path: Path, remote: Remote) -> None:
    found, branches = stranded(tmp_path, remote)
    second = pod(tmp_path, remote, 2).prepare(TASK, 2, branches=branches, rescued=rescued(found))
    assert (second.folder / "a.py").read_text() == "x\n"
    assert second.notes == [f"what T42.1 could not push was brought to {BRANCH}"]
    (second.folder / "b.py").write_text("y\n")
    assert second.keep("Kept")[0].pushed
    assert git(remote.path, "log", "--format=%s", f"main..{BRANCH}").split("\n") == ["Kept", "Kept"]
    assert second.unpushed() == []


def test_bundle_of_a_branch_that_has_gone_on_is_kept_beside_it(tmp_path: Path, remote: Remote) -> None:
    found, branches = stranded(tmp_path, remote)
    remote.commit({"other.py": "y\n"}, BRANCH)
    second = pod(tmp_path, remote, 2).prepare(TASK, 2, branches=branches, rescued=rescued(found))
    assert (second.folder / "other.py").exists()
    kept = f"shoal/kept/T42.1-{branches[0].head[:8]}"
    assert second.notes == [f"what T42.1 could not push was brought to {kept}"]
    assert git(second.folder, "show", f"{kept}:a.py") == "x"


def test_bundle_that_cannot_be_read_stops_nobody(tmp_path: Path, remote: Remote) -> None:
    found, branches = stranded(tmp_path, remote)
    broken = [one._replace(fetch=lambda: b"no bundle") for one in rescued(found)]
    second = pod(tmp_path, remote, 2).prepare(TASK, 2, branches=branches, rescued=broken)
    assert "cannot be brought here" in second.notes[0]


def test_work_of_an_empty_repository_needs_nothing_else(tmp_path: Path) -> None:
    remote = Remote(tmp_path, files={})
    found, branches = stranded(tmp_path, remote)
    second = pod(tmp_path, remote, 2).prepare(TASK, 2, branches=branches, rescued=rescued(found))
    assert (second.folder / "a.py").read_text() == "x\n"


def test_work_that_is_too_large_is_said_to_be_so(tmp_path: Path, remote: Remote) -> None:
    noise = random.Random(1).randbytes(RESCUE_LIMIT).hex()
    (one,), _ = stranded(tmp_path, remote, noise)
    assert one.data is None


def test_patch_is_brought_away_where_nothing_can_be_committed(tmp_path: Path, remote: Remote) -> None:
    workspace = pod(tmp_path, remote, 1).prepare(TASK, 1)
    (workspace.folder / "a.py").write_text("x\n")

    def refuse(*_: object, **__: object) -> None:
        raise GitError("no space left on device")

    workspace.checkouts[0].keep = refuse  # type: ignore[method-assign] # root may write to whatever is read-only
    workspace.keep("Kept")
    (one,) = workspace.unpushed()
    assert one.name.endswith(".patch")
    assert one.data is not None
    assert b"+x" in one.data
