"""One episode of an agent: what it spends is told at once, and what it writes is bounded."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal import Ledger, connect
from shoal.adapters.processes import log_file
from shoal.ledger.connect import open_home
from shoal.settings import AgentSettings, Home, Settings
from shoal.worker import episode
from shoal.worker.attempt import Terms
from shoal.worker.worker import Orders, Worker
from tests.conftest import wait_until
from tests.vaults import git

Make = Callable[..., Worker]
NEVER = {"criterion": "it holds", "measurable": "false"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with connect(tmp_path / "home" / "ledger.db", actor="ana") as ledger:
        yield ledger


@pytest.fixture
def worker(ledger: Ledger, tmp_path: Path) -> Make:
    def make(script: str, kind: str = "command") -> Worker:
        (tmp_path / "agent").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "agent").chmod(0o755)
        agent = AgentSettings(kind=kind, program=[str(tmp_path / "agent")])  # type: ignore[arg-type]
        terms = Terms(
            settings=Settings(agents={"it": agent}),
            folder=tmp_path / "home",
            logs=tmp_path / "logs",
            grace_seconds=0.5,
            timeout_seconds=None,
            retry_later_seconds=1,
        )
        return Worker(ledger, Orders(["default"], 1, 60, 0.05, until_empty=True), terms)

    return make


def test_what_was_spent_is_told_at_once(
    ledger: Ledger, worker: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode, "PULSE_SECONDS", 300)
    ledger.tasks.create(title="x")
    usage = '{"request_key": "r1", "provider": "p", "model": "m", "output_tokens": 7}'
    gate = tmp_path / "gate"
    mine = worker(f'echo \'{{"item": "spent", "usage": {usage}}}\'; while ! test -e {gate}; do sleep 0.05; done')
    thread = threading.Thread(target=mine.run)
    thread.start()
    try:
        wait_until(lambda: [one.output_tokens for one in ledger.costs.sums(by="task")] == [7], seconds=20)
    finally:
        gate.touch()
        thread.join()


def test_what_is_spent_after_the_task_is_lost_is_counted(
    ledger: Ledger, worker: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode, "PULSE_SECONDS", 300)
    ledger.tasks.create(title="x")
    usage = '{"request_key": "r1", "provider": "p", "model": "m", "output_tokens": 7}'
    cancel = as_agent(tmp_path, "cancel(1)")
    worker(f'{cancel}; echo \'{{"item": "spent", "usage": {usage}}}\'; sleep 1000').run()
    assert ledger.tasks.get(1).status == "cancelled"
    assert [one.output_tokens for one in ledger.costs.sums(by="task")] == [7]


@pytest.mark.parametrize("kind", ["command", "claude"])
@pytest.mark.parametrize("stream", ["1", "2"])
def test_log_of_an_attempt_is_bounded(
    ledger: Ledger, worker: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stream: str
) -> None:
    monkeypatch.setattr(log_file, "LOG_BYTES", 100_000)
    monkeypatch.setattr(log_file, "LOGS_KEPT", 3)
    ledger.tasks.create(title="x", max_attempts=1)
    done = '{"type": "result", "subtype": "success", "is_error": false, "result": "Done.", "session_id": "s"}'
    worker(f"yes aaaaaaaaaaaa | head -c 2999997 >&{stream}; echo '{done}'", kind).run()
    assert ledger.tasks.get(1).status == "completed"
    logs = sorted((tmp_path / "logs").glob("T1.1.log*"))
    assert [path.name for path in logs] == ["T1.1.log", "T1.1.log.1", "T1.1.log.2", "T1.1.log.3"]
    assert all(path.stat().st_size <= 100_020 for path in logs)
    whole = b"".join(path.read_bytes() for path in [*reversed(logs[1:]), logs[0]])
    assert set(whole.splitlines()) == {b"a" * 12, done.encode()}, "no line is torn"


def test_log_that_cannot_be_written_does_not_end_the_agent(ledger: Ledger, worker: Make, tmp_path: Path) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "T1.1.log").symlink_to("/dev/full")
    worker("seq 100000; touch done").run()
    task = ledger.tasks.get(1)
    assert task.status == "completed", task.last_error


def test_agent_that_ends_its_session_itself_does_not_complete_its_task(
    ledger: Ledger, worker: Make, tmp_path: Path
) -> None:
    ledger.tasks.create(title="x", success_criteria=[{"criterion": "it holds", "measurable": "sh check"}])
    cheat = (
        f"import shoal\nledger = shoal.connect({str(tmp_path / 'home' / 'ledger.db')!r})\n"
        "for call in (lambda: ledger.sessions.end(1, attempt=1, outcome='completed'),\n"
        "             lambda: ledger.tasks.complete(1, attempt=1)):\n"
        "    try: call()\n"
        "    except Exception as error: print(error)\n"
    )
    # The check is the agent's to write, and runs when its session has ended.
    run = f"{sys.executable} - <<'END'\n{cheat}END\n"
    worker(f"{run}cat >check <<'OF_CHECK'\n{run}false\nOF_CHECK").run()
    assert ledger.tasks.get(1).status == "failed"
    assert (tmp_path / "logs" / "T1.1.log").read_text().count("is sealed by its worker") == 5 + 5 + 5


def test_agent_is_told_what_happened_to_its_workspace(ledger: Ledger, worker: Make, tmp_path: Path) -> None:
    pond = tmp_path / "pond"
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", "pond")
    (pond / "a.txt").write_text("a\n")
    git(pond, "add", "--all")
    git(pond, "commit", "--quiet", "--message", "Begin")
    ledger.tasks.create(title="x", type="x", max_attempts=1, repos=[str(pond)], success_criteria=[NEVER])
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    counted = f"n=$(ls {prompts} | wc -l); cp $SHOAL_PROMPT_FILE {prompts}/$n"
    # What is uncommitted is stashed by the first episode; the remote is gone when the second attempt begins.
    mine = worker(f"{counted}; echo b >a.txt; if test $n = 0; then git stash --quiet; fi")
    mine.run()
    ledger.tasks.reopen(1)
    pond.rename(tmp_path / "moved")
    mine = worker(counted)
    mine.run()
    told = {int(path.name): workspace_notes(path.read_text()) for path in prompts.iterdir()}
    assert told[0] == ""
    assert "T1.1 stashed work" in told[1]
    assert told[2] == ""
    assert "could not be fetched" in told[5]
    assert told[6] == ""


def test_notes_are_those_of_the_agent_that_wrote_them(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    script = tmp_path / "agent"
    script.write_text(
        "#!/bin/sh\n"
        f"cp $SHOAL_PROMPT_FILE {tmp_path}/$1.prompt\n"
        f"{sys.executable} -m shoal note T1 >{tmp_path}/$1.notes\n"
        f"{sys.executable} -m shoal note T1 the secret of $1\n"
    )
    script.chmod(0o755)
    agents = {
        name: AgentSettings(kind="command", program=[str(script), name], models=[name]) for name in ("fast", "slow")
    }
    with open_home(home, actor="ana", create=True) as ledger:
        home.create()
        terms = Terms(Settings(agents=agents), home.folder, tmp_path / "logs", 0.5, None, 1)
        ledger.tasks.create(title="x", type="chore", model="fast")
        for model in ("fast", "slow", "fast"):
            ledger.tasks.update(1, model=model)
            Worker(ledger, Orders(["default"], 1, 60, 0.05, until_empty=True), terms).run()
            assert ledger.tasks.get(1).status == "completed", ledger.tasks.get(1).last_error
            ledger.tasks.reopen(1)
        assert ledger.tasks.notes(1).text == ""
    assert "the secret of slow" not in (tmp_path / "fast.prompt").read_text()
    assert (tmp_path / "slow.notes").read_text() == "T1: no notes of slow\n"
    assert "the secret" not in (tmp_path / "slow.prompt").read_text()
    assert "the secret of fast" in (tmp_path / "fast.notes").read_text()
    assert '<shoal_notes of="fast">' in (tmp_path / "fast.prompt").read_text()
    assert {path.name for path in (home.folder / "vault" / "060-notes").glob("T1.*")} == {"T1.fast.md", "T1.slow.md"}


def workspace_notes(prompt: str) -> str:
    return prompt.partition("<shoal_workspace_notes>")[2].partition("</shoal_workspace_notes>")[0]


def test_work_is_checked_against_the_task_as_it_is_then(ledger: Ledger, worker: Make, tmp_path: Path) -> None:
    ledger.tasks.create(title="x", type="chore", success_criteria=[{"criterion": "old", "measurable": "false"}])
    began, gate = tmp_path / "began", tmp_path / "gate"
    mine = worker(f"touch {began}; while ! test -e {gate}; do sleep 0.05; done; touch {tmp_path}/run-$(date +%N)")
    thread = threading.Thread(target=mine.run)
    thread.start()
    try:
        wait_until(began.exists)
        twice = f"test $(ls {tmp_path}/run-* | wc -l) -ge 2"
        ledger.tasks.update(1, success_criteria=[{"criterion": "run twice", "measurable": twice}])
    finally:
        gate.touch()
        thread.join()
    [first, second] = [one.data for one in ledger.events.list(after=0, task=1, kind="task.verified", limit=10)]
    assert ["run twice" in failed for failed in first["failed"]] == [True]
    assert not second.get("failed")
    assert ledger.tasks.get(1).status == "completed"


def as_agent(tmp_path: Path, call: str) -> str:
    """A line of a script with which the agent `it` calls the ledger."""
    path = str(tmp_path / "home" / "ledger.db")
    return f"{sys.executable} -c \"import shoal; shoal.connect({path!r}, actor='it').tasks.{call}\""


EASIER = {
    "success_criteria": "update(1, success_criteria=[])",
    "requires_qa": "update(1, requires_qa=False)",
    "type": "update(1, type='other')",
    "repos": "update(1, repos=[])",
}


@pytest.mark.parametrize("field", EASIER)
@pytest.mark.parametrize("when", ["in this attempt", "in the attempt before"])
def test_agent_that_changes_what_it_is_judged_by_is_judged_by_a_person(
    ledger: Ledger, worker: Make, tmp_path: Path, field: str, when: str
) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", "pond")
    git(tmp_path / "pond", "commit", "--quiet", "--allow-empty", "--message", "Begin")
    asked = {
        "success_criteria": {"type": "chore", "success_criteria": [NEVER]},
        "requires_qa": {"requires_qa": True},
        "type": {"type": "research"},
        "repos": {"type": "swe", "repos": [str(tmp_path / "pond")]},
    }
    ledger.tasks.create(title="x", **asked[field])
    edit = as_agent(tmp_path, EASIER[field])
    if when == "in this attempt":
        worker(f"{edit} || exit 1").run()
    else:
        worker(f"if test $SHOAL_TASK_ATTEMPT = 1; then {edit}; exit 75; fi").run()
        wait_until(lambda: worker("true").run() or ledger.tasks.get(1).status != "queued", seconds=20)
    task = ledger.tasks.get(1)
    assert task.status == "review", task.last_error
    [event] = ledger.events.list(task=1, kind="task.verified", limit=1)
    assert event.data["manual"] == [f"changed during the work in the name of its agent (it): {field}"]


def test_change_by_a_person_during_the_work_asks_nobody(ledger: Ledger, worker: Make, tmp_path: Path) -> None:
    ledger.tasks.create(title="x", type="chore", success_criteria=[NEVER])
    edit = as_agent(tmp_path, EASIER["success_criteria"])
    mine = worker(f"{edit}; while ! test -e {tmp_path}/gate; do sleep 0.05; done")
    thread = threading.Thread(target=mine.run)
    thread.start()
    try:
        wait_until(lambda: not ledger.tasks.get(1).success_criteria, seconds=20)
        ledger.tasks.update(1, success_criteria=[{"criterion": "it is", "measurable": "true"}])
    finally:
        (tmp_path / "gate").touch()
        thread.join()
    assert ledger.tasks.get(1).status == "completed"


def test_criterion_that_is_added_during_the_checks_is_checked(ledger: Ledger, worker: Make, tmp_path: Path) -> None:
    checked, gate = tmp_path / "checked", tmp_path / "gate"
    slow = {"criterion": "slow", "measurable": f"touch {checked}; while ! test -e {gate}; do sleep 0.05; done"}
    ledger.tasks.create(title="x", type="chore", max_attempts=1, success_criteria=[slow])
    thread = threading.Thread(target=worker("true").run)
    thread.start()
    try:
        wait_until(checked.exists, seconds=20)
        ledger.tasks.update(1, success_criteria=[slow, NEVER])
    finally:
        gate.touch()
        thread.join()
    task = ledger.tasks.get(1)
    assert (task.status, "it holds" in (task.last_error or "")) == ("failed", True)


def test_work_whose_terms_change_at_every_check_is_judged_by_a_person(
    ledger: Ledger, worker: Make, tmp_path: Path
) -> None:
    ledger.tasks.create(title="x", type="chore")
    path = str(tmp_path / "home" / "ledger.db")
    script = tmp_path / "moves"
    check = f"{sys.executable} {script}"
    script.write_text(
        f"import shoal, time\ntasks = shoal.connect({path!r}, actor='bo').tasks\n"
        f"tasks.update(1, success_criteria=[dict(criterion=str(time.time()), measurable={check!r})])\n"
    )
    ledger.tasks.update(1, success_criteria=[{"criterion": "0", "measurable": check}])
    worker("true").run()
    assert ledger.tasks.get(1).status == "review"
    [event] = ledger.events.list(task=1, kind="task.verified", limit=10)
    assert event.data["manual"] == ["it was changed again and again while it was checked"]
