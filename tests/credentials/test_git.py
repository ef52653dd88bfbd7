"""The real git with tokens of the broker: clone, fetch and push over HTTP, where a server checks each token."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from shoal import Ledger
from shoal.adapters.git import credentials
from shoal.daemon.revoker import Revoker
from tests.conftest import FakeClock, wait_until
from tests.credentials.agents_git import Run
from tests.git_server import GitServer
from tests.github_app import AppApi
from tests.services.broker import at_work
from tests.vaults import git


def test_clone_fetch_and_push_work_through_an_hours_expiry(
    ledger: Ledger, api: AppApi, forge: GitServer, clock: FakeClock, run: Run, tmp_path: Path
) -> None:
    claim = at_work(ledger, "acme/web", timeout_seconds=4 * 3600)
    clone = tmp_path / "clone"
    run(claim, "clone", "--quiet", f"{forge.url}/acme/web.git", str(clone))
    run(claim, "commit", "--quiet", "--allow-empty", "-m", "One", folder=clone)
    run(claim, "push", "--quiet", "origin", "HEAD:refs/heads/one", folder=clone)
    first = {password for _, password in forge.logins}
    assert len(first) == 1
    for _ in range(13):
        clock.advance(290)
        ledger.tasks.beat(worker="w", lease_seconds=300)
    assert api.alive == []
    run(claim, "fetch", "--quiet", folder=clone)
    run(claim, "commit", "--quiet", "--allow-empty", "-m", "Two", folder=clone)
    run(claim, "push", "--quiet", "origin", "HEAD:refs/heads/two", folder=clone)
    second = {password for _, password in forge.logins} - first
    assert len(second) == 1
    assert git(forge.folder / "acme/web.git", "branch", "--list", "two")


def test_nothing_but_the_tasks_own_repositories_can_be_reached(
    ledger: Ledger, forge: GitServer, run: Run, tmp_path: Path
) -> None:
    claim = at_work(ledger, "acme/web")
    clone = tmp_path / "clone"
    run(claim, "clone", "--quiet", f"{forge.url}/acme/web.git", str(clone))
    for other in ("other/web", "acme/api"):
        run(claim, "push", "--quiet", f"{forge.url}/{other}.git", "HEAD:refs/heads/x", folder=clone, ok=False)
        run(claim, "ls-remote", f"{forge.url}/{other}", ok=False)
        assert git(forge.folder / f"{other}.git", "branch", "--list", "x") == ""
    theirs = at_work(ledger, "other/web")
    run(theirs, "ls-remote", f"{forge.url}/other/web")
    assert "log in" not in run(theirs, "ls-remote", f"{forge.url}/acme/web", ok=False).stderr


def test_push_is_refused_after_completion_and_by_a_later_attempts_rights(
    ledger: Ledger, api: AppApi, forge: GitServer, run: Run, tmp_path: Path
) -> None:
    claim = at_work(ledger, "acme/web")
    clone = tmp_path / "clone"
    run(claim, "clone", "--quiet", f"{forge.url}/acme/web.git", str(clone))
    ledger.tasks.release(claim.task.id, attempt=1)
    [later] = ledger.tasks.claim(worker="w", task=claim.task.id).claims
    said = run(claim, "push", "--quiet", "origin", "HEAD:refs/heads/x", folder=clone, ok=False).stderr
    assert "git-credential-shoal: the key is not that of attempt 2" in said
    run(later, "push", "--quiet", "origin", "HEAD:refs/heads/x", folder=clone)
    [token] = [one.token for one in api.alive if one.token == forge.logins[-1][1]]
    ledger.tasks.complete(claim.task.id, attempt=2)
    said = run(later, "push", "--quiet", "origin", "HEAD:refs/heads/y", folder=clone, ok=False).stderr
    assert "git-credential-shoal: T1 is completed" in said
    broker = Revoker(ledger.engine)  # type: ignore[arg-type]
    wait_until(lambda: broker.tick() == 0 and api.alive == [])
    broker.close()
    assert not api.allows(token, "acme/web", "contents", "read")


def test_task_that_may_only_read_clones_and_does_not_push(
    ledger: Ledger, forge: GitServer, run: Run, tmp_path: Path
) -> None:
    claim = at_work(ledger, "acme/web")
    ledger.tasks.register(claim.task.id, permissions={"contents": "read"}, key=claim.key)
    run(claim, "clone", "--quiet", f"{forge.url}/acme/web.git", str(tmp_path / "clone"))
    run(claim, "push", "--quiet", "origin", "HEAD:refs/heads/x", folder=tmp_path / "clone", ok=False)


def test_helper_is_not_disturbed_by_what_lies_in_the_repository(
    ledger: Ledger, forge: GitServer, run: Run, tmp_path: Path
) -> None:
    claim = at_work(ledger, "acme/web")
    clone = tmp_path / "clone"
    run(claim, "clone", "--quiet", f"{forge.url}/acme/web.git", str(clone))
    for name in ("json.py", "http.py", "shoal.py", "sitecustomize.py"):
        (clone / name).write_text("raise SystemExit('mine')\n")
    run(claim, "fetch", "--quiet", folder=clone)


def test_command_of_the_helper_can_be_run_by_a_shell() -> None:
    command = credentials.helper_command().removeprefix("!")
    assert shlex.split(command)[0].startswith("/")
    done = subprocess.run(["/bin/sh", "-c", f"{command} store"], input="", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
