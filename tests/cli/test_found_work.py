"""Found work, all the way: scanned, accepted, assessed, put in order, cut into tasks, done, and ticked in its file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.messages_api import Answer, MessagesApi, Tokens, Tool
from tests.cli.shell import Shell
from tests.conftest import wait_until
from tests.fleet import Server
from tests.vaults import git

pytestmark = pytest.mark.timeout(120)

TODO = b"""\
# Plan\r

## Login
- [ ] Mend `week_key` in src/week.py id:week
  - it is 1 in every week
- [ ] Tell it on the page ~1h blocked-by:week
- [ ] Which colour?
- [ ] Paint everything
* [x] Begin \xff
"""
GUIDE = "# Guide\n\nSee [the plan](TODO.md), [usage](docs/usge.md) and [the weeks](src/week.py).\n"
ASSESSED: dict[str, Any] = {
    "title": "Count the weeks", "summary": "It is 1 in every week.", "effort": "small", "risk": "low",
    "files_involved": ["src/week.py", "src/gone.py"], "dependencies": [], "overlaps": [], "confidence": "high",
    "sub_tasks": ["Write the test", "Mend it"],
}  # fmt: skip
# An agent that mends what doc-health says of the guide, writes a page about anything else, and keeps a diary.
AGENT = """
import json, pathlib, sys
task = json.load(sys.stdin)["task"]
guide = pathlib.Path("GUIDE.md")
if "usge" in task["title"]:
    guide.write_text(guide.read_text().replace("usge", "usage"))
else:
    pathlib.Path(task["task_id"] + ".md").write_text(task["title"])
with open(sys.argv[1], "a") as diary:
    print(task["title"], file=diary)
"""


@pytest.fixture
def models() -> Iterator[MessagesApi]:
    with MessagesApi() as api:
        yield api


@pytest.fixture
def web(shell: Shell, models: MessagesApi) -> Iterator[Path]:
    """A project beside a home whose server runs; its agent is a program, its model is scripted."""
    web = shell.folder / "web"
    git(shell.folder, "init", "--quiet", "--initial-branch", "main", "web")
    (web / "src").mkdir()
    (web / "docs").mkdir()
    (web / "src/week.py").write_text("def week_key():\n    return 1\n")
    (web / "docs/usage.md").write_text("# Usage\n")
    (web / "GUIDE.md").write_text(GUIDE)
    (web / "TODO.md").write_bytes(TODO)
    git(web, "add", "--all")
    git(web, "commit", "--quiet", "--message", "Begin")
    agent = shell.folder / "agent.py"
    agent.write_text(AGENT)
    with open(shell.home / "shoal.toml", "a") as file:
        file.write(
            f"""
[projects.web]
path = "../web"
repository = "web"
goals = ["page"]
[repositories.web]
url = "{web}"
push = true
[agents.mine]
kind = "command"
program = ["{sys.executable}", "{agent}", "{shell.folder}/done.txt"]
[backlog]
base_url = "{models.url}"
[triage.links]
then = "accept"
checks = ["doc-health"]
queue = true
"""
        )
    server = Server(shell.home)
    yield web
    server.kill()


def item(shell: Shell, name: str) -> dict[str, Any]:
    found: dict[str, Any] = shell.json("item", "show", name)
    return found


def test_work_is_found_assessed_done_and_ticked(shell: Shell, web: Path, models: MessagesApi) -> None:
    shell("scan", "web")
    named = {one["text"].split("\n")[0]: one for one in shell.json("backlog", "list", "--all")}
    week, page = (
        named[text]["item_id"]
        for text in ("Mend `week_key` in src/week.py id:week", "Tell it on the page ~1h blocked-by:week")
    )
    assert named["Which colour?"]["form"] == "question"
    shell("item", "run", week, code=4)  # nobody has accepted it
    shell("item", "accept", week, page)

    models.script(f"{week} of the project", Answer(tools=(Tool("final_result", ASSESSED),), tokens=Tokens(1000, 100)))
    shell("scope", week, ANTHROPIC_API_KEY="anything")
    shell("item", "edit", page, "--effort", "medium", "--risk", "low")
    assessed = item(shell, week)
    assert (assessed["status"], assessed["title"]) == ("assessed", "Count the weeks")
    assert "src/gone.py" not in [one["path"] for one in assessed["files"]]

    shell("backlog", "prioritise")
    shell("item", "run", week, page)
    shell("work", "--until-empty", "--poll", "0.1", "--agent", "mine")
    done = (shell.folder / "done.txt").read_text().splitlines()
    assert len(done) == 3
    assert "Tell it on the page" in done[2]  # after both steps of what it waits for
    wait_until(lambda: [item(shell, one)["status"] for one in (week, page)] == ["done", "done"])

    shell("scan", "web", "--write-back")
    ticked = TODO.replace(b"- [ ] Mend", b"- [x] Mend").replace(b"- [ ] Tell", b"- [x] Tell")
    assert (web / "TODO.md").read_bytes() == ticked
    assert "nothing to do" in shell("scan", "web", "--write-back")


def test_broken_link_is_mended_by_an_agent_and_closed_by_the_next_run(shell: Shell, web: Path) -> None:
    check = ("check", "run", "doc-health", "--project", "web")
    [finding] = shell.json(*check)["report"]["new"]
    assert item(shell, finding)["status"] == "in_progress"  # by the rule
    shell("work", "--until-empty", "--poll", "0.1", "--agent", "mine")
    [task] = item(shell, finding)["tasks"]
    assert shell.json("show", task)["status"] == "review"
    assert shell.json(*check)["report"]["resolved"] == []  # not merged yet
    [branch] = git(web, "branch", "--list", "--format", "%(refname:short)", f"shoal/{task}-*").split()
    git(web, "merge", "--quiet", branch)
    found = shell.json(*check)
    assert (found["findings"], found["report"]["resolved"]) == ([], [finding])
    assert shell.json("show", task)["status"] == "completed"
    assert item(shell, finding)["status"] == "done"
