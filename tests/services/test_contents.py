"""Content of tasks: who may write it, and that it is where people read it. That no crash loses it: test_settler.py."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, LeaseLost, NoVault, Refused, ShoalError, TooLarge, VaultError
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from tests.conftest import FakeClock


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


def test_same_result_of_two_attempts_stands_twice(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    for _ in range(2):
        ledger.tasks.result(1, text="Tests pass.")
    assert ledger.tasks.body(1).text.count("Tests pass.\n") == 2


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
