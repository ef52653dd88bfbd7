"""`git-credential-shoal` as git speaks to it: what t0303 asks of a helper, and what must not be said."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.cli import git_credential
from shoal.model.task import Claim
from tests.credentials.agents_git import Run
from tests.fleet import environment
from tests.git_server import GitServer
from tests.github_app import AppApi
from tests.services.broker import at_work, audited


@pytest.fixture
def claim(ledger: Ledger) -> Claim:
    return at_work(ledger, "acme/web")


class Helper:
    """Runs the helper in this process."""

    def __init__(self, url: str, claim: Claim) -> None:
        self.environment = {"SHOAL_URL": url, "SHOAL_TASK_ID": claim.task.task_id, "SHOAL_TASK_KEY": claim.key}

    def __call__(self, given: str | bytes, operation: str = "get", code: int = 0, **around: str) -> dict[str, str]:
        answer = io.BytesIO()
        asked = io.BytesIO(given if isinstance(given, bytes) else given.encode())
        assert git_credential.run([operation], asked, answer, self.environment | around) == code
        lines = answer.getvalue().decode().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def helper(url: str, claim: Claim) -> Helper:
    return Helper(url, claim)


def place(host: str, path: str | None = "acme/web.git", protocol: str = "http") -> str:
    named = "" if path is None else f"path={path}\n"
    return f"protocol={protocol}\nhost={host}\n{named}"


def test_answers_with_user_token_and_expiry(helper: Helper, forge: GitServer, api: AppApi) -> None:
    told = helper(place(forge.host) + "\n")
    assert list(told) == ["username", "password", "password_expiry_utc"]
    assert told["username"] == "x-access-token"
    assert api.allows(told["password"], "acme/web", "contents", "write")
    assert int(told["password_expiry_utc"]) * 1000 == api.tokens[told["password"]].expires_at
    assert helper(place(forge.host)) == told  # the end of the input ends it, too


def test_one_repository_has_many_spellings(helper: Helper, forge: GitServer) -> None:
    spelled = ("acme/web", "/acme/web.git", "acme/web.git/", "ACME/Web.git")
    of_lfs = ("acme/web.git/info/lfs", "acme/web/info/lfs/objects")
    for path in (*spelled, *of_lfs):
        assert helper(place(forge.host, path)), path


def test_nothing_is_said_of_repositories_that_are_not_the_tasks(helper: Helper, forge: GitServer) -> None:
    others = ("acme/api.git", "other/web.git", "web.git", "acme", "acme/web/x", "x/acme/web.git", "acme/web.wiki.git")
    odd = ("acme/../acme/web", "acme/web.git.git", "acme%2Fweb.git", "acme/web?x", "acmé/web", "Åcme/web")
    for path in (*others, *odd):
        assert helper(place(forge.host, path)) == {}, path
    assert helper(place(forge.host, "x" * 3000), code=1) == {}


def test_nothing_is_said_of_other_hosts_ports_and_protocols(helper: Helper, forge: GitServer, api: AppApi) -> None:
    name, _, port = forge.host.partition(":")
    for host in (
        "github.com",
        name,
        f"{name}:1",
        f"localhost:{port}",
        f"me@{forge.host}",
        f"{forge.host}.evil.com",
        ":",
    ):
        assert helper(place(host)) == {}, host
    for protocol in ("https", "ssh", "ftp", "HTTP", "cert"):
        asked = helper(place(forge.host, protocol=protocol))
        assert bool(asked) == (protocol == "https"), protocol
    assert len(api.tokens) == 1


def test_nothing_is_said_where_too_little_is_known(helper: Helper, forge: GitServer) -> None:
    pieces = ("protocol=http\n", f"host={forge.host}\n", "path=acme/web.git\n", "username=me\n\n")
    for given in ("", "\n", "nonsense\n", "=\n", *pieces):
        assert helper(given) == {}, given


def test_what_comes_after_the_empty_line_is_not_read(helper: Helper, forge: GitServer) -> None:
    assert helper(f"{place(forge.host, 'other/web.git')}\npath=acme/web.git\n") == {}


def test_attributes_that_it_does_not_know_are_passed_over(helper: Helper, forge: GitServer) -> None:
    further = 'capability[]=authtype\nwwwauth[]=Basic realm="GitHub"\nwwwauth[]=Bearer\nusername=me\noauth_x=1\n'
    assert helper(further + place(forge.host) + "ephemeral=0\n\n")["username"] == "x-access-token"


def test_lines_may_end_as_on_windows(helper: Helper, forge: GitServer) -> None:
    assert helper(place(forge.host).replace("\n", "\r\n") + "\r\n")


def test_control_characters_are_refused(helper: Helper, forge: GitServer) -> None:
    texts = (place(forge.host, "acme/web.git?"), place(f"{forge.host}?"), place(forge.host, protocol="http?"))
    for text, bad in product(texts, (b"\r", b"\0", b"\x1b[2J", b"\xff", b"\x7f")):
        assert helper(text.encode().replace(b"?", bad + b"x")) == {}


def test_the_last_of_several_lines_counts(helper: Helper, forge: GitServer) -> None:
    assert helper("path=other/web.git\n" + place(forge.host))
    assert helper(place(forge.host) + "path=other/web.git\n") == {}


def test_other_operations_do_nothing(helper: Helper, ledger: Ledger, forge: GitServer, api: AppApi) -> None:
    told = helper(place(forge.host))
    for operation in ("store", "erase", "approve", ""):
        assert helper(place(forge.host) + f"username=x\npassword={told['password']}\n", operation) == {}
        assert helper(place(forge.host)) == told
    assert len(api.tokens) == 1
    assert audited(ledger, task=1).count("issued") == 1


def test_without_a_path_it_answers_for_a_task_with_one_repository(
    ledger: Ledger, url: str, forge: GitServer, helper: Helper
) -> None:
    assert helper(place(forge.host, None))
    assert helper(place(forge.host, ""))
    two = Helper(url, at_work(ledger, "acme/web", "other/web"))
    assert two(place(forge.host, None)) == {}
    assert two(place(forge.host, "other/web.git"))["password"] != two(place(forge.host))["password"]


def test_outside_of_a_task_nothing_is_said(helper: Helper, forge: GitServer) -> None:
    assert helper(place(forge.host), SHOAL_TASK_ID="") == {}


def test_why_there_is_no_token_is_said_to_people(
    helper: Helper, ledger: Ledger, forge: GitServer, api: AppApi, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(**around: str) -> str:
        assert helper(place(forge.host), code=1, **around) == {}
        return capsys.readouterr().err

    assert "T1 needs the key of its attempt 1" in said(SHOAL_TASK_KEY="")
    assert "the key is not that of attempt 1" in said(SHOAL_TASK_KEY="wrong")
    assert "T99" in said(SHOAL_TASK_ID="T99")
    api.next_time("POST /app/installations", 403)
    assert said().startswith("git-credential-shoal: ")
    ledger.tasks.complete(1, attempt=1)
    assert "T1 is completed" in said()


def test_server_that_is_away_is_an_error_and_git_goes_on(
    helper: Helper, forge: GitServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_credential, "REST_SECONDS", 0.0)
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:99999", forge.url):
        assert helper(place(forge.host), code=1, SHOAL_URL=url) == {}
        assert url in capsys.readouterr().err


def test_answer_with_a_line_end_in_it_is_not_passed_on(
    helper: Helper, forge: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: dict[str, Any] = {"username": "x", "password": "a\nhost=evil.com", "expires_at": 1}
    monkeypatch.setattr(git_credential, "_over_http", lambda *_: answer)
    assert helper(place(forge.host), code=1) == {}


def test_program_ends_as_git_expects(tmp_path: Path) -> None:
    def program(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-P", "-m", "shoal.cli.git_credential", *arguments]
        done = subprocess.run(command, input="", capture_output=True, text=True, env=environment())
        return done.returncode, done.stdout, done.stderr

    assert program("get") == program("store") == program("erase") == program("unheard-of") == (0, "", "")
    assert program()[:2] == program("get", "x")[:2] == (2, "")
    assert "usage: git-credential-shoal" in program()[2]


def test_it_imports_nothing_that_takes_long() -> None:
    told = "import sys, shoal.cli.git_credential; print(*sorted(m for m in sys.modules if m.partition('.')[0] in %r))"
    slow = ("shoal", "http", "json", "click", "msgspec", "asyncio")
    done = subprocess.run([sys.executable, "-c", told % (slow,)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["shoal", "shoal.cli", "shoal.cli.git_credential"]


def test_home_without_a_server_answers_as_well(tmp_path: Path, forge: GitServer, api: AppApi, claim: Claim) -> None:
    # No App there: what is missing is said.
    shoal = [sys.executable, "-m", "shoal", "--home", str(tmp_path / "other")]
    for arguments in (["init"], ["add", "x", "--repo", "acme/web"], ["claim", "--worker", "w"]):
        subprocess.run([*shoal, *arguments], check=True, env=environment(), capture_output=True)
    done = subprocess.run(
        [*shoal, "credential", "get"],
        input=place("github.com", protocol="https"),
        capture_output=True,
        text=True,
        env=environment(SHOAL_HOME=str(tmp_path / "other"), SHOAL_TASK_ID="T1", SHOAL_TASK_KEY="k"),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "broker.app_id" in done.stderr


def test_git_itself_fills_in_a_credential(run: Run, claim: Claim, forge: GitServer) -> None:
    filled = run(claim, "credential", "fill", stdin=place(forge.host) + "\n").stdout
    assert "username=x-access-token\npassword=ghs_" in filled
    assert "path=acme/web.git\n" in filled
    asked = place("127.0.0.1:1") + "\n"
    run(claim, "credential", "fill", stdin=asked, ok=False)  # the person's own helper has nothing for it either
    run(claim, "credential", "reject", stdin=filled)
    assert run(claim, "credential", "fill", stdin=place(forge.host) + "\n").stdout == filled
    injected = place(forge.host) + "url=http://x%0ahost=evil.com/\n\n"
    assert "newline" in run(claim, "credential", "fill", stdin=injected, ok=False).stderr
    assert os.environ.get("SHOAL_TASK_KEY") is None
