"""`shoal scan` as a person uses it, in a repository of theirs."""

from __future__ import annotations

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.adapters.test_tree import git
from tests.cli.shell import Shell
from tests.conftest import wait_until
from tests.fleet import SHOAL, environment

TODO = "# TODO\r\n\r\n- [ ] Mend the pump ~4h\r\n- [ ] Paint the fence\r\n- [x] Buy a hose\r\n- [ ] Fish?\r\n"


@pytest.fixture
def project(shell: Shell) -> Path:
    root = shell.folder / "pond"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "TODO.md").write_bytes(TODO.encode())
    (root / "notes.md").write_text("- [ ] Feed the fish\n")
    commit(root)
    return root


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "On")
    return git(root, "rev-parse", "HEAD")


def became(told: list[dict]) -> list[tuple]:
    return [(one["item_id"], one["became"], one["line"]) for one in told[0]["report"]["changes"]]


def test_scan_finds_work_and_knows_it_again(shell: Shell, project: Path) -> None:
    shown = shell("scan", "pond", "--dry-run")
    assert "TODO.md:3" in shown
    assert "pond (markdown): would be: 1 done, 3 new; 1 file read, 0 as they were" in shown
    assert "1 done, 3 new" in shell("scan", "pond")
    assert shell("scan", "pond") == "pond (markdown): nothing to do; 0 files read, 1 as they were\n"
    (project / "TODO.md").write_bytes(TODO.replace("[ ] Paint the", "[x] Paint the old").encode())
    ticked = commit(project)
    shown = shell("scan", "pond", "--explain")
    assert "W2" in shown
    assert "reworded" in shown
    assert shell("scan", "pond", "-q") == ""
    (told,) = shell.json("scan", "pond")
    assert (told["read"], told["unchanged"], told["notes"], told["credited"]) == (0, 1, [], 0)
    assert done_commit(shell, "W2") == ticked
    git(project, "mv", "TODO.md", "BACKLOG.md")
    assert became(shell.json("scan", "pond")) == [
        *(("W1", "moved", 3), ("W2", "moved", 4), ("W3", "moved", 5), ("W4", "moved", 6))
    ]


def done_commit(shell: Shell, item: str) -> str | None:
    from shoal import connect

    with connect(shell.home / "ledger.db") as ledger:
        return ledger.items.get(item).done_commit


def test_named_file_is_read_and_stays_in_the_backlog(shell: Shell, project: Path) -> None:
    shell("scan", "pond")
    assert became(shell.json("scan", "pond/notes.md")) == [("W5", "new", 1)]
    for _ in range(4):
        assert became(shell.json("scan", "pond")) == []
    (project / "notes.md").unlink()
    changes = [change for _ in range(3) for change in became(shell.json("scan", "pond"))]
    assert [change[:2] for change in changes if change[1] == "stale"] == [("W5", "stale")]
    (project / "more.md").write_text("- [ ] Count the frogs\n")
    assert became(shell.json("scan", "pond", "--markdown", "--project", "pond")) == [("W6", "new", 1)]


def test_project_is_the_one_whose_folder_it_is(shell: Shell, project: Path) -> None:
    (shell.home / "shoal.toml").write_text('[projects.water]\npath = "../pond"\n')
    (told,) = shell.json("scan", "pond/TODO.md")
    assert told["report"]["project"] == "water"
    assert shell.json("scan", "--project", "water")[0]["report"]["project"] == "water"
    shell("scan", str(shell.folder), "--project", "water", code=2)
    assert "is not in" in shell.errors
    shell("scan", "nowhere", code=2)
    assert "there is no nowhere" in shell.errors


def test_project_of_another_repository_of_the_same_name_is_refused(shell: Shell, project: Path) -> None:
    shell("scan", "pond")
    other = shell.folder / "other" / "pond"
    other.mkdir(parents=True)
    (other / "TODO.md").write_text("- [ ] Weed the garden\n")
    git(other, "init", "-q", "-b", "main")
    shell("scan", str(other), code=4)
    assert "pond is the project of another repository" in shell.errors
    assert "--project" in shell.errors
    git(other, "init", "-q", "-b", "main")
    commit(other)
    shell("scan", str(other), code=4)
    assert became(shell.json("scan", str(other), "--project", "garden")) == [("W5", "new", 1)]
    assert became(shell.json("scan", "pond")) == []
    git(shell.folder, "clone", "-q", "pond", "deeper/pond")
    assert became(shell.json("scan", "deeper/pond")) == []
    project.rename(shell.folder / "lake")
    assert became(shell.json("scan", "lake", "--project", "pond")) == []


def test_scans_at_once_all_end_well(shell: Shell, project: Path) -> None:
    lines = [f"- [ ] Feed fish number {number}\n" for number in range(200)]
    (project / "TODO.md").write_text("".join(lines))
    with ThreadPoolExecutor(5) as pool:
        asked = [*SHOAL, "scan", "pond"]
        kept = environment(HOME=str(shell.folder), USER="ana", LOGNAME="ana")
        run = partial(subprocess.run, cwd=shell.folder, env=kept, capture_output=True, text=True)
        ended = list(pool.map(lambda _: run(asked), range(5)))
    assert [(one.returncode, one.stderr) for one in ended] == [(0, "")] * 5
    assert sum("200 new" in one.stdout for one in ended) == 1


def test_file_with_more_than_may_be_taken_is_told_and_its_items_stay(shell: Shell, project: Path) -> None:
    shell("scan", "pond")
    (project / "TODO.md").write_text("".join(f"- [ ] Feed fish {number}\n" for number in range(20_001)))
    assert became(shell.json("scan", "pond")) == []
    shell("scan", "pond", "--write-back")
    assert "left out: TODO.md has more than 20,000 things to do; divide it" in shell.errors


def test_what_is_left_out_is_told(shell: Shell, project: Path) -> None:
    (project / "BACKLOG.md").write_bytes(b"\0")
    (project / "ROADMAP.md").symlink_to("/etc/passwd")
    shell("scan", "pond")
    assert shell.errors == "left out: BACKLOG.md is binary\nleft out: ROADMAP.md is a link\n"


def test_boxes_of_done_items_are_ticked_on_request(shell: Shell, project: Path) -> None:
    from shoal import connect

    shell("scan", "pond")
    with connect(shell.home / "ledger.db") as ledger:
        ledger.items.done("W1")
    assert "would tick: W1" in shell("scan", "pond", "--write-back", "--dry-run")
    assert (project / "TODO.md").read_bytes() == TODO.encode()
    assert "ticked: W1" in shell("scan", "pond", "--write-back")
    assert (project / "TODO.md").read_bytes() == TODO.replace("[ ] Mend", "[x] Mend").encode()
    assert shell("scan", "pond", "--write-back").endswith("nothing to do; 0 files read, 1 as they were\n")


def test_comments_are_read_where_asked(shell: Shell, project: Path) -> None:
    (project / "pump.py").write_text("x = 1  # TODO(ana): make it quieter\n")
    told = shell.json("scan", "pond", "--comments")
    assert [one["report"]["scanner"] for one in told] == ["markdown", "comments"]
    assert [one["path"] for one in told[1]["report"]["changes"]] == ["pump.py"]


def test_comments_of_every_scan_and_what_none_reads(shell: Shell, project: Path) -> None:
    (shell.home / "shoal.toml").write_text('[backlog]\ncomments = true\nignore = ["vendor/**", "!vendor/own.py"]\n')
    (project / "vendor").mkdir()
    for name in ("pump.py", "vendor/theirs.py", "vendor/own.py"):
        (project / name).write_text("x = 1  # TODO: make it quieter\n")
    (project / "vendor" / "TODO.md").write_text("- [ ] Theirs\n")
    told = shell.json("scan", "pond")
    assert {change["path"] for one in told for change in one["report"]["changes"]} == {
        *("TODO.md", "pump.py", "vendor/own.py")
    }
    assert shell.json("scan", "pond/vendor/TODO.md")[0]["notes"] == [
        {"path": "vendor/TODO.md", "why": "is in `ignore` of [backlog]"}
    ]
    (project / "pump.py").unlink()
    for _ in range(3):
        shell("scan", "pond")
    assert [one["source_file"] for one in shell.json("backlog", "list", "-s", "stale")] == ["pump.py"]


def test_folder_that_is_no_project_needs_a_name(shell: Shell, project: Path) -> None:
    (shell.folder / "TODO.md").write_text("- [ ] Somebody else's\n")
    shell("scan", "pond/..", code=2)
    assert f"{shell.folder} is in no repository" in shell.errors
    assert "--project NAME" in shell.errors
    assert shell.json("backlog", "list") == []
    assert "1 new" in shell("scan", "pond/..", "--project", "else")


def test_watch_scans_again_until_it_is_stopped(shell: Shell, project: Path) -> None:
    from shoal import connect

    with subprocess.Popen(
        [*SHOAL, "scan", "pond", "--watch"],
        cwd=shell.folder,
        env=environment(HOME=str(shell.folder), USER="ana", LOGNAME="ana"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        for line in watching.stdout:
            if line.startswith("pond (markdown)"):
                break
        with connect(shell.home / "ledger.db") as ledger:

            def is_seen() -> bool:
                (project / "TODO.md").write_bytes(TODO.encode() + b"- [ ] Count the frogs\r\n")
                return any(one.text == "Count the frogs" for one in ledger.items.list())

            try:
                wait_until(is_seen)
            finally:
                watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0


def test_rules_decide_at_once_and_ask_git_where_the_files_are(shell: Shell, project: Path) -> None:
    (shell.home / "shoal.toml").write_text(
        '[triage.hot]\nthen = "accept"\nchanged_within_days = 30\n[triage.rest]\nthen = "reject"\n'
    )
    (project / "TODO.md").write_text("- [ ] Oil the pump\n")
    commit(project)
    (project / "ROADMAP.md").write_text("- [ ] Dig a well\n")
    assert "by rules" not in shell("scan", "pond", "--dry-run")
    assert shell.errors == ""
    assert shell("scan", "pond").endswith("by rules: hot 1, rest 1\n")
    found = {one["text"]: one["decided_by"] for one in shell.json("backlog", "list", "--all")}
    assert found == {"Oil the pump": "rule:hot", "Dig a well": "rule:rest"}
