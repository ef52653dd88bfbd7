"""Workers and their agents with tokens of the broker: each attempt its own, asked for when git needs it."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal import Ledger, connect
from shoal.errors import WorkspaceError
from shoal.model.task import Claim
from shoal.settings import ADMIN_TOKEN, APP_KEY
from shoal.worker.logins import Logins
from shoal.worker.workspaces import Workspaces
from tests.conftest import FakeClock, wait_until
from tests.credentials.agents_git import KEY_OF_EVERYTHING, persons_configuration
from tests.credentials.conftest import NAMES
from tests.fleet import SHOAL, Server, environment
from tests.git_server import GitServer
from tests.github_app import APP_ID, AppApi, pem
from tests.services.broker import at_work
from tests.vaults import git


def logins_of(ledger: Ledger, claim: Claim) -> Logins:
    return Logins(claim, ledger, lambda call: call())


@pytest.fixture
def workspaces(tmp_path: Path, ledger: Ledger, forge: GitServer, monkeypatch: pytest.MonkeyPatch) -> Workspaces:
    """Those of a person whose own git has a key that opens everything."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(persons_configuration(tmp_path, forge.url)))
    settings = ledger.engine.settings  # type: ignore[attr-defined]
    settings = settings() if callable(settings) else settings
    return Workspaces(tmp_path / "home", settings.repositories, ephemeral=True)


def test_work_of_more_than_an_hour_is_pushed_with_a_token_that_lives(
    ledger: Ledger, api: AppApi, forge: GitServer, clock: FakeClock, workspaces: Workspaces
) -> None:
    claim = at_work(ledger, "acme/web", timeout_seconds=4 * 3600)
    workspace = workspaces.prepare(claim.task, 1, token=logins_of(ledger, claim).of)
    first = {password for _, password in forge.logins}
    (workspace.folder / "a.py").write_text("a\n")
    for _ in range(13):
        clock.advance(290)
        ledger.tasks.beat(worker="w", lease_seconds=300)
    assert api.alive == []
    [branch] = workspace.keep("Kept")
    assert branch.pushed, workspace.notes
    assert len({password for _, password in forge.logins} - first) == 1
    assert KEY_OF_EVERYTHING not in {password for _, password in forge.logins}


def test_mirror_is_shared_and_each_task_fetches_with_its_own_token(
    ledger: Ledger, api: AppApi, forge: GitServer, workspaces: Workspaces, tmp_path: Path
) -> None:
    one, two = at_work(ledger, "acme/web"), at_work(ledger, "acme/web")
    workspaces.prepare(one.task, 1, token=logins_of(ledger, one).of)
    of_one = {password for _, password in forge.logins}
    ledger.tasks.complete(one.task.id, attempt=1)
    forge.logins.clear()
    workspace = workspaces.prepare(two.task, 1, token=logins_of(ledger, two).of)
    assert workspace.notes == []
    of_two = {password for _, password in forge.logins}
    assert len(of_one) == len(of_two) == 1
    assert of_one.isdisjoint(of_two)
    for path in (tmp_path / "home").rglob("*"):
        assert not path.is_file() or not any(token.encode() in path.read_bytes() for token in api.tokens), path


def test_repository_that_the_task_gets_no_token_for_is_not_reached_by_other_keys(
    ledger: Ledger, forge: GitServer, workspaces: Workspaces
) -> None:
    claim = at_work(ledger, "acme/web", "acme/api")
    ledger.tasks.register(claim.task.id, repositories=["acme/web"], key=claim.key)
    with pytest.raises(WorkspaceError, match="the token broker decides about this host"):
        workspaces.prepare(claim.task, 1, token=logins_of(ledger, claim).of)
    assert KEY_OF_EVERYTHING not in {password for _, password in forge.logins}


def test_attempt_that_is_over_pushes_nothing(
    ledger: Ledger, api: AppApi, forge: GitServer, workspaces: Workspaces
) -> None:
    claim = at_work(ledger, "acme/web")
    workspace = workspaces.prepare(claim.task, 1, token=logins_of(ledger, claim).of)
    (workspace.folder / "a.py").write_text("a\n")
    ledger.tasks.cancel(claim.task.id)
    [branch] = workspace.keep("Kept")
    assert not branch.pushed
    [note] = [note for note in workspace.notes if "was not pushed" in note]
    assert "T1 is cancelled; tokens are for attempts at work" in note
    assert git(forge.folder / "acme/web.git", "branch", "--list", "shoal/*") == ""


def test_without_a_broker_everything_is_as_before(tmp_path: Path) -> None:
    with connect(tmp_path / "plain.db") as ledger:
        logins = logins_of(ledger, at_work(ledger, "acme/web"))
    around = {"GH_TOKEN": "mine", "GIT_CONFIG_COUNT": "1", "PATH": "/bin"}
    assert logins.environment(around) == around
    assert logins.of("https://github.com/acme/web.git") is None


def test_agents_git_keeps_the_settings_that_it_is_given_otherwise(ledger: Ledger, forge: GitServer) -> None:
    around = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.abbrev", "GIT_CONFIG_VALUE_0": "12"}
    logins = logins_of(ledger, at_work(ledger, "acme/web"))
    own = logins.environment(around | {"GITHUB_TOKEN": "mine", "GIT_ASKPASS": "/usr/bin/askpass"})
    assert "GITHUB_TOKEN" not in own
    assert own["GIT_ASKPASS"] == ""
    listed = subprocess.run(
        ["git", "config", "--list"], env=environment(**own), capture_output=True, text=True, check=True
    )
    assert "core.abbrev=12" in listed.stdout
    assert f"credential.https://{forge.host}.usehttppath=true" in listed.stdout
    for url in ("https://gitlab.com/acme/web", "ssh://git@github.com/acme/web", "/srv/web.git", "git@github.com:a/b"):
        assert logins.of(url) is None


@pytest.fixture
def real(tmp_path: Path) -> Iterator[AppApi]:
    api = AppApi()
    yield api
    api.close()


AGENT = """
set -e
git push --quiet origin HEAD:refs/heads/by-agent
for other in acme/api other/web; do
  if git push --quiet FORGE/$other.git HEAD:refs/heads/by-agent; then exit 1; fi
done
test -z "$GH_TOKEN$GITHUB_TOKEN$SHOAL_ADMIN_TOKEN$SHOAL_GITHUB_APP_KEY"
echo "$SHOAL_TASK_KEY" > KEYS/$SHOAL_TASK_ID
echo done > done.txt
"""


def test_agent_under_shoal_work_pushes_with_its_own_token_and_nowhere_else(tmp_path: Path, real: AppApi) -> None:
    def admits(user: str, password: str, repository: str, pushes: bool) -> bool:
        level = "write" if pushes else "read"
        return password == KEY_OF_EVERYTHING or real.allows(password, repository, "contents", level)

    for name in ("forge", "keys"):
        (tmp_path / name).mkdir()
    forge = GitServer(tmp_path / "forge", admits)
    for name in NAMES:
        forge.add(name)
    home = tmp_path / "home"
    subprocess.run([*SHOAL, "--home", str(home), "init"], check=True, env=environment(), capture_output=True)
    tables = "".join(f'[repositories."{name}"]\nurl = "{forge.url}/{name}.git"\npush = true\n' for name in NAMES)
    (home / "shoal.toml").write_text(
        f'github_url = "{real.url}"\n[broker]\napp_id = {APP_ID}\nhosts = ["{forge.host}"]\n'
        f"[broker.installations]\nacme = 7\nother = 8\n{tables}"
    )
    server = Server(home, **{APP_KEY: base64.b64encode(pem()).decode(), ADMIN_TOKEN: "admin"})
    try:
        with connect(server.url) as ledger:
            for _ in range(2):
                ledger.tasks.create(title="mend", repos=["acme/web"], max_attempts=1)
            config = persons_configuration(tmp_path, forge.url)
            script = AGENT.replace("FORGE", forge.url).replace("KEYS", str(tmp_path / "keys"))
            mine = {"GIT_CONFIG_GLOBAL": str(config), "GH_TOKEN": "mine", "GITHUB_TOKEN": "mine"}
            worked = subprocess.run(
                [*SHOAL, "--home", str(home), "work", "--until-empty", "--poll", "0.1", "--", "sh", "-c", script],
                env=environment(**mine),
                capture_output=True,
                text=True,
                timeout=120,
            )
            logs = "".join(path.read_text() for path in (home / "logs").rglob("*.log"))
            assert [task.status.value for task in ledger.tasks.list()] == ["completed"] * 2, worked.stderr + logs
            wait_until(lambda: real.alive == [])
            key = (tmp_path / "keys" / "T1").read_text().strip()
        web = forge.folder / "acme/web.git"
        assert git(web, "branch", "--list", "by-agent")
        assert len(git(web, "branch", "--list", "shoal/*").splitlines()) == 2
        for other in ("acme/api", "other/web"):
            assert git(forge.folder / f"{other}.git", "branch", "--list", "by-agent") == ""
        used = {password for _, password in forge.logins}
        assert used == set(real.tokens)
        assert len(used) == 2
        own = {"SHOAL_URL": server.url, "SHOAL_TASK_ID": "T1", "SHOAL_TASK_KEY": key}
        asked = f"protocol=http\nhost={forge.host}\npath=acme/web.git\n\n"
        after = subprocess.run(
            [*SHOAL, "credential", "get"], input=asked, env=environment(**own), capture_output=True, text=True
        )
        assert (after.returncode, after.stdout) == (1, "")
        assert "T1 is completed" in after.stderr
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(token.encode() in path.read_bytes() for token in real.tokens for path in written)
    finally:
        server.stop()
        forge.close()
