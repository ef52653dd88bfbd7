"""The home of a ledger and its settings: found, restored, and said so when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal import connect
from tests.adapters.test_tree import git
from tests.cli.shell import Shell


def test_home_is_found_upwards_and_never_made_anew(shell: Shell) -> None:
    shell("add", "x")
    below = shell.folder / "a" / "b"
    below.mkdir(parents=True)
    deeper = Shell(below)
    deeper.folder = below
    assert "x" in deeper("list")

    shell("backup")
    (shell.home / "ledger.db").unlink()
    shell("list", code=6)
    assert "has vanished" in shell.errors
    assert "shoal restore" in shell.errors
    assert not (shell.home / "ledger.db").exists()
    [backup] = (shell.home / "backups").glob("*.db")
    shell("restore", str(backup))
    assert "x" in shell("list")


def test_home_within_a_repository_is_ignored_by_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    shell = Shell(tmp_path)
    shell("init")
    assert git(tmp_path, "status", "--porcelain") == ""
    (shell.home / ".gitignore").write_text("ledger.db\n")
    shell("init")
    assert (shell.home / ".gitignore").read_text() == "ledger.db\n"


def test_home_outside_of_one_says_nothing_to_git(shell: Shell) -> None:
    assert not (shell.home / ".gitignore").exists()


def test_restore_keeps_what_was_there_and_waits_for_those_who_use_it(shell: Shell) -> None:
    shell("add", "before")
    shell("backup")
    shell("add", "after")
    [backup] = (shell.home / "backups").glob("*.db")
    with connect(shell.home / "ledger.db"):
        shell("restore", str(backup), code=4)
        assert "open in another process" in shell.errors
    assert "after" in shell("list")
    shell("restore", str(backup))
    assert "after" not in shell("list")
    [kept] = shell.home.glob("ledger.db.before-restore-*")
    with connect(kept) as ledger:
        assert [task.title for task in ledger.tasks.list()] == ["after", "before"]


def test_folder_without_a_home_is_said_so(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell("list", code=6)
    assert "shoal init" in shell.errors


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_wrong_file_is_said_so(shell: Shell, content: bytes) -> None:
    for path in shell.home.glob("ledger.db*"):
        path.unlink()
    (shell.home / "ledger.db").write_bytes(content)
    shell("list", code=6)
    assert "damaged or not a Shoal database" in shell.errors
    assert (shell.home / "ledger.db").read_bytes() == content
    assert "bad" in shell("doctor", code=6)


def test_bad_configuration_is_said_so(shell: Shell) -> None:
    (shell.home / "shoal.toml").write_text("lease_seconds = 'long'\n")
    shell("list", code=2)
    assert "lease_seconds" in shell.errors
    (shell.home / "shoal.toml").write_text("colour = 'red'\n")
    shell("list", code=2)
    assert "colour" in shell.errors


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[agents.fast]\nknid = 'codex'", "[agents.fast] knid: there is no such field; did you mean kind?"),
        ("[agents.fast]\nkind = 'codx'", "[agents.fast] kind: 'codx' is not one of claude, codex, command"),
        ("[agents.fast]\nmax_usd = 'all'", "[agents.fast] max_usd: Expected"),
        ("[agents.good]\n[agents.'a b']\nenv = {A = []}", '[agents."a b"] env'),
        ("[agent.fast]\nkind = 'codex'", "[agent.fast] there is no such table; did you mean agents?"),
        ("[workflow]\nx = 1", "did you mean workflows?"),
        ("[agents]\nkind = 'codex'", "agents: it is written as a table, [agents.NAME]"),
        ("[[kubernetes]]", "kubernetes: it is written as a table, [kubernetes]"),
        ("[repositories.'o/r']\npush = 'perhaps'", '[repositories."o/r"] push: Expected'),
        ("[dispatch]\nexecutor = 'k8s'", "[dispatch] executor: 'k8s' is not one of"),
        ("[kubernetes]\nimagee = 'x'", "[kubernetes] imagee: there is no such field; did you mean image?"),
        ("[broker]\nhosts = ['https://github.com']", "is not the name of a host alone; write 'github.com'"),
        (
            "[broker]\nhosts = ['GitHub.com/']",
            "hosts: 'GitHub.com/' is not the name of a host alone; write 'github.com'",
        ),
        ("[broker]\nrepositories = ['acme']", "it is not owner/name, or owner/* for all of one"),
        ("[broker.services.x]\nrepositories = ['a/b', 'c/d']", "a token is for one owner, and repositories names a, c"),
        ("[broker.types.docs]\ncontents = 'all'", "types.NAME.NAME: 'all' is not one of admin, read, write"),
        ("[channels.x]\nurl = 'json://a'\nurl_variable = 'A'", "it has both url and url_variable; keep one"),
        ("lease_second = 5", "lease_second: there is no such setting; did you mean lease_seconds?"),
        ("lease_seconds = 'long'", "lease_seconds: Expected `int`"),
    ],
)
def test_mistake_in_the_settings_is_named_with_its_table(shell: Shell, written: str, told: str) -> None:
    (shell.home / "shoal.toml").write_text(written + "\n")
    shell("list", code=2)
    assert told in shell.errors


def test_value_that_is_none_of_those_allowed_is_said_with_them(shell: Shell) -> None:
    shell("list", "-s", "complete", code=2)
    assert "status: 'complete' is not one of queued, scheduled" in shell.errors
    assert "did you mean completed?" in shell.errors


def test_doctor_says_when_the_key_of_the_app_is_open_to_all(shell: Shell) -> None:
    (shell.home / "shoal.toml").write_text('[broker]\nprivate_key = "app.pem"\n')
    key = shell.home / "app.pem"
    key.write_text("x")
    for mode, code in ((0o644, 6), (0o600, 0)):
        key.chmod(mode)
        said = shell("doctor", code=code)
        assert ("chmod 600" in said) == (code == 6)
    key.unlink()
    assert "cannot be read" in shell("doctor", code=6)


def test_doctor_says_when_no_worker_could_use_the_settings(shell: Shell) -> None:
    def agents(text: str, *, code: int) -> str:
        (shell.home / "shoal.toml").write_text(text)
        [line] = [line for line in shell("doctor", code=code).splitlines() if " agents: " in line]
        return line

    slow, fast = (f'[agents.{name}]\nkind = "command"\nprogram = ["true"]\n' for name in ("slow", "fast"))
    assert agents("", code=0).startswith("ok")
    assert agents(f'agent = "fast"\n{slow}{fast}', code=0).startswith("ok")
    assert 'set agent = "slow"' in agents(slow + fast, code=6)
    assert "there is no [agents.fats]" in agents(f'agent = "fats"\n{slow}', code=6)
    listed = agents(f'{slow}{fast}types = ["chore"]\n', code=0)
    assert "only tasks that an agent lists" in listed
