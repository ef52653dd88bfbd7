"""What reads a checkout runs nothing that its files, its configuration or its objects name."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from shoal.adapters.git.renames import renamed_since
from shoal.adapters.git.sources import Sources
from shoal.errands.checks.look import head_of
from tests.adapters.test_tree import git
from tests.cli.shell import Shell
from tests.hostile import ATTRIBUTES, HostileRepository

OPEN = "# TODO\n\n- [ ] Mend the pump\n- [ ] Paint the fence\n- [ ] Feed the fish\n"
MINE = OPEN.replace("the", "my")
PLAN = "# Plan\n\n- [ ] Dig a pond\n" + "".join(f"Line {number} of it.\n" for number in range(40))
CODE = "def mend_pump():\n    return 1  # TODO: use `feed_fish` instead\n"
CONVENTIONS = '[[forbid]]\nname = "no-todo"\nfiles = ["**/*.py"]\npattern = "TODO"\n'
SETTINGS = """
[projects.pond]
path = "../pond"
[triage.fresh]
then = "accept"
changed_within_days = 3000
"""


@pytest.fixture
def pond(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> HostileRepository:
    monkeypatch.setenv("HOME", str(shell.folder))
    pond = HostileRepository(shell.folder)
    sub = pond.root / "sub"
    sub.mkdir()
    git(sub, "init", "-q", "-b", "main")
    (sub / "TODO.md").write_text("- [ ] Not ours\n")
    git(sub, "add", "-A")
    git(sub, "commit", "-qm", "One")
    (pond.root / ".gitattributes").write_text(ATTRIBUTES)
    (pond.root / ".gitmodules").write_text('[submodule "sub"]\n\tpath = sub\n\turl = ../sub\n')
    pond.commit(
        TODO_md=OPEN,
        MINE_md=MINE,
        docs__PLAN_md=PLAN,
        src__pump_py=CODE,
        notes_txt="See docs/PLAN.md\n",
        a_cfg="One\n",
        a_ini="One\n",
        README_md="See [the plan](docs/PLAN.md), [it](docs/LOST.md) and `src/pomp.py`.\n",
        conventions_toml=CONVENTIONS,
    )
    with open(shell.home / "shoal.toml", "a") as file:
        file.write(SETTINGS)
    return pond


def test_traps_are_live(pond: HostileRepository) -> None:
    """Git by itself falls into them; else the tests below would say nothing."""
    first = git(pond.root, "rev-parse", "HEAD")
    pond.commit(docs__PLAN_md=PLAN + "More\n")
    pond.lose(f"{first}:docs/PLAN.md")
    for name in ("TODO.md", "MINE.md", "notes.txt", "a.cfg", "a.ini"):
        (pond.root / name).write_text("Other\n")
    for asked in (
        *(["status"], ["diff", "a.ini"], ["log"], ["blame", "TODO.md"], ["blame", "MINE.md"], ["add", "."]),
        *(["diff", "--no-ext-diff", "HEAD", "--", one] for one in ("a.ini", "a.cfg", "TODO.md")),
        *(["show", f"{first}:docs/PLAN.md"], ["checkout", "-q", "HEAD", "TODO.md"]),
    ):
        subprocess.run(["git", *asked], cwd=pond.root, capture_output=True, check=False)
    assert pond.fell >= {
        *("core.fsmonitor", "diff.external", "diff.local.textconv", "filter.local.clean", "filter.local.smudge"),
        *("filter.process.process", "gpg.program", "remote.origin.uploadpack", "included", "worktree"),
        *("user.diff.mine.textconv", "user.filter.mine.clean", "configured hook post-index-change"),
    }


def test_scans_run_nothing(shell: Shell, pond: HostileRepository) -> None:
    assert "7 new" in shell("scan", "pond", "--markdown")
    ticked = pond.commit(TODO_md=OPEN.replace("[ ] Paint", "[x] Paint"), MINE_md=MINE.replace("[ ] Paint", "[x] Paint"))
    pond.rename("docs/PLAN.md", "docs/POND.md")
    (pond.root / "TODO.md").write_text("First\n\n" + (pond.root / "TODO.md").read_text())
    (told,) = shell.json("scan", "pond", "--markdown")
    assert told["credited"] == 2
    assert {one["became"] for one in told["report"]["changes"]} == {"done", "moved"}
    done = shell.json("backlog", "list", "--status", "done")
    assert {one["done_commit"] for one in done} == {ticked}
    assert "1 new" in shell("scan", "pond", "--comments")
    mend = next(one for one in shell.json("backlog", "list") if one["source_file"] == "TODO.md")
    shell("item", "done", mend["item_id"])
    assert f"ticked: {mend['item_id']}" in shell("scan", "pond", "--write-back")
    assert pond.fell == set()


def test_scan_of_a_clone_that_fetches_when_asked_runs_nothing(shell: Shell, pond: HostileRepository) -> None:
    first = git(pond.root, "rev-parse", "HEAD")
    shell("scan", "pond", "--markdown")
    pond.commit(docs__PLAN_md=PLAN + "More\n", TODO_md=OPEN.replace("[ ] Paint", "[x] Paint"))
    pond.rename("docs/PLAN.md", "docs/POND.md")
    pond.lose(f"{first}:docs/PLAN.md")
    pond.lose(f"{first}:TODO.md")
    (told,) = shell.json("scan", "pond", "--markdown")
    assert told["report"]["counts"]["done"] == 1
    shell("check", "run", "doc-health", "--path", "pond", "--dry-run")
    shell("triage", "--rules")
    assert renamed_since(pond.root, first) == {}
    assert pond.fell == set()


CHECKS = {"doc-health": "missing-file", "convention-scan": "no-todo", "todo-scan": "7 new"}


@pytest.mark.parametrize("check", CHECKS)
def test_checks_run_nothing(shell: Shell, pond: HostileRepository, check: str) -> None:
    pond.rename("docs/PLAN.md", "docs/POND.md")
    pond.commit()
    options = ["-o", "markdown=true"] if check == "todo-scan" else []
    shown = shell("check", "run", check, "--project", "pond", *options)
    assert CHECKS[check] in shown + shell.errors
    assert pond.fell == set()


def test_commits_are_read_without_running_anything(shell: Shell, pond: HostileRepository) -> None:
    first = head_of(pond.root)
    pond.rename("docs/PLAN.md", "docs/POND.md")
    second = pond.commit()
    assert head_of(pond.root) == second
    assert renamed_since(pond.root, str(first)) == {"docs/POND.md": "docs/PLAN.md"}
    shell("scan", "pond")
    assert "accepted" in shell("triage", "--rules", "--dry-run")
    assert pond.fell == set()


def test_code_is_read_without_running_anything(shell: Shell, pond: HostileRepository) -> None:
    sources = Sources(pond.root)
    assert sources.head == git(pond.root, "rev-parse", "HEAD")
    assert "src/pump.py" in sources.files
    assert sources.text("src/pump.py") == CODE
    assert list(sources.where(["mend_pump"], most_files=5)["mend_pump"])
    shell("item", "add", "Mend `mend_pump`", "--project", "pond", "--accept")
    assert "src/pump.py" in shell("scope", "W1", "--dry-run")
    assert pond.fell == set()


@pytest.mark.parametrize("shape", ["link", "bare"])
def test_folders_that_git_takes_for_another_repository(shell: Shell, pond: HostileRepository, shape: str) -> None:
    """A `.git` file that names a folder elsewhere, and a folder that is laid out as a repository itself."""
    there = shell.folder / "there"
    if shape == "bare":
        shutil.copytree(pond.root / ".git", there)
    else:
        there.mkdir()
        (there / ".git").write_text(f"gitdir: {pond.root}/.git\n")
    (there / "TODO.md").write_text(OPEN)
    (there / "pump.py").write_text(CODE)
    assert "3 new" in shell("scan", "there", "--project", "there")
    shell("scan", "there", "--project", "there", "--comments")
    shell("check", "run", "doc-health", "--path", "there", "--dry-run")
    assert Sources(there).where(["mend_pump"], most_files=5)["mend_pump"]
    assert head_of(there) == (None if shape == "bare" else git(pond.root, "rev-parse", "HEAD"))
    assert pond.fell == set()
