"""Checks as jobs run them: a program of their own, its findings in one transaction, and nothing gone that is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.daemon.occasions import Occasions
from shoal.errands.check_output import CheckOutput
from shoal.model.check import FINDINGS_LIMIT, Check
from shoal.model.job import Run, RunStatus
from shoal.services import runs
from shoal.settings import Home, ProjectSettings
from tests.conftest import FakeClock, wait_until
from tests.daemon.test_scheduler import Clockwork, ended
from tests.vaults import git

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A checkout with two words too many."""
    folder = tmp_path / "web"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a.md").write_text("fine\nXXX one\n")
    (folder / "b.md").write_text("XXX two\n" + "more\n" * 20)
    commit(folder)
    return folder


@pytest.fixture
def server(address: str, tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clockwork]:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
    server = Clockwork(address, tmp_path / "home", projects={"web": ProjectSettings(path=str(repo))})
    yield server
    server.stop()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "More")
    return git(folder, "rev-parse", "HEAD")


def words(**given: Any) -> Check:
    return Check(**{"name": "words", "handler": "tests.daemon.checked:words", "project": "web"} | given)


def run(server: Clockwork, action: Check, **given: Any) -> Run:
    name = action.name
    if name not in [job.definition.name for job in server.ledger.jobs.list()]:
        server.ledger.jobs.create(name=name, schedule="daily", action=action, **given)
    else:
        server.ledger.jobs.update(name, action=action)
    return ended(server.ledger, server.ledger.jobs.trigger(name))


def sh(text: str, name: str = "words") -> Check:
    return Check(name=name, command=["/bin/sh", "-c", text], project="web")


def test_function_runs_as_a_program_of_its_own(server: Clockwork, repo: Path) -> None:
    found = run(server, words())
    assert (found.status, found.exit_code, found.reason) == ("success", 0, None)
    assert (found.findings_count, found.new_findings_count) == (2, 2)
    assert "a.md:2: warning: XXX one [word]" in str(found.output)
    assert "not a finding" in str(found.output)
    items = {item.source_file: item for item in server.ledger.items.list(project="web", check="words")}
    assert sorted(items) == ["a.md", "b.md"]
    assert items["a.md"].run == found.id
    assert server.ledger.checks.list()[0].version == "7"
    (repo / "a.md").write_text("fine\n")
    again = run(server, words())
    assert (again.findings_count, again.new_findings_count) == (1, 0)
    assert server.ledger.items.get(items["a.md"].id).status == "done"


def test_check_that_crashes_in_the_middle_resolves_nothing(server: Clockwork) -> None:
    run(server, words())
    found = run(server, words(handler="tests.daemon.checked:crash"))
    assert (found.status, found.findings_count, found.new_findings_count) == ("failed", 1, 1)
    assert "RuntimeError: it went wrong in the middle" in str(found.reason)
    assert {item.status for item in server.ledger.items.list()} == {"new"}
    assert server.ledger.checks.list()[0].open == 3


def test_renamed_files_keep_their_items(server: Clockwork, repo: Path) -> None:
    run(server, words())
    before = {item.source_file: item.id for item in server.ledger.items.list()}
    git(repo, "mv", "b.md", "c.md")
    commit(repo)
    found = run(server, words())
    assert (found.findings_count, found.new_findings_count) == (2, 0)
    assert server.ledger.items.get(before["b.md"]).source_file == "c.md"


def test_command_prints_its_findings_and_what_is_none_is_told(server: Clockwork, repo: Path) -> None:
    finding = json.dumps({"rule": "r", "message": "wrong", "file": "a.md", "line": 1, "severity": "critical"})
    well = run(server, sh(f"pwd >&2; echo '{finding}'; echo \"$SHOAL_CHECK_OPTIONS\" >&2"))
    assert (well.status, well.findings_count) == ("success", 1)
    assert str(repo) in str(well.output)
    garbage = run(server, sh("echo oops; echo '[1]'"))
    assert (garbage.status, garbage.reason) == ("success", "2 lines are no finding, so that nothing counts as gone")
    assert server.ledger.items.list()[0].status == "new"
    run(server, sh("true"))
    assert server.ledger.items.list()[0].status == "done"


def test_command_tells_its_version(server: Clockwork) -> None:
    run(server, sh("""echo '{"version": "2026-1"}'"""))
    assert server.ledger.checks.list()[0].version == "2026-1"


def test_partial_look_is_no_failure_and_resolves_nothing(server: Clockwork) -> None:
    run(server, words())
    found = run(server, words(handler="tests.daemon.checked:partial"))
    assert (found.status, found.findings_count, found.new_findings_count) == ("success", 1, 1)
    assert found.reason == "1 of 9 files was read: name fewer; nothing counts as gone"
    of_command = run(server, sh("""echo '{"partial": "it was late"}'; echo '{"version": "8"}'"""))
    assert (of_command.status, of_command.reason) == ("success", "it was late; nothing counts as gone")
    assert {item.status for item in server.ledger.items.list()} == {"new"}
    nothing_said = run(server, sh("""echo '{"partial": null}'; echo '{}'"""))
    assert nothing_said.reason == "2 lines are no finding, so that nothing counts as gone"


def test_what_cannot_run_says_why(server: Clockwork, tmp_path: Path) -> None:
    wrong = run(server, Check(name="nothing"))
    assert (wrong.status, wrong.exit_code) == ("failed", 2)
    assert "there is no check 'nothing'" in str(wrong.reason)
    nowhere = run(server, words(project="api"))
    assert "project api has no checkout here; say where it is in shoal.toml" in str(nowhere.reason)
    options = run(server, words(options={"word": 3}))
    assert "option word of words" in str(options.reason)


def test_checkout_that_is_not_there_or_is_empty_closes_nothing(server: Clockwork, repo: Path, tmp_path: Path) -> None:
    run(server, sh("""echo '{"rule": "r", "message": "wrong"}'"""))
    repo.rename(tmp_path / "away")
    missing = run(server, sh("true"))
    assert (missing.status, missing.findings_count) == ("error", None)
    assert f"project web has no checkout here: {repo} is no folder" in str(missing.reason)
    repo.mkdir()
    for action in (sh("true"), words(name="words", handler="tests.daemon.checked:words")):
        empty = run(server, action)
        assert (empty.status, empty.reason) == ("success", f"{repo} is empty; nothing counts as gone")
    assert [item.status for item in server.ledger.items.list()] == ["new"]
    gone = run(server, Check(name="words", command=["words.sh"], project="web"))
    assert (gone.status, gone.reason) == ("error", f"words.sh cannot be started: there is no {repo}/words.sh")


def test_log_tells_what_was_made_of_the_findings(server: Clockwork, repo: Path) -> None:
    first = run(server, words())
    assert str(first.output).splitlines()[-1] == "2 found, 2 new"
    item = server.ledger.items.list(check="words")[0]
    server.ledger.items.done(item.id)
    (repo / "b.md" if item.source_file == "a.md" else repo / "a.md").write_text("fine\n")
    again = run(server, words())
    counts, still_there = str(again.output).splitlines()[-2:]
    assert counts == "1 found, 0 new, 1 gone and done"
    assert still_there.startswith(f"done, and still there: {item.item_id}; not merged yet?")
    # The log's last lines are written once the run has ended.
    wait_until(lambda: Path(str(again.log)).read_text().splitlines()[-2:] == [counts, still_there])


def test_cancelled_check_keeps_what_it_found_and_resolves_nothing(server: Clockwork) -> None:
    run(server, words())
    before = len(server.ledger.items.list())
    server.ledger.jobs.update("words", action=sh("""echo '{"rule": "r", "message": "m"}'; sleep 60"""))
    begun = server.ledger.jobs.trigger("words")
    wait_until(lambda: "warning: m [r]" in (server.ledger.runs.get(begun.id).output or ""))
    server.ledger.runs.cancel(begun.id)
    found = ended(server.ledger, begun)
    assert (found.status, found.findings_count) == ("cancelled", 1)
    assert [item.status for item in server.ledger.items.list()] == ["new"] * (before + 1)


def test_ledgers_own_checks_run_in_the_home_of_the_server(server: Clockwork, address: str, clock: FakeClock) -> None:
    (server.home.folder / "shoal.toml").write_text(f'db = "{address}"\nvault = ""\n')
    server.ledger.jobs.create(name="sweep", schedule="@yearly", action={"kind": "program", "command": ["false"]})
    for _ in range(3):
        ended(server.ledger, server.ledger.jobs.trigger("sweep"))
    found = run(server, Check(name="jobs-health"))
    assert (found.status, found.reason, found.findings_count) == ("success", None, 1)
    [item] = server.ledger.items.list()
    assert (item.rule, item.text) == ("failing", "Job sweep has failed 3 times in a row: ended with 1")


def test_more_findings_than_are_kept_are_counted() -> None:
    said: list[str] = []
    output = CheckOutput(said.append)
    for number in range(FINDINGS_LIMIT + 2):
        output.write(json.dumps({"rule": "r", "message": f"m{number}"}).encode() + b"\n")
    output.close()
    outcome = output.outcome(words(), ended_well=True)
    assert (len(outcome.findings), outcome.complete) == (FINDINGS_LIMIT, False)
    assert output.remark == "2 findings more than the 10,000 that are kept; nothing counts as gone"


@pytest.fixture
def looking(open_at: Callable[..., Ledger], repo: Path, tmp_path: Path) -> Callable[[], Occasions]:
    """Makes further servers that look."""

    def make() -> Occasions:
        ledger = open_at(projects={"web": ProjectSettings(path=str(repo))})
        return Occasions(ledger.engine, Home(tmp_path / "home"))  # type: ignore[arg-type]

    return make


def causes(ledger: Ledger, job: str = "words") -> list[str]:
    return [run.cause.value for run in reversed(ledger.jobs.runs(job))]


def finish(ledger: Ledger) -> None:
    def end(tx: Any) -> None:
        for one in runs.claim(tx, server="s", limit=10, logs="/logs"):
            runs.end(tx, run=one.run.id, server="s", status=RunStatus.SUCCESS)

    ledger.engine.write(end)  # type: ignore[attr-defined]


def test_each_commit_fires_once_over_all_servers(
    ledger: Ledger, looking: Callable[[], Occasions], repo: Path, clock: FakeClock
) -> None:
    job = ledger.jobs.create(name="words", schedule="on_commit", action=words(), overlap="allow")
    assert (job.definition.enabled, job.next_fire_at) == (True, None)
    assert ledger.jobs.get("words").fire_times == []
    servers = [looking() for _ in range(3)]
    for expected in range(1, 4):
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda server: server.tick(), servers))
        for server in servers:
            server.tick()
        assert causes(ledger) == ["commit"] * expected
        (repo / "a.md").write_text(f"{expected}\n")
        commit(repo)
    looking().tick()
    assert len(causes(ledger)) == 4
    looking().tick()
    assert len(causes(ledger)) == 4


def test_commit_during_a_run_waits_for_its_end(ledger: Ledger, looking: Callable[[], Occasions], repo: Path) -> None:
    ledger.jobs.create(name="words", schedule="on_commit", action=words())
    server = looking()
    server.tick()
    (repo / "a.md").write_text("other\n")
    commit(repo)
    server.tick()
    assert causes(ledger) == ["commit"]
    finish(ledger)
    server.tick()
    assert causes(ledger) == ["commit", "commit"]


def test_checkouts_that_differ_do_not_fire_in_turns(
    ledger: Ledger, open_at: Callable[..., Ledger], repo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(repo), "other")
    (other / "a.md").write_text("other\n")
    commit(other)
    ledger.jobs.create(name="words", schedule="on_commit", action=words(), overlap="allow")
    servers = [
        Occasions(open_at(projects={"web": ProjectSettings(path=str(place))}).engine, Home(tmp_path / "home"))  # type: ignore[arg-type]
        for place in (repo, other)
    ]
    for _ in range(4):
        for server in servers:
            server.tick()
    assert len(causes(ledger)) == 2


def test_disabled_job_and_folder_without_a_repository_fire_nothing(
    ledger: Ledger, looking: Callable[[], Occasions], tmp_path: Path
) -> None:
    ledger.jobs.create(name="words", schedule="on_commit", action=words(), enabled=False)
    ledger.jobs.create(name="plain", schedule="on_commit", action=words(project="none"), folder=str(tmp_path / "no"))
    looking().tick()
    assert (causes(ledger), causes(ledger, "plain")) == ([], [])
    ledger.jobs.enable("words")
    looking().tick()
    assert causes(ledger) == ["commit"]


def test_idle_fires_when_no_task_is_active_and_not_too_often(
    ledger: Ledger, looking: Callable[[], Occasions], clock: FakeClock
) -> None:
    ledger.jobs.create(name="words", schedule="on_idle", action=words())
    ledger.jobs.create(name="often", schedule="on_idle 10m", action=words())
    task = ledger.tasks.create(title="Work")
    ledger.tasks.claim(worker="w", lease_seconds=86_400)
    servers = [looking(), looking()]

    def look() -> tuple[int, int]:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda server: server.tick(), servers))
        finish(ledger)
        return len(causes(ledger)), len(causes(ledger, "often"))

    assert look() == (0, 0)
    ledger.tasks.complete(task.id, attempt=1)
    assert look() == (1, 1)
    assert causes(ledger) == ["idle"]
    clock.advance(600)
    assert look() == (1, 2)
    clock.advance(3000)
    assert look() == (2, 3)


def test_words_for_times_are_schedules(ledger: Ledger) -> None:
    daily = ledger.jobs.create(name="a", schedule="daily", action=words())
    weekly = ledger.jobs.create(name="b", schedule="weekly", action=words())
    assert (daily.next_fire_at or 0) % 86_400_000 == 0
    assert weekly.next_fire_at is not None
    changed = ledger.jobs.update("a", schedule="on_commit")
    assert changed.next_fire_at is None
    assert ledger.jobs.update("a", schedule="daily").next_fire_at == daily.next_fire_at
