"""`shoal work` with Claude Code and Codex themselves, against scripted models: from the claim to the ledger and git."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shoal import Ledger, connect
from shoal.model.session import Line, Session
from shoal.model.task import Task
from tests.agents.models import ClaudeModel, CodexModel, Model, Step, Tokens
from tests.conftest import wait_until
from tests.fleet import SHOAL, environment
from tests.vaults import git

pytestmark = pytest.mark.timeout(170)


@pytest.fixture(params=[ClaudeModel, CodexModel], ids=["claude", "codex"])
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    with request.param() as model:
        yield model


class House:
    """A home whose workers run one agent, and a repository that its tasks are about."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder = folder
        self.home = folder / ".shoal"
        self.model = model
        self.pond = folder / "pond"
        self._workers: list[subprocess.Popen[str]] = []
        (folder / "claude").mkdir()
        git(folder, "init", "--quiet", "--initial-branch", "main", "pond")
        (self.pond / "check.py").write_text(
            "import pathlib; assert pathlib.Path('page.md').read_text() == 'a page\\n'\n"
        )
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "Begin")
        subprocess.run([*SHOAL, "--home", str(self.home), "init"], check=True, capture_output=True, env=environment())
        self.configure()
        self.ledger: Ledger = connect(home=self.home, actor="ana")

    def configure(self, **agent: Any) -> None:
        """Write shoal.toml."""
        given = {"pond": {"url": str(self.pond), "push": True}}
        settings = {"agents": {"main": self.model.settings(self.folder) | agent}, "repositories": given}
        (self.home / "shoal.toml").write_text("retry_base_seconds = 1\n" + _toml(settings))

    def work(self, *options: str) -> subprocess.Popen[str]:
        """Start a worker."""
        known = {k: v for k, v in environment().items() if not k.startswith(("CLAUDE", "ANTHROPIC", "OPENAI", "CODEX"))}
        worker = subprocess.Popen(
            [*SHOAL, "--home", str(self.home), "work", "--until-empty", "--poll", "0.1", *options],
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=known,
        )
        self._workers.append(worker)
        return worker

    def finish(self, *options: str) -> str:
        """Work until nothing is left; what the worker said."""
        worker = self.work(*options)
        _, said = worker.communicate(timeout=150)
        assert worker.returncode == 0, said
        return said

    def session(self, task: int = 1) -> Session:
        """The newest session of a task."""
        return self.ledger.tasks.sessions(task)[0]

    def calls(self, task: int = 1) -> list[Line]:
        """The tool calls of that session."""
        lines = self.ledger.sessions.transcript(self.session(task).id, limit=1000)
        return [line for line in lines if line.tool is not None]

    def log(self, task: Task) -> str:
        """The whole output of the newest attempt, for when something went wrong."""
        file = self.home / "logs" / f"{task.task_id}.{task.attempt}.log"
        return file.read_text()[-3000:] if file.exists() else "no log"

    def used(self, task: int = 1) -> tuple[int, int, int, int]:
        """Calls, input, output and what the cache gave, on a task's account."""
        (sum,) = self.ledger.costs.sums(by="task", task=task)
        return sum.calls, sum.input_tokens, sum.output_tokens, sum.cache_read_tokens

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            if worker.stderr is not None and not worker.stderr.closed:
                worker.communicate()
        self.ledger.close()

    def _git(self, *arguments: str) -> None:
        git(self.pond, "-c", "user.name=ana", "-c", "user.email=ana@localhost", *arguments)


@pytest.fixture
def house(tmp_path: Path, model: Model) -> Iterator[House]:
    house = House(tmp_path, model)
    yield house
    house.close()


WRITE = "echo a page > page.md && python3 check.py && git add page.md && git commit --quiet --message 'Add a page'"
COMMIT = "git -c user.name=it -c user.email=it@localhost commit --quiet"


def test_edits_tests_and_commits_on_a_branch_of_its_own(house: House) -> None:
    house.model.script(
        "herons",
        Step(says="I write the page.", runs=WRITE.replace("git commit --quiet", COMMIT), tokens=Tokens(100, 30, 40)),
        Step(says="The page about herons is written.", tokens=Tokens(120, 10, 80)),
    )
    house.ledger.tasks.create(
        title="Write about herons",
        repos=["pond"],
        success_criteria=[{"criterion": "the check passes", "measurable": "python3 check.py"}],
    )
    house.finish()

    task = house.ledger.tasks.get(1)
    assert task.status == "completed", f"{task.last_error}\n{house.log(task)}"
    assert task.summary == "The page about herons is written."
    assert git(house.pond, "show", "shoal/T1-write-about-herons:page.md") == "a page"
    assert git(house.pond, "log", "--format=%s", "main..shoal/T1-write-about-herons").splitlines() == ["Add a page"]
    assert house.used() == (2, 220, 40, 120)
    session = house.session()
    assert (session.agent, session.kind, session.outcome, session.episodes) == (
        "main",
        house.model.kind,
        "completed",
        1,
    )
    assert session.malformed == 0
    assert [(one.branch, one.commits, one.pushed) for one in session.branches] == [
        ("shoal/T1-write-about-herons", 1, True)
    ]
    (call,) = house.calls()
    assert call.tool is not None
    assert (call.tool.name, call.tool.error) == (house.model.tool, None)
    assert "page.md" in call.tool.arguments
    kinds = [event.kind for event in house.ledger.events.list(after=0, task=1, limit=1000)]
    for kind in ("session.started", "tool.started", "tool.completed", "session.ended", "cost.recorded"):
        assert kinds.count(kind) == 1 or kind == "cost.recorded"
    assert kinds.index("task.verified") < kinds.index("task.completed")
    assert "The page about herons is written." in house.ledger.tasks.body(1).text
    assert not (house.home / "workspaces" / "T1.1").exists(), "a folder whose work is done goes"


def test_failed_check_is_fed_back_and_passes_on_the_continuation(house: House) -> None:
    house.model.script(
        "newts",
        Step(says="Done, I think.", tokens=Tokens(10, 1)),
        Step(runs="echo a page > page.md", tokens=Tokens(20, 2)),
        Step(says="Now it is.", tokens=Tokens(30, 3)),
    )
    house.ledger.tasks.create(
        title="Write about newts",
        repos=["pond"],
        success_criteria=[{"criterion": "the page is there", "measurable": "python3 check.py"}],
    )
    house.finish()

    task = house.ledger.tasks.get(1)
    assert task.status == "completed", f"{task.last_error}\n{house.log(task)}"
    assert (task.attempt, task.failures) == (1, 0)
    assert house.session().episodes == 2, "one session, gone on with"
    asked = house.model.asked("newts")
    assert "the page is there" in asked[1]
    assert "Done, I think." in asked[1], "the second episode sees the first"
    assert house.used() == (3, 60, 6, 0)
    verified = [e for e in house.ledger.events.list(after=0, task=1, limit=1000) if e.kind == "task.verified"]
    assert [bool(event.data["failed"]) for event in verified] == [True, False]
    assert git(house.pond, "show", "shoal/T1-write-about-newts:page.md") == "a page", "it was committed for it"


def test_never_completed_while_a_check_fails(house: House) -> None:
    (house.home / "shoal.toml").write_text("episodes = 2\n" + (house.home / "shoal.toml").read_text())
    house.model.script("pike", Step(says="Done."), Step(says="Done again."))
    house.ledger.tasks.create(
        title="Write about pike", success_criteria=[{"criterion": "c", "measurable": "test -f no"}]
    )
    house.finish()
    task = house.ledger.tasks.get(1)
    assert task.status == "failed"
    assert "c: `test -f no` ended with 1" in (task.last_error or "")
    assert house.session().episodes == 2


def test_budget_ends_the_run_for_good(house: House) -> None:
    house.configure(max_tokens=1000)
    house.model.script(
        "snails",
        Step(runs="echo half > half.md", tokens=Tokens(900, 50)),
        Step(runs="sleep 60", tokens=Tokens(300, 50)),
        Step(says="never"),
    )
    house.ledger.tasks.create(title="Write about snails", repos=["pond"])
    house.finish()
    task = house.ledger.tasks.get(1)
    assert (task.status, task.attempt) == ("failed", 1)
    assert "max_tokens 1000 is exceeded: 1300 used" in (task.last_error or "")
    assert house.session().outcome == "over_limit"
    assert house.used() == (2, 1200, 100, 0)
    assert git(house.pond, "show", "shoal/T1-write-about-snails:half.md") == "half", "what it had written is kept"


def test_hanging_agent_is_ended_in_time(house: House) -> None:
    house.model.script("reeds", Step(hangs=True))
    house.ledger.tasks.create(title="Write about reeds", timeout_seconds=6, max_attempts=1)
    house.finish("--grace", "1")
    task = house.ledger.tasks.get(1)
    assert task.status == "failed"
    assert "timed out after 6 s" in (task.last_error or "")
    assert house.session().outcome == "timed_out"


def test_killed_worker_loses_nothing_and_the_next_one_goes_on(house: House) -> None:
    house.model.script(
        "ducks",
        Step(says="I begin.", runs="echo a page > page.md", tokens=Tokens(10, 1)),
        Step(hangs=True),
        Step(says="The ducks are done.", tokens=Tokens(20, 2)),
    )
    house.ledger.tasks.create(title="Write about ducks", repos=["pond"])
    first = house.work("--lease", "4")
    wait_until(lambda: len(house.model.asked("ducks")) == 2, seconds=60, why="for the agent to hang")
    wait_until(lambda: house.calls() and house.calls()[0].tool.result is not None, why="for its call to be told of")
    first.send_signal(signal.SIGKILL)
    first.communicate()

    house.finish("--lease", "4")
    task = house.ledger.tasks.get(1)
    assert task.status == "completed", f"{task.last_error}\n{house.log(task)}"
    assert task.attempt == 2
    assert git(house.pond, "show", "shoal/T1-write-about-ducks:page.md") == "a page"
    session = house.session()
    assert (session.episodes, session.attempt) == (2, 2)
    assert "I begin." in house.model.asked("ducks")[-1], "the second attempt went on with the conversation"
    calls = [line.tool.tool_call_id for line in house.calls() if line.tool is not None]
    assert len(calls) == len(set(calls)) == 1, "a call stands once, however often it was read"
    assert house.used()[0] >= 2


def test_what_a_killed_workers_agent_spent_is_counted_although_nobody_goes_on(house: House) -> None:
    gate = house.folder / "gate"
    house.model.script(
        "otters",
        Step(runs=f"touch {gate}.open; while ! test -e {gate}; do sleep 0.1; done", tokens=Tokens(10, 1, 100, 30)),
        Step(runs="true", tokens=Tokens(20, 2, 200)),
        Step(hangs=True),
    )
    house.ledger.tasks.create(title="Write about otters", max_attempts=1)
    first = house.work("--lease", "4")
    wait_until(lambda: Path(f"{gate}.open").exists() and house.session().provider_session, seconds=60)
    first.send_signal(signal.SIGSTOP)  # what the agent says from here on, nobody hears
    gate.touch()
    wait_until(lambda: len(house.model.asked("otters")) == 3, seconds=60, why="for the agent to hang")
    first.send_signal(signal.SIGKILL)
    first.communicate()

    house.finish()
    assert house.ledger.tasks.get(1).status == "failed"
    assert house.used() == (2, 30, 3, 300)
    assert {(one.attempt, one.session) for one in house.ledger.costs.list(task=1)} == {(1, 1)}


def test_cached_share_is_exact_and_the_requests_of_a_configuration_begin_the_same(house: House) -> None:
    served = {
        "teal": [Tokens(7, 3, 0, 5003), Tokens(11, 5, 5003, 210)],
        "smew": [Tokens(13, 2, 5003, 0), Tokens(17, 9, 5003, 181)],
    }
    for word, (first, second) in served.items():
        house.model.script(word, Step(runs=f"echo {word}", tokens=first), Step(says="Done.", tokens=second))
        house.ledger.tasks.create(title=f"Write about {word}", repos=["pond"], type="chat")
    house.finish()
    calls = list(itertools.chain(*served.values()))
    read = sum(one.cache_read for one in calls)
    total = read + sum(one.input + one.cache_write for one in calls)
    [share] = house.ledger.costs.sums(by="configuration")
    assert share.key == f"main {house.session().configuration}"
    assert (share.calls, share.cache_read_tokens, share.all_input_tokens) == (4, read, total)
    assert share.cache_write_tokens == sum(one.cache_write for one in calls)

    text = json.dumps(house.ledger.tasks.prompt(1, agent="main", way="first").system)[1:-1]
    beginnings = {beginning for word in served for beginning in house.model.stable(word)}
    assert len(beginnings) == 1, "a provider's cache would not be hit"
    assert text in beginnings.pop()

    house.configure(args=["--debug"] if house.model.kind == "claude" else ["-c", "hide_agent_reasoning=true"])
    house.model.script("ruff", Step(says="Done.", tokens=Tokens(1, 1, 999, 0)))
    house.ledger.tasks.create(title="Write about ruff", type="chat")
    house.finish()
    shares = {one.key: one.cached_percent for one in house.ledger.costs.sums(by="configuration")}
    assert shares == {share.key: 100 * read // total, f"main {house.session(3).configuration}": 99}


def test_message_reaches_the_agent(house: House) -> None:
    gate = house.folder / "gate"
    house.model.script(
        "lilies",
        Step(says="I begin.", runs=f"touch {gate}.open; while ! test -e {gate}; do sleep 0.1; done"),
        Step(says="I have heard."),
        Step(says="I have heard it now."),
    )
    house.ledger.tasks.create(title="Write about lilies")
    worker = house.work()
    wait_until(Path(f"{gate}.open").exists, seconds=60)
    told = house.ledger.tasks.tell(1, text="use the word nenuphar")
    assert told.delivery == ("live" if house.model.kind == "claude" else "next_turn")
    if house.model.kind == "claude":
        wait_until(lambda: "task.heard" in [e.kind for e in house.ledger.events.list(after=0, task=1, limit=1000)])
    gate.touch()
    worker.communicate(timeout=100)
    assert house.ledger.tasks.get(1).status == "completed"
    assert sum("nenuphar" in asked for asked in house.model.asked("lilies")) >= 1


def test_ten_at_once(house: House) -> None:
    names = ["ash", "birch", "cedar", "elder", "fir", "hazel", "juniper", "larch", "maple", "oak"]
    for name in names:
        house.model.script(
            name,
            Step(runs=f"echo {name} > {name}.md", tokens=Tokens(50, 5)),
            Step(says=f"{name} is done.", tokens=Tokens(60, 6)),
        )
        house.ledger.tasks.create(title=f"Plant one {name}", repos=["pond"])
    house.finish("-n", "10")
    tasks: list[Task] = house.ledger.tasks.list(limit=100)
    assert {task.status for task in tasks} == {"completed"}, [task.last_error for task in tasks]
    assert {task.attempt for task in tasks} == {1}
    for task in tasks:
        name = task.title.split()[-1]
        assert house.used(task.id) == (2, 110, 11, 0)
        assert git(house.pond, "show", f"shoal/T{task.id}-plant-one-{name}:{name}.md") == name
        assert task.summary == f"{name} is done."


def _toml(value: dict[str, Any]) -> str:
    """Tables as TOML writes them; JSON's strings, numbers and lists are TOML's too."""
    lines: list[str] = []

    def table(path: str, content: dict[str, Any]) -> None:
        flat = {key: one for key, one in content.items() if not isinstance(one, dict)}
        if path:
            lines.append(f"[{path}]")
        lines.extend(f"{key} = {msgspec.json.encode(one).decode()}" for key, one in flat.items())
        for key, one in content.items():
            if isinstance(one, dict):
                table(f"{path}.{key}" if path else key, one)

    table("", value)
    return "\n".join(lines) + "\n"
