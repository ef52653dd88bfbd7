"""What is wrong with a worker's set-up burns no task: it is refused at the start, or the worker pauses."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal import Ledger, connect
from shoal.errors import AgentError
from shoal.settings import AgentSettings, Settings
from shoal.worker.attempt import Terms
from shoal.worker.worker import Orders, Worker
from tests.conftest import wait_until
from tests.fleet import SHOAL, environment


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with connect(tmp_path / "home" / "ledger.db", actor="ana") as ledger:
        (tmp_path / "home" / "shoal.toml").touch()
        yield ledger


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        ('kind = "claude"\nprogram = ["nosuchclaude"]', "nosuchclaude is not found"),
        ('kind = "codex"\nprogram = ["true"]\nenv = { KEY = "$NO_SUCH_KEY" }', "takes $NO_SUCH_KEY"),
        ('kind = "command"\nprogram = ["./nosuch.sh"]', "./nosuch.sh is not found"),
    ],
)
@pytest.mark.parametrize("verb", ["work", "dispatch"])
def test_agent_that_lacks_something_is_refused_before_anything_is_claimed(
    ledger: Ledger, tmp_path: Path, verb: str, agent: str, why: str
) -> None:
    (tmp_path / "home" / "shoal.toml").write_text(f"[agents.it]\n{agent}\n")
    ledger.tasks.create(title="x")
    options = ["--until-empty", *(["--executor", "local"] if verb == "dispatch" else [])]
    ran = subprocess.run(
        [*SHOAL, "--home", str(tmp_path / "home"), verb, *options],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=30,
    )
    assert ran.returncode == 1, ran.stderr
    assert "[agents.it]" in ran.stderr
    assert why in ran.stderr
    assert ledger.tasks.get(1).attempt == 0


NOT_LOGGED_IN = """#!/bin/sh
test -e works && exec sh works
echo '{"type": "result", "subtype": "success", "is_error": true, "result": "Please run /login", "session_id": "s"}'
exit 1
"""
LOGGED_IN = """
echo '{"type": "result", "subtype": "success", "is_error": false, "result": "Done.", "session_id": "s"}'
"""


class Workers:
    """Workers in this process whose agent is not logged in, until `log_in`."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._ledger, self._folder = ledger, folder
        (folder / "claude").write_text(NOT_LOGGED_IN.replace("works", str(folder / "works")))
        (folder / "claude").chmod(0o755)

    def log_in(self) -> None:
        (self._folder / "works").write_text(LOGGED_IN)

    def make(self, *, until_empty: bool, pause_seconds: float) -> Worker:
        agent = AgentSettings(kind="claude", program=[str(self._folder / "claude")])
        terms = Terms(
            settings=Settings(agents={"it": agent}),
            folder=self._folder / "home",
            logs=self._folder / "logs",
            grace_seconds=1.0,
            timeout_seconds=None,
            retry_later_seconds=1,
        )
        orders = Orders(["default"], 2, 60, 0.05, until_empty=until_empty, pause_seconds=pause_seconds)
        return Worker(self._ledger, orders, terms)


def test_agent_that_is_not_logged_in_burns_no_task(ledger: Ledger, tmp_path: Path) -> None:
    for number in range(6):
        ledger.tasks.create(title=f"t{number}", max_attempts=1)
    with pytest.raises(AgentError, match=r"3 faults of the set-up in a row, the last: .*Please run /login"):
        Workers(ledger, tmp_path).make(until_empty=True, pause_seconds=0.5).run()
    tasks = ledger.tasks.list(limit=100)
    assert [task.failures for task in tasks] == [0] * 6
    assert {task.status for task in tasks} <= {"queued", "scheduled"}
    given_back = [e for e in ledger.events.list(after=0, limit=1000) if e.kind == "task.released"]
    assert not [path for path in (tmp_path / "home" / "workspaces").glob("*") if path.name != ".attempts"]
    assert not list((tmp_path / "home" / "workspaces" / ".attempts").iterdir())
    assert 3 <= len(given_back) <= 6, "two at once, three times, and nothing between"
    assert "Please run /login" in given_back[0].data["reason"]


def test_work_goes_on_when_the_set_up_is_mended(ledger: Ledger, tmp_path: Path) -> None:
    workers = Workers(ledger, tmp_path)
    worker = workers.make(until_empty=False, pause_seconds=0.5)
    for number in range(3):
        ledger.tasks.create(title=f"t{number}", max_attempts=1)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: any(task.releases for task in ledger.tasks.list(limit=100)), seconds=20)
        workers.log_in()
        wait_until(lambda: {task.status for task in ledger.tasks.list(limit=100)} == {"completed"}, seconds=30)
    finally:
        worker.stop()
        thread.join()


def test_reason_stands_in_the_log_and_no_json_behind_what_the_agent_said(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = Workers(ledger, tmp_path)
    begins = '{"type": "assistant", "session_id": "s", "uuid": "u", "message": {"id": "m", "model": "m", '
    begins += '"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]}}'
    (tmp_path / "works").write_text(f"echo '{begins}'\n" + NOT_LOGGED_IN.partition("sh works\n")[2])
    ledger.tasks.create(title="x", max_attempts=1)
    workers.make(until_empty=True, pause_seconds=0.5).run()
    assert ledger.tasks.get(1).last_error == "Please run /login"
    [line] = [line for line in "".join(capsys.readouterr()).splitlines() if "attempt ended" in line]
    assert "Please run /login" in line
    assert "fail" in line


def test_log_of_a_worker_names_the_first_criterion_that_does_not_hold(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "home" / "shoal.toml").write_text('episodes = 1\n[agents.it]\nkind = "command"\nprogram = ["true"]\n')
    criteria = [{"criterion": f"{name} is there", "measurable": f"test -f {name}"} for name in ("a.md", "b.md")]
    ledger.tasks.create(title="a", success_criteria=criteria)
    ran = subprocess.run(
        [*SHOAL, "--home", str(tmp_path / "home"), "work", "--until-empty"],
        cwd=tmp_path,
        env=environment(),
        timeout=30,
        capture_output=True,
        text=True,
    )
    [line] = [line for line in ran.stderr.splitlines() if "attempt ended" in line]
    assert "after 1 episode these do not hold: a.md is there: `test -f a.md` ended with 1" in line


def test_agent_that_paid_for_a_call_has_begun(ledger: Ledger, tmp_path: Path) -> None:
    workers = Workers(ledger, tmp_path)
    told = '"session_id": "s", "modelUsage": {"m": {"inputTokens": 9, "outputTokens": 0}}'
    begins = """echo '{"type": "system", "subtype": "init", "session_id": "s", "model": "m"}'\n"""
    ends = NOT_LOGGED_IN.partition("sh works\n")[2].replace('"session_id": "s"', told)
    (tmp_path / "works").write_text(begins + ends)
    ledger.tasks.create(title="x", max_attempts=1)
    workers.make(until_empty=True, pause_seconds=0.5).run()
    task = ledger.tasks.get(1)
    assert [sum.input_tokens for sum in ledger.costs.sums(by="task")] == [9]
    assert (task.status, task.failures, task.releases) == ("failed", 1, 0)


def test_repository_that_nobody_knows_fails_the_task_for_good(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "home" / "shoal.toml").write_text(f'[repositories.pond]\nurl = "{tmp_path}/pond"\n')
    home = [*SHOAL, "--home", str(tmp_path / "home")]
    for name, said in (("pnd", True), ("pond", False), ("owner/pnd", False)):
        added = subprocess.run(
            [*home, "add", "x", "--repo", name], stderr=subprocess.PIPE, text=True, env=environment()
        )
        assert ("note: pnd is neither owner/name nor a URL" in added.stderr) is said
        assert added.returncode == 0
    for number in (2, 3):
        ledger.tasks.cancel(number)
    assert subprocess.run([*home, "work", "--until-empty", "--", "true"], env=environment(), timeout=30).returncode == 0
    task = ledger.tasks.get(1)
    assert (task.status, task.attempt) == ("failed", 1)
    for part in ("pnd is neither", "did you mean pond?", "`shoal edit T1 --repo", "`shoal reopen T1`"):
        assert part in (task.last_error or "")


def test_worker_runs_the_agent_that_it_is_told_to(ledger: Ledger, tmp_path: Path) -> None:
    agents = "".join(f'[agents.{name}]\nkind = "command"\nprogram = ["echo", "{name}"]\n' for name in ("slow", "fast"))
    (tmp_path / "home" / "shoal.toml").write_text(f'agent = "slow"\n{agents}')
    ledger.tasks.create(title="x", model="slow")

    def work(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SHOAL, "--home", str(tmp_path / "home"), "work", "--until-empty", *options],
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(),
            timeout=30,
        )

    for options in (["--agent", "fats"], ["--agent", "fast", "--", "true"]):
        refused = work(*options)
        assert refused.returncode != 0
        assert "did you mean fast?" in refused.stderr or "leave one out" in refused.stderr
    assert ledger.tasks.get(1).attempt == 0

    assert work("--agent", "fast", "--as", "bo").returncode == 0
    task = ledger.tasks.get(1)
    assert (task.status, task.summary, task.assignee) == ("completed", "fast", "bo")
    assert [session.agent for session in ledger.tasks.sessions(1)] == ["fast"]


@pytest.mark.parametrize("workflow", ["default", "listed", "known", None])
def test_workflow_that_nobody_knows_fails_the_task_for_good(
    ledger: Ledger, tmp_path: Path, workflow: str | None
) -> None:
    (tmp_path / "home" / "shoal.toml").write_text(
        '[workflows.known]\n[agents.it]\nkind = "command"\nprogram = ["true"]\nworkflows = ["listed"]\n'
    )
    ledger.tasks.create(title="a", **({} if workflow is None else {"workflow": workflow}))
    ledger.tasks.create(title="b", workflow="readonly")
    ran = subprocess.run(
        [*SHOAL, "--home", str(tmp_path / "home"), "work", "--until-empty"], cwd=tmp_path, env=environment(), timeout=30
    )
    assert ran.returncode == 0
    assert ledger.tasks.get(1).status == "completed"
    task = ledger.tasks.get(2)
    assert (task.status, task.attempt) == ("failed", 1)
    for part in ("'readonly'", "default, known, listed", "`shoal edit T2 --workflow", "`shoal reopen T2`"):
        assert part in (task.last_error or "")


def test_model_that_is_not_there_is_the_failure_of_the_task_that_asks_for_it(ledger: Ledger, tmp_path: Path) -> None:
    workers = Workers(ledger, tmp_path)
    refuses = 'case "$*" in *clade-opus*) echo "404 model: clade-opus not found" >&2; exit 1;; esac'
    (tmp_path / "claude").write_text(f"#!/bin/sh\n{refuses}\n{LOGGED_IN}")
    ledger.tasks.create_many(tasks=[{"title": f"misspelt {n}", "model": "clade-opus"} for n in range(3)])
    ledger.tasks.create(title="well", type="other")
    workers.make(until_empty=True, pause_seconds=60).run()
    tasks = {task.title: task for task in ledger.tasks.list()}
    assert (tasks["well"].status, tasks["misspelt 0"].status, tasks["misspelt 0"].attempt) == ("completed", "failed", 1)
    assert "404 model: clade-opus not found" in (tasks["misspelt 0"].last_error or "")
