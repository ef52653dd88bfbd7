"""Content of tasks: who may write it, that it is where people read it, and that no crash loses it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.adapters.vault import files
from shoal.daemon import archiver
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import BadInput, LeaseLost, NotFound, NoVault, Refused, ShoalError, TooLarge, VaultError, WrongStatus
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from tests.conftest import FakeClock, wait_until

Open = Callable[..., Ledger]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


def read(vault: Path, place: str) -> str:
    return (vault / place).read_bytes().decode()


def test_body_of_a_new_task_stands_in_its_file_and_nowhere_in_the_ledger(ledger: Ledger, vault: Path) -> None:
    task = ledger.tasks.create(title="Größe: #1", body="# Größe\r\n\r\nText", labels=["a"])
    found = ledger.tasks.body(task.id)
    assert (found.text, found.path) == ("# Größe\r\n\r\nText\n", "010-tasks/active/T1.md")
    assert read(vault, found.path).startswith('---\nid: T1\nname: "Größe: #1"\n')
    told = [event.data for event in ledger.events.list(after=0, task=1)]
    assert all("Text" not in str(data) for data in told)


def test_every_body_of_a_batch_is_kept(ledger: Ledger) -> None:
    made = ledger.tasks.create_many(tasks=[{"title": f"t{n}", "body": f"body {n}\n"} for n in range(20)])
    assert [ledger.tasks.body(task.id).text for task in made] == [f"body {n}\n" for n in range(20)]


def test_bodies_from_many_threads_at_once_are_all_kept(ledger: Ledger) -> None:
    def create(number: int) -> None:
        for n in range(5):
            ledger.tasks.create(title=f"{number}.{n}", body=f"{number}.{n}\n")

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tasks = ledger.tasks.list(limit=100)
    assert len(tasks) == 40
    assert all(ledger.tasks.body(task.id).text == f"{task.title}\n" for task in tasks)


def test_refused_create_leaves_no_body(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a", slug="taken", body="first\n")
    with pytest.raises(ShoalError):
        ledger.tasks.create(title="b", slug="taken", body="second\n")
    assert ledger.tasks.body(1).text == "first\n"
    assert [path.name for path in (vault / "010-tasks/active").iterdir()] == ["T1.md"]


def test_repeated_create_keeps_the_first_body(ledger: Ledger) -> None:
    for body in ("first\n", "second\n"):
        ledger.tasks.create(title="a", request_id="r", body=body)
    assert ledger.tasks.body(1).text == "first\n"


def test_task_without_a_file_has_the_sections_it_would_have(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", success_criteria=[{"criterion": "it works", "measurable": "exit 0"}])
    found = ledger.tasks.body(1)
    assert found.path is None
    assert found.text == (
        "# a\n\n## Objective\n\n## Acceptance criteria\n\n- [ ] it works (exit 0)\n\n## Notes\n\n## Result\n"
    )


def test_set_body_leaves_the_front_matter_alone(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a", body="old\n")
    ledger.tasks.body(1)
    path = vault / "010-tasks/active/T1.md"
    path.write_text(path.read_text().replace("type: swe\n", "type: swe  # mine\nown: [1, {a: b}]\n"))
    ledger.tasks.set_body(1, text="new\n")
    assert ledger.tasks.body(1).text == "new\n"
    assert "type: swe  # mine\nown: [1, {a: b}]\n" in path.read_text()


def test_set_body_keeps_what_others_wrote_below_it(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", body="# a\n")
    ledger.tasks.result(1, text="the result")
    ledger.tasks.discover(1, text="found")
    ledger.tasks.set_body(1, text="# b\n")
    text = ledger.tasks.body(1).text
    assert text.startswith("# b\n")
    assert "## Result\n\nthe result\n" in text
    assert "ana: found\n" in text
    ledger.tasks.set_body(1, text="# c\n\n## Result\n\nanother\n")
    assert "the result" not in ledger.tasks.body(1).text
    ledger.tasks.set_body(1, text="all\n", version=ledger.tasks.body(1).version)
    assert ledger.tasks.body(1).text == "all\n"


def test_set_body_over_a_newer_version_is_refused(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", body="old\n")
    version = ledger.tasks.body(1).version
    ledger.tasks.set_body(1, text="newer\n", version=version)
    with pytest.raises(Refused, match="changed meanwhile"):
        ledger.tasks.set_body(1, text="mine\n", version=version)
    assert ledger.tasks.body(1).text == "newer\n"


def test_result_is_added_under_its_heading_with_links(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    ledger.tasks.result(1, attempt=1, text="It works.", pull_requests=["https://github.com/o/r/pull/7"])
    ledger.tasks.result(1, attempt=1, text="And more.")
    text = ledger.tasks.body(1).text
    assert text.endswith("## Result\n\nIt works.\n\n- [o/r#7](https://github.com/o/r/pull/7)\n\nAnd more.\n")
    with pytest.raises(BadInput):
        ledger.tasks.result(1, text="x", pull_requests=["javascript:alert(1)"])


def test_stale_attempt_writes_nothing(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", body="body\n")
    ledger.tasks.claim(worker="w")
    ledger.tasks.release(1, attempt=1)
    ledger.tasks.claim(worker="v")
    for write in (
        lambda: ledger.tasks.result(1, attempt=1, text="stale"),
        lambda: ledger.tasks.set_body(1, attempt=1, text="stale"),
        lambda: ledger.tasks.share(1, attempt=1, key="k", value="stale"),
        lambda: ledger.tasks.discover(1, attempt=1, text="stale"),
        lambda: ledger.tasks.progress(1, attempt=1, message="stale"),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert ledger.tasks.body(1).text == "body\n"
    assert ledger.tasks.context(1).values == {}
    assert ledger.tasks.progress_log(1) == []


def test_shares_of_different_keys_at_the_same_time_all_survive(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    values: dict[str, Any] = {f"key{n}": {"n": [n, "x: y", None]} for n in range(16)}
    threads = [
        threading.Thread(target=lambda key=key, value=value: ledger.tasks.share(1, key=key, value=value))
        for key, value in values.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.tasks.context(1).values == values


def test_share_replaces_a_key_and_says_who_did(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.share(1, key="api", value="one")
    ledger.acting_as("bob").tasks.share(1, key="api", value=["two", {"three": 3}])
    context = ledger.tasks.context(1)
    assert (context.values, context.updated_by) == ({"api": ["two", {"three": 3}]}, "bob")
    with pytest.raises(TooLarge):
        ledger.tasks.share(1, key="k", value="x" * 300_000)


def test_shared_context_that_is_broken_is_left_alone_and_nothing_is_lost(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a")
    path = vault / "050-context/T1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("context: [a\n")
    for use in (lambda: ledger.tasks.context(1), lambda: ledger.tasks.share(1, key="k", value=1)):
        with pytest.raises(VaultError, match=r"T1\.yaml"):
            use()
    assert path.read_text() == "context: [a\n"
    path.write_text("context:\n  mine: 2  # kept\n")
    ledger.tasks.share(1, key="k", value=1)
    assert ledger.tasks.context(1).values == {"mine": 2, "k": 1}
    assert "  mine: 2  # kept\n" in path.read_text()


def test_notes_are_given_to_nobody_else(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.note(1, text="my secret")
    assert "my secret" in ledger.tasks.notes(1).text
    for other in ("bob", "an", "ana.", "ANA", "../T1.ana", "*"):
        assert ledger.acting_as(other).tasks.notes(1).text == ""
    assert all("secret" not in str(event.data) for event in ledger.events.list(after=0))


def test_discovery_reaches_the_participants(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.join(1, agent="bob")
    ledger.events.watch(agent="bob")
    ledger.acting_as("eve").tasks.discover(1, text="the API\nhas a limit")
    [event] = ledger.events.watch(agent="bob").events
    assert (event.kind, event.data["discovery"]) == ("task.discovered", "the API\nhas a limit")
    assert "eve: the API\n  has a limit\n" in ledger.tasks.body(1).text


def test_progress_is_logged(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    ledger.tasks.progress(1, attempt=1, progress=10, message='say "hi"\n')
    clock.advance(1.5)
    ledger.tasks.progress(1, attempt=1, progress=20)
    log = ledger.tasks.progress_log(1)
    assert [(line.progress, line.message) for line in log] == [(10, 'say "hi"\n'), (20, None)]
    assert [line.timestamp[17:] for line in log] == ["00.000Z", "01.500Z"]


def test_archive_takes_all_files_away_and_restore_brings_them_back(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a", body="body\n")
    ledger.tasks.create(title="b", body="other\n")
    ledger.tasks.share(1, key="k", value=1)
    ledger.tasks.note(1, text="note")
    with pytest.raises(WrongStatus):
        ledger.tasks.archive(1)
    with pytest.raises(NotFound):
        ledger.tasks.restore(1)
    ledger.tasks.complete(1)
    ledger.tasks.body(1)
    before = {path: path.read_bytes() for path in vault.rglob("T1*")}
    assert len(before) == 3
    ledger.tasks.archive(1)
    for refused in (
        lambda: ledger.tasks.body(1),
        lambda: ledger.tasks.result(1, text="late"),
        lambda: ledger.tasks.archive(1),
    ):
        with pytest.raises(Refused, match="archive T1 --restore"):
            refused()
    assert [path.name for path in vault.rglob("*T1*")] == [
        path.name for path in vault.glob("090-archive/task_T1_20270115T080000Z-*.tar.gz")
    ]
    ledger.tasks.restore(1)
    ledger.tasks.body(1)
    assert {path: path.read_bytes() for path in vault.rglob("*T1*")} == before
    assert ledger.tasks.body(2).text == "other\n"


def test_what_could_not_be_written_does_not_overwrite_what_came_later(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tasks.create(title="a", body="first\n")
    ledger.tasks.body(1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_partial", full)
        ledger.tasks.set_body(1, text="old\n")
        ledger.tasks.share(1, key="k", value="old")
        ledger.tasks.share(1, key="other", value="kept")
        assert ledger.tasks.body(1).text == "first\n"
    ledger.tasks.set_body(1, text="new\n")
    ledger.tasks.share(1, key="k", value="new")
    assert ledger.tasks.body(1).text == "new\n"
    ledger.engine.settler.recover()  # type: ignore[attr-defined]
    assert ledger.tasks.body(1).text == "new\n"
    assert ledger.tasks.context(1).values == {"k": "new", "other": "kept"}
    assert ledger.engine.settler.waiting == {}  # type: ignore[attr-defined]
    wait_until(lambda: len(ledger.events.list(after=0, kind="vault.unreadable")) == 3)


def test_same_result_of_two_attempts_stands_twice(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    for _ in range(2):
        ledger.tasks.result(1, text="Tests pass.")
    assert ledger.tasks.body(1).text.count("Tests pass.\n") == 2


def test_restoring_over_another_text_keeps_both(ledger: Ledger, vault: Path) -> None:
    ledger.tasks.create(title="a", body="old text\n")
    ledger.tasks.complete(1)
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    ledger.tasks.archive(1)
    with pytest.raises(Refused):
        ledger.tasks.body(1)
    (vault / "010-tasks/completed/T1.md").write_text("---\nid: T1\n---\n\nlate result\n")
    ledger.tasks.restore(1)
    assert "late result" in ledger.tasks.body(1).text
    [other] = vault.rglob("T1.other-*.md")
    assert "old text\n" in other.read_text()
    assert list(vault.glob("090-archive/*")) == []
    [told] = wait_until(lambda: list(ledger.events.list(after=0, kind="vault.conflict")))
    assert told.data["path"] == str(other.relative_to(vault))


@pytest.mark.parametrize("value", ["when: 2026-13-45", "a: !foo bar", "? [1, 2]\n  : x", "a: 0o9x\n  b: 1e999"])
def test_odd_values_of_people_in_the_shared_context_are_no_crash(ledger: Ledger, vault: Path, value: str) -> None:
    ledger.tasks.create(title="a")
    path = vault / "050-context/T1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"context:\n  {value}\n")
    for use in (lambda: ledger.tasks.context(1), lambda: ledger.tasks.share(1, key="k", value=1)):
        with contextlib.suppress(VaultError):
            use()
    ledger.tasks.body(1)
    assert f"  {value}\n" in path.read_text()


def test_damaged_spool_is_put_aside_and_stops_nothing(ledger: Ledger, vault: Path) -> None:
    (vault.with_name("spool")).mkdir(parents=True)
    (vault.with_name("spool") / "1-a.jsonl").write_bytes(b"no json\n{}\n")
    ledger.tasks.create(title="a", body="x\n")
    assert ledger.tasks.body(1).text == "x\n"
    assert (vault.with_name("spool") / "1-a.damaged").read_bytes() == b"no json\n{}\n"
    told = list(ledger.engine.settler.vault.spool.report(2**60))  # type: ignore[attr-defined]
    assert any("1-a.damaged" in line for line in told)


def test_files_of_old_tasks_are_archived_where_asked_for(open_at: Open, vault: Path, clock: FakeClock) -> None:
    ledger = open_at(vault_archive_days=30)
    for number in range(1, 251):
        ledger.tasks.create(title="a", body=f"{number}\n")
        if number <= 240:
            ledger.tasks.complete(number)
    clock.advance(31 * 86_400)
    ledger.tasks.complete(241)
    assert archiver.tick(ledger.engine) == 240  # type: ignore[arg-type]
    assert archiver.tick(ledger.engine) == 0  # type: ignore[arg-type]
    with pytest.raises(Refused, match="archived"):
        ledger.tasks.body(1)
    assert len(list((vault / "090-archive").iterdir())) == 240
    assert ledger.tasks.body(241).text == "241\n"
    ledger.tasks.reopen(1)
    assert ledger.tasks.body(1).text == "1\n", "work goes on where it was"
    ledger.tasks.complete(1)
    clock.advance(31 * 86_400)
    assert archiver.tick(ledger.engine) == 2  # type: ignore[arg-type]


def test_old_names_are_found_by_slug_and_by_id(ledger: Ledger, vault: Path) -> None:
    folder = vault / "010-tasks" / "active"
    folder.mkdir(parents=True)
    for name, front in (
        ("task-2026-02-15-a1b2.md", "id: task-2026-02-15-a1b2"),
        ("deadbeef.md", "status: queued"),
        ("My idea.md", "id: T3"),
    ):
        (folder / name).write_text(f"---\n{front}\n---\n\n{name}\n")
    ledger.tasks.create(title="a", slug="task-2026-02-15-a1b2")
    ledger.tasks.create(title="b", slug="deadbeef")
    ledger.tasks.create(title="c")
    for ref, name in (
        ("task-2026-02-15-a1b2", "task-2026-02-15-a1b2.md"),
        ("T2", "deadbeef.md"),
        ("deadbeef", "deadbeef.md"),
        (3, "My idea.md"),
    ):
        assert ledger.tasks.body(ref).text == f"{name}\n"


def test_link_in_the_vault_shows_no_other_file(ledger: Ledger, vault: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (vault / "010-tasks" / "active").mkdir(parents=True)
    (vault / "010-tasks" / "active" / "T1.md").symlink_to(tmp_path / "secret")
    (vault / "050-context").symlink_to(tmp_path)
    ledger.tasks.create(title="a")
    with pytest.raises(ShoalError):
        ledger.tasks.body(1)
    for use in (lambda: ledger.tasks.context(1), lambda: ledger.tasks.share(1, key="k", value=1)):
        with pytest.raises(ShoalError):
            use()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("T1")) == []


def test_ledger_without_a_vault_says_so(address: str, clock: FakeClock) -> None:
    with open_ledger(address, settings=Settings(), actor="ana", create=True, clock=clock) as ledger:
        ledger.tasks.create(title="a")
        with pytest.raises(NoVault, match="no vault"):
            ledger.tasks.body(1)
        with pytest.raises(NoVault):
            ledger.tasks.create(title="b", body="x")
        assert len(ledger.tasks.list()) == 1


VICTIM = """
import os, sys
from pathlib import Path
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from shoal.ledger import settler
from shoal.adapters.vault import files, spool

address, vault, spool_folder, point = sys.argv[1:]

def die(*_, **__):
    os._exit(9)

def before(owner, name):
    setattr(owner, name, die)

def after(owner, name):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        real(*args, **kwargs)
        die()
    setattr(owner, name, wrapped)

ledger = open_ledger(address, settings=Settings(), actor="ana", create=True, vault=(Path(vault), Path(spool_folder)))
before_or_after, owner, name = point.split()
owners = {"Settler": settler.Settler, "Spool": spool.Spool, "files": files, "Path": Path}
(before if before_or_after == "before" else after)(owners[owner], name)
ledger.tasks.create(title="a", body="# Body\\n")
print("acknowledged", flush=True)
ledger.close()
"""


@pytest.mark.parametrize(
    "point",
    [
        "before Spool lay_down",
        "after Spool lay_down",
        "before Settler take_up",
        "before files update",
        "before files _partial",
        "after files _partial",
        "before Path replace",
        "after Path replace",
        "before Spool done",
        "after Spool done",
    ],
)
def test_body_survives_death_at_any_step(address: str, tmp_path: Path, point: str) -> None:
    vault = tmp_path / "vault"
    victim = [sys.executable, "-c", VICTIM, address, str(vault), str(vault.with_name("spool")), point]
    said = subprocess.run(victim, capture_output=True, text=True, check=False)
    assert said.returncode == 9, said.stderr

    with open_ledger(
        address, settings=Settings(), actor="ana", create=True, vault=(vault, vault.with_name("spool"))
    ) as ledger:
        ledger.engine.settler.settle()  # type: ignore[attr-defined]
        tasks = ledger.tasks.list()
        assert len(tasks) == 1 or "acknowledged" not in said.stdout
        assert tasks or "lay_down" in point
        for task in tasks:
            assert ledger.tasks.body(task.id).text == "# Body\n"
        assert [path.name for path in vault.rglob("*.md")] == [f"{task.task_id}.md" for task in tasks]
    assert list((vault.with_name("spool")).glob("*.jsonl")) == []


def test_what_a_closing_ledger_cannot_wait_for_stays_in_the_spool(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.ledger.settler.PATIENCE_SECONDS", 0.0)
    places = (tmp_path / "vault", tmp_path / "spool")
    with open_ledger(address, settings=Settings(), actor="ana", create=True, vault=places) as ledger:
        ledger.tasks.create_many(tasks=[{"title": f"t{number}", "body": f"body {number}"} for number in range(500)])
    assert not [thread for thread in threading.enumerate() if thread.name == "shoal-settler"]
    assert len(list(places[0].rglob("*.md"))) < 500, "it did not wait"
    monkeypatch.undo()
    with open_ledger(address, settings=Settings(), actor="ana", create=True, vault=places) as ledger:
        assert [ledger.tasks.body(number + 1).text.strip() for number in range(500)] == [
            f"body {number}" for number in range(500)
        ]


def test_killed_creators_lose_no_acknowledged_body(address: str, tmp_path: Path) -> None:
    loop = """
import sys
from pathlib import Path
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
vault = Path(sys.argv[2]), Path(sys.argv[2]).with_name("spool")
ledger = open_ledger(sys.argv[1], settings=Settings(), actor="ana", create=True, vault=vault)
while True:
    task = ledger.tasks.create(title="x", body="body " * 2000)
    ledger.tasks.result(task.id, text="result " * 2000)
    print(task.id, flush=True)
"""
    vault = tmp_path / "vault"
    open_ledger(address, settings=Settings(), actor="ana", create=True).close()
    acknowledged: list[int] = []
    for lines in (1, 3, 10):
        creator = subprocess.Popen([sys.executable, "-c", loop, address, str(vault)], stdout=subprocess.PIPE, text=True)
        assert creator.stdout is not None
        for _ in range(lines):
            acknowledged.append(int(creator.stdout.readline()))
        creator.kill()
        acknowledged += [int(line) for line in creator.stdout.read().split("\n")[:-1]]
        creator.wait()
        creator.stdout.close()
    with open_ledger(
        address, settings=Settings(), actor="ana", create=True, vault=(vault, vault.with_name("spool"))
    ) as ledger:
        for task in acknowledged:
            text = ledger.tasks.body(task).text
            assert text.count("body ") == 2000
            assert text.count("result ") + text.count("result\n") == 2000
