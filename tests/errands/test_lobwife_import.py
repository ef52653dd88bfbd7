"""A folder of lobwife is taken over: every row is accounted for, nothing comes twice, files are renamed when done."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from shoal import Ledger
from shoal.errands import lobwife_import
from shoal.errands.lobwife_import import Import
from shoal.errors import BadInput, NotFound
from shoal.ledger.connect import open_home, open_ledger
from shoal.model.migration import OldTask
from shoal.model.task import Status
from shoal.settings import Home
from tests import lobwife_state
from tests.vaults import git

FEBRUARY_16 = 1_771_200_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    url = "" if request.param == "sqlite" else f'db = "{request.getfixturevalue("postgres_url")}"\n'
    home.config.write_text(f'vault = ""\n{url}')
    made(home)
    return home


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def made(home: Home) -> None:
    settings = home.settings()
    open_ledger(home.database_address(settings), settings=settings, actor="ana", create=True).close()


def opened(home: Home) -> Ledger:
    return open_home(home, actor="ana")


def counted(report: Import) -> dict[str, tuple[int, int, int, int]]:
    return {one.file: (one.rows, one.taken, one.existing, one.refused) for one in report.files}


@pytest.mark.parametrize("version", [1, 2])
def test_database_is_taken_with_its_log(home: Home, state: Path, version: int) -> None:
    lobwife_state.database(state, version)
    report = lobwife_import.run(home, state)
    assert counted(report) == {"lobmob.db": (13, 11, 0, 2)}
    assert sorted(path.name for path in state.iterdir()) == ["lobmob.db.migrated", "lobmob.db.migrated-wal"]
    with opened(home) as ledger:
        done = ledger.tasks.get("T3")
        assert (done.title, done.status, done.priority, done.assignee) == ("Unity UI", "completed", 1, "lobster-1")
        assert (done.slug, done.repos, done.requires_qa) == ("2026-02-15-ui", ["acme/web"], True)
        assert (done.discord_thread_id, done.estimate_minutes) == ("123456789012345678", 30)
        assert (done.completed_at or 0) - done.created_at == 3_600_000
        assert [ledger.tasks.get(number).status.value for number in (7, 8, 9)] == ["queued", "active", "blocked"]
        broken = ledger.tasks.get(9)
        assert (broken.title, broken.hold_reason) == ("Task 9 of lobwife", "lobwife had it as odd")
        assert ledger.tasks.create(title="next").id == 10
        told = [event for event in ledger.events.list(task=3) if event.kind == "task.recalled"]
        assert [(one.actor, one.data["event_type"]) for one in told] == [
            ("lobster-1", "completed"),
            ("lobwife", "created"),
        ]
        assert len([event for event in ledger.events.list(task=7) if event.kind == "task.recalled"]) == 2
        job = ledger.jobs.get("task-manager")
        assert (job.definition.enabled, job.definition.schedule, job.run_count, job.fail_count) == (
            False,
            "*/5 * * * *",
            9,
            2,
        )
        [run] = job.runs
        assert (run.cause, run.status, run.duration_ms) == ("import", "failed", 2500)
        assert ledger.runs.get(run.id).output == "a\nb"
        assert ledger.tasks.registration(3).token_count == 2
        if version == 2:
            registered = ledger.tasks.registration(8)
            assert (registered.repositories, registered.token_count) == (["acme/api"], 4)
            assert registered.registered_at == FEBRUARY_16 + 8 * 3_600_000
        [line] = ledger.grants.audit(task=8)
        assert (line.action, line.repositories, line.at) == (
            "issued",
            ["acme/api"],
            FEBRUARY_16 + 8 * 3_600_000 + 60_000,
        )
    reasons = {one.name: one.reason or "" for one in report.told}
    assert "T99 was not taken" in reasons["task_events 5"]
    assert "no event_type" in reasons["task_events 6"]
    for part in ("no name", "'odd'", "'whenever'", "repos was left out", "estimate_minutes was left out"):
        assert part in reasons["tasks 9"]


def test_json_files_account_for_every_row(home: Home, state: Path) -> None:
    lobwife_state.json_files(state)
    with opened(home) as ledger:
        ledger.tasks.create(title="logs", slug="2026-02-14-logs")
    report = lobwife_import.run(home, state)
    assert counted(report) == {
        "jobs.json": (4, 3, 0, 1),
        "tasks.json": (3, 1, 0, 2),
        "token-audit.json": (6, 3, 0, 3),
    }
    assert {one.renamed for one in report.files} == {
        "jobs.json.migrated",
        "tasks.json.migrated",
        "token-audit.json.migrated",
    }
    refused = {(one.file, one.name) for one in report.told if one.outcome == "refused"}
    assert refused == {
        ("jobs.json", "broken"),
        ("tasks.json", "gone"),
        ("tasks.json", "empty"),
        *(("token-audit.json", f"line {number}") for number in (4, 5, 6)),
    }
    with opened(home) as ledger:
        assert [job.definition.name for job in ledger.jobs.list()] == ["bad-name", "flush-logs", "new"]
        assert ledger.jobs.get("flush-logs").run_count == 40
        assert ledger.jobs.get("new").runs == []
        assert ledger.tasks.registration("2026-02-14-logs").repositories == ["acme/web"]
        assert [line.action for line in ledger.grants.audit(task=1)] == ["issued", "registered"]
        assert len(ledger.grants.audit(task="gone")) == 1


def test_repeating_adds_nothing_twice(home: Home, state: Path) -> None:
    lobwife_state.database(state)
    lobwife_state.json_files(state)
    kept = {path.name: path.read_bytes() for path in state.iterdir()}
    first = lobwife_import.run(home, state)
    with opened(home) as ledger:
        position = ledger.stats.get().last_event
        lines = len(ledger.grants.audit(limit=1000))
    for name, content in kept.items():
        (state / name).write_bytes(content)
    second = lobwife_import.run(home, state)
    for before, after in zip(first.files, second.files, strict=True):
        assert (after.taken, after.existing, after.refused) == (0, before.taken, before.refused)
        assert after.renamed == f"{before.renamed}-2"
    with opened(home) as ledger:
        assert ledger.stats.get().last_event == position
        assert len(ledger.grants.audit(limit=1000)) == lines
        assert ledger.jobs.get("flush-logs").run_count == 40
    with pytest.raises(BadInput, match=r"lobmob\.db\.migrated"):
        lobwife_import.run(home, state)


def test_dry_run_changes_nothing(home: Home, state: Path) -> None:
    lobwife_state.database(state)
    before = sorted(path.name for path in state.iterdir())
    dry = lobwife_import.run(home, state, dry_run=True)
    with opened(home) as ledger:
        assert ledger.stats.get().last_event == 0
        assert list(ledger.jobs.list()) == []
    assert sorted(path.name for path in state.iterdir()) == before
    assert counted(dry) == counted(lobwife_import.run(home, state))


def test_number_that_is_taken_here_is_another_one(home: Home, state: Path) -> None:
    lobwife_state.database(state)
    with opened(home) as ledger:
        for number in range(1, 4):
            ledger.tasks.create(title=f"ours {number}")
        old = OldTask(name="ui", title="the same, from the vault", status=Status.COMPLETED, slug="2026-02-15-ui")
        ledger.tasks.migrate(tasks=[old])
    report = lobwife_import.run(home, state)
    reasons = {one.name: one.reason for one in report.told}
    assert reasons["tasks 3"] == "it came with the vault before, as T4; T3 of lobwife is T4 here"
    with opened(home) as ledger:
        assert ledger.tasks.get(3).title == "ours 3"
        assert [one.kind for one in ledger.events.list(task=4, kind="task.recalled")] == ["task.recalled"] * 2
        assert ledger.tasks.registration(4).repositories == ["acme/web"]


def test_slug_that_another_task_has_here_keeps_no_task_out(home: Home, state: Path) -> None:
    lobwife_state.database(state)
    with opened(home) as ledger:
        ours = ledger.tasks.create(title="ours", slug="2026-02-15-ui")
    report = lobwife_import.run(home, state)
    [told] = [one for one in report.told if one.name == "tasks 3"]
    assert (told.outcome, told.reason) == ("taken", "it came without its slug 2026-02-15-ui, which is that of T1")
    with opened(home) as ledger:
        taken = ledger.tasks.get(3)
        assert (taken.title, taken.slug) == ("Unity UI", None)
        assert len(ledger.events.list(task=3, kind="task.recalled")) == 2
        assert len(ledger.events.list(task=ours.id)) == 1
        assert ledger.tasks.registration(3).repositories == ["acme/web"]
        with pytest.raises(NotFound):
            ledger.tasks.registration(ours.id)


def test_two_rows_with_one_slug_are_two_tasks(home: Home, state: Path) -> None:
    rows = [{"id": number, "name": f"n{number}", "slug": "same", "status": "queued"} for number in (11, 12)]
    lobwife_state.database(state, tasks=[*lobwife_state.TASKS, *rows])
    with opened(home) as ledger:
        for number in range(12):
            ledger.tasks.create(title=f"ours {number}")
    report = lobwife_import.run(home, state)
    reasons = {one.name: (one.outcome.value, one.reason or "") for one in report.told}
    assert reasons["tasks 11"][0] == reasons["tasks 12"][0] == "taken"
    assert "without its slug same" in reasons["tasks 12"][1]
    with opened(home) as ledger:
        assert ledger.tasks.get("same").title == "n11"
        assert [one.title for one in ledger.tasks.list(limit=2)] == ["n12", "n11"]


def test_task_of_the_same_number_and_title_is_another_one(home: Home, state: Path) -> None:
    lobwife_state.database(state)
    with opened(home) as ledger:
        for title in ("a", "b", "Unity UI"):
            ledger.tasks.create(title=title)
    report = lobwife_import.run(home, state)
    [told] = [one for one in report.told if one.name == "tasks 3"]
    assert told.outcome == "taken"
    with opened(home) as ledger:
        assert ledger.tasks.get("2026-02-15-ui").id > 3


def test_job_with_an_impossible_name_gets_a_made_one(home: Home, state: Path) -> None:
    jobs = {name: {"run_count": at} for at, name in enumerate(("größe!", "gr-e", "sync", "!!!"), 1)}
    (state / "jobs.json").write_text(json.dumps(jobs))
    report = lobwife_import.run(home, state)
    assert report.files[0].taken == 4
    assert "a job cannot be called 'größe!' here: it is gr-e" in (report.told[0].reason or "")
    with opened(home) as ledger:
        found = {one.definition.name: one.run_count for one in ledger.jobs.list()}
    assert found == {"gr-e": 1, "gr-e-2": 2, "sync-2": 3, "job": 4}


def test_imported_run_is_older_than_what_a_job_did_here(home: Home, state: Path) -> None:
    with opened(home) as ledger:
        ledger.jobs.create(name="task-manager", schedule="@daily", action={"kind": "task", "task": {"title": "x"}})
        ledger.jobs.trigger("task-manager")
    lobwife_state.database(state)
    lobwife_import.run(home, state)
    with opened(home) as ledger:
        assert [one.cause for one in ledger.jobs.runs("task-manager")] == ["trigger", "import"]
        first = ledger.jobs.runs("task-manager", limit=1)
        assert [one.cause for one in ledger.jobs.runs("task-manager", cursor=first.next)] == ["import"]


def test_file_that_cannot_be_read_stays_and_the_others_are_taken(home: Home, state: Path) -> None:
    lobwife_state.json_files(state)
    (state / "lobmob.db").write_bytes(b"no database" * 1000)
    (state / "token-audit.json").write_text("{")
    report = lobwife_import.run(home, state)
    problems = {one.file: one.problem for one in report.files if one.problem}
    assert set(problems) == {"lobmob.db", "token-audit.json"}
    assert sorted(path.name for path in state.iterdir()) == [
        "jobs.json.migrated",
        "lobmob.db",
        "tasks.json.migrated",
        "token-audit.json",
    ]


def test_own_database_is_not_imported(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.config.write_text('db = "lobmob.db"\nvault = ""\n')
    made(home)
    [one] = lobwife_import.run(home, home.folder).files
    assert one.problem is not None
    assert "own database" in one.problem
    assert (home.folder / "lobmob.db").exists()


def test_nothing_wider_than_the_settings_comes_in(home: Home, state: Path) -> None:
    lobwife_state.database(state)
    home.config.write_text(home.config.read_text() + '[broker]\nrepositories = ["other/*"]\n')
    report = lobwife_import.run(home, state)
    reasons = {one.name: one.reason or "" for one in report.told}
    assert "broker.repositories allows no token" in reasons["broker_tasks 2026-02-15-ui"]
    assert "its registration was not taken" in reasons["tasks 8"]


def test_folder_of_nothing_is_refused(home: Home, state: Path) -> None:
    git(state, "init", "--quiet")
    with pytest.raises(BadInput, match="has none of"):
        lobwife_import.run(home, state)


def test_what_changed_there_between_two_imports_is_told_and_counted_once(
    home: Home, state: Path, tmp_path: Path
) -> None:
    job = {"last_run": "2026-02-16T09:00:00+00:00", "last_status": "success", "run_count": 100, "fail_count": 5}
    (state / "jobs.json").write_text(json.dumps({"sweep": job}))
    lobwife_state.database(state, tasks=[{"id": 7, "name": "Waits", "status": "queued"}])
    lobwife_import.run(home, state)
    later = tmp_path / "later"
    later.mkdir()
    (later / "jobs.json").write_text(json.dumps({"sweep": job | {"run_count": 101}}))
    lobwife_state.database(later, tasks=[{"id": 7, "name": "Waits", "status": "completed"}])
    report = lobwife_import.run(home, later)
    told = [one.reason or "" for one in report.told]
    assert "lobwife has it as completed now, and here it is queued: it stays so" in told
    with opened(home) as ledger:
        assert (ledger.jobs.get("sweep").run_count, ledger.jobs.get("sweep").fail_count) == (101, 5)


def test_rows_that_stand_twice_and_text_that_is_none_are_accounted_for(home: Home, state: Path) -> None:
    (state / "jobs.json").write_text('{"a": {"run_count": 1}, "a": {"run_count": 3}}')
    lobwife_state.database(state, tasks=[{"id": 7, "name": b"Caf\xe9 opens", "status": "queued"}])
    connection = apsw.Connection(str(state / "lobmob.db"))
    connection.execute("UPDATE tasks SET name = CAST(name AS TEXT)")
    connection.close()
    report = lobwife_import.run(home, state)
    assert {one.file: one.rows for one in report.files}["jobs.json"] == 2
    with opened(home) as ledger:
        assert ledger.tasks.get(7).title == "Caf\ufffd opens"
        assert ledger.jobs.get("a").run_count == 3
