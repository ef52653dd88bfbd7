"""The backlog out and in again: nothing is lost, nothing comes twice."""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal import Ledger
from shoal.errands import item_import
from shoal.errors import ShoalError
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from tests.conftest import FakeClock
from tests.services.scanned import scan


@pytest.fixture
def opened(request: pytest.FixtureRequest, address: str, tmp_path: Path) -> Callable[[], Ledger]:
    """Opens further ledgers, each on an empty database of the same kind."""

    def fresh() -> str:
        name = f"test_{secrets.token_hex(6)}"
        if not address.startswith("postgresql"):
            return str(tmp_path / f"{name}.db")
        server = request.getfixturevalue("postgres_server")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        joint = "&" if "?" in server else "?"
        return f"{server}{joint}options=-c%20search_path%3D{name}"

    return lambda: open_ledger(fresh(), settings=Settings(), actor="bo", create=True, clock=FakeClock(1))


@pytest.fixture
def other(opened: Callable[[], Ledger]) -> Iterator[Ledger]:
    """Another ledger."""
    with closing(opened()) as ledger:
        yield ledger


def fill(ledger: Ledger) -> None:
    ledger.items.create(
        text="Fix ünicode 文字\nand more",
        project="web",
        source_file="TODO.md",
        source_line=3,
        heading=["Bugs"],
        title="Fix it",
        summary="s",
        severity="warning",
        effort="small",
        risk="low",
        priority=1,
        tier="safe_always",
        type="swe",
        labels=["a", "b"],
        owner="ana",
        due_at=7,
        refs={"jira": "WEB-1"},
        files=["a.py"],
        accepted=True,
    )
    ledger.items.create(text="=cmd()", parent=1, project="web")
    ledger.items.create(text="same", source_file="TODO.md")
    ledger.items.create(text="same", source_file="TODO.md")
    ledger.items.depend(2, on=3)
    ledger.items.done(3)
    ledger.items.reject(4)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


def take(ledger: Ledger, text: str, folder: Path, **given: Any) -> item_import.ItemImport:
    path = folder / "backlog.jsonl"
    path.write_text(text, encoding="utf-8")
    asked: dict[str, Any] = {"system": None, "project": "default", "settings": Settings()} | given
    return item_import.run(ledger, str(path), **asked)


def counted(came: item_import.ItemImport) -> tuple[int, int, int, int]:
    return came.taken, came.updated, came.same, came.refused


def test_export_comes_back_whole_in_another_ledger_and_only_once(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    fill(ledger)
    text = ledger.items.export().text
    assert counted(take(other, text, tmp_path)) == (4, 0, 0, 0)
    assert other.items.export().text == text
    found = other.items.get(1)
    assert (found.origin, found.decided_by, found.refs["jira"], found.children) == ("import", "ana", "WEB-1", ["W2"])
    before = other.events.list(limit=1000)
    assert counted(take(other, text, tmp_path)) == (0, 0, 4, 0)
    assert other.events.list(limit=1000) == before


def test_own_export_is_known_and_changes_nothing(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    fill(ledger)
    before = ledger.events.list(limit=1000)
    assert counted(take(ledger, ledger.items.export().text, tmp_path)) == (0, 0, 4, 0)
    take(other, ledger.items.export().text, tmp_path)
    assert counted(take(ledger, other.items.export().text, tmp_path)) == (0, 0, 4, 0)
    assert ledger.events.list(limit=1000) == before


def test_items_of_two_ledgers_with_one_number_are_two(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    ledger.items.create(text="same")
    other.items.create(text="same")
    assert take(other, ledger.items.export().text, tmp_path).items == ["W2"]


def test_mention_in_common_makes_no_two_items_one(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    for project in ("web", "api"):
        text = "- [ ] one blocked-by: the great rewrite\n- [ ] two blocked-by: the great rewrite\n"
        scan(ledger, text, project=project)
    for number in (1, 2):
        ledger.items.update(number, refs={"issue": "#123", "url": "https://example.com/123"})
    came = take(other, ledger.items.export().text, tmp_path)
    assert counted(came) == (4, 0, 0, 0)
    assert [other.items.get(number).refs["blocked-by"] for number in (3, 4)] == ["the great rewrite"] * 2


def test_export_of_some_is_linked_to_the_others_when_they_come(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    fill(ledger)
    first = take(other, ledger.items.export(status="new").text, tmp_path)
    assert (first.taken, len(first.waiting)) == (1, 2)
    assert take(other, ledger.items.export().text, tmp_path).waiting == []
    found = other.items.get(1)
    assert (found.text, found.parent, found.blocked_by) == ("=cmd()", 2, ["W3"])


def test_another_ledger_is_followed(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    ledger.items.create(text="a", files=["a.py"])
    ledger.items.create(text="b")
    take(other, ledger.items.export().text, tmp_path)
    other.items.update(2, severity="info")
    ledger.items.update(1, summary="more", severity="critical", estimate_minutes=60)
    ledger.items.update(2, severity="critical")
    ledger.items.done(1)
    came = take(other, ledger.items.export().text, tmp_path)
    assert (counted(came), [one.reason for one in came.told]) == (
        *((0, 1, 1, 0), ["its severity was edited here, and stays"]),
    )
    found = other.items.get(1)
    assert (found.summary, found.severity, found.estimate_minutes, found.status) == ("more", "critical", 60, "done")


def test_item_under_way_comes_without_its_tasks_and_says_so(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.run(1)
    came = take(other, ledger.items.export().text, tmp_path)
    assert [one.reason for one in came.told] == ["it was in progress: its tasks stay where they are"]
    assert (other.items.get(1).status, other.items.run(1).made) == ("triaged", 1)


def test_lines_by_hand_need_an_id_and_a_text(ledger: Ledger, tmp_path: Path) -> None:
    text = (
        '{"id": "a", "text": "a", "colour": "red"}\n\nnonsense\n[1]\n{"id": "b", "text": ""}\n{"text": "c"}\n'
        '{"id": "d", "text": "d", "blocked_by": ["a"], "parent": "z", "project": "web"}\n'
        '{"id": "e", "text": "e", "status": ["odd"]}\n{"id": 7, "text": "f"}\n{"id": "g", "text": "\\ud83d"}\n'
        '{"id": "h", "text": "h", "blocked_by": 7}\n{"id": "a", "text": "again"}\n'
    )
    came = take(ledger, text, tmp_path, project="p")
    assert counted(came) == (2, 0, 0, 9)
    places = [one.place for one in came.told]
    assert places == [f"backlog.jsonl:{number}" for number in (3, 4, 5, 6, 8, 9, 10, 11, 12)]
    assert [ledger.items.get(number).project for number in (1, 2)] == ["p", "web"]
    assert (ledger.items.get(2).blocked_by, came.waiting) == (["W1"], ["z"])


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(str.strip)
MOMENTS = st.integers(0, 2**40)
NUMBERS = st.integers(1, 8)
NEW = st.fixed_dictionaries(
    {"text": WORDS},
    optional={
        "project": st.sampled_from(["web", "api"]),
        "source_file": NAMES,
        "source_line": st.integers(1, 2**31 - 1),
        "heading": st.lists(WORDS, max_size=3),
        "title": NAMES,
        "summary": WORDS,
        "severity": st.sampled_from(["info", "warning", "critical"]),
        "effort": st.sampled_from(["unknown", "small", "medium", "large"]),
        "estimate_minutes": st.integers(0, 5_256_000),
        "risk": st.sampled_from(["unknown", "low", "medium", "high"]),
        "priority": st.integers(0, 3),
        "tier": st.sampled_from(["unknown", "safe_always", "code_change"]),
        "type": NAMES,
        "labels": st.lists(NAMES, max_size=3),
        "owner": NAMES,
        "due_at": MOMENTS,
        "refs": st.dictionaries(NAMES.filter(lambda name: name != "shoal"), NAMES, max_size=3),
        "files": st.lists(NAMES, max_size=3),
        "accepted": st.booleans(),
    },
)
ASSESSMENT = st.fixed_dictionaries(
    {"effort": st.sampled_from(["unknown", "large"])},
    optional={
        "files": st.lists(st.fixed_dictionaries({"path": NAMES, "validated": st.booleans()}), max_size=3),
        "confidence": st.sampled_from(["low", "high"]),
        "model": NAMES,
        "summary": WORDS,
    },
)
STEPS = st.one_of(
    st.tuples(st.just("create"), NEW),
    st.tuples(st.sampled_from(["accept", "reject", "done", "reopen", "run"]), NUMBERS),
    st.tuples(st.just("assess"), NUMBERS, ASSESSMENT),
    st.tuples(st.sampled_from(["depend", "below", "merge"]), NUMBERS, NUMBERS),
    st.tuples(st.just("order"), NUMBERS, st.integers(0, 9)),
    st.tuples(st.just("scan"), st.lists(st.sampled_from(["a ~90", "b blocked-by: c", "c !1"]), unique=True)),
    st.tuples(st.just("check"), st.lists(st.sampled_from(["x", "y"]), unique=True)),
    st.tuples(st.sampled_from(["prioritise", "credit"])),
)


def step(ledger: Ledger, verb: str, *given: Any) -> None:
    items = ledger.items
    if verb == "create":
        items.create(**given[0])
    elif verb == "assess":
        items.assess(given[0], **given[1])
    elif verb == "depend":
        items.depend(given[0], on=given[1])
    elif verb == "below":
        items.update(given[0], parent=given[1])
    elif verb == "merge":
        items.merge(given[0], into=given[1])
    elif verb == "order":
        items.update(given[0], sort_order=given[1])
    elif verb == "scan":
        scan(ledger, "".join(f"- [ ] {line}\n" for line in given[0]))
    elif verb == "check":
        findings = [{"rule": rule, "message": rule, "file": "a.py", "safe": True} for rule in given[0]]
        ledger.checks.record(check="lint", project="web", findings=findings)
    elif verb == "prioritise":
        items.prioritise()
    elif verb == "credit":
        items.credit(commits={"W1": "a" * 40})
    else:
        getattr(items, verb)(given[0])


def as_it_comes_back(text: str) -> list[dict[str, Any]]:
    """The lines of an export by what items are called, and those under way as they are without their tasks."""
    found = lines(text)
    for line in found:
        del line["item_id"]
        if line["status"] == "in_progress":
            line["status"] = "assessed" if "assessed_at" in line else "triaged"
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=30))
def test_whatever_an_export_says_comes_back(
    opened: Callable[[], Ledger], tmp_path: Path, steps: list[tuple[Any, ...]]
) -> None:
    with closing(opened()) as first, closing(opened()) as second:
        for one in steps:
            with suppress(ShoalError):
                step(first, *one)
        text = first.items.export().text
        came = take(second, text, tmp_path)
        assert (came.refused, came.waiting) == (0, [])
        assert as_it_comes_back(second.items.export().text) == as_it_comes_back(text)
        before = second.items.export().text, second.events.list(limit=1000)
        assert (take(second, text, tmp_path).same, second.items.export().text) == (came.taken, before[0])
        assert second.events.list(limit=1000) == before[1]


def test_dry_run_of_an_export_does_nothing(ledger: Ledger, other: Ledger, tmp_path: Path) -> None:
    fill(ledger)
    text = ledger.items.export().text
    assert counted(take(other, text, tmp_path, dry_run=True)) == (4, 0, 0, 0)
    assert list(other.items.list()) == []


def test_csv_opens_in_a_spreadsheet_and_runs_nothing_there(ledger: Ledger) -> None:
    fill(ledger)
    came = ledger.items.export(format="csv")
    rows = list(csv.DictReader(io.StringIO(came.text)))
    assert (len(rows), came.items) == (4, 4)
    assert rows[0]["text"] == "Fix ünicode 文字\nand more"
    assert (rows[0]["labels"], rows[0]["accepted"], rows[0]["refs"]) == ("a, b", "yes", "jira=WEB-1")
    assert rows[1]["text"] == "'=cmd()"


def test_markdown_shows_what_comes_first(ledger: Ledger) -> None:
    fill(ledger)
    assert ledger.items.export(format="markdown").text == (
        "# Backlog\n"
        "\n## Accepted (1)\n\n- [ ] **W1 P1** Fix it (TODO.md:3)\n"
        "\n## New (1)\n\n- [ ] **W2** =cmd()\n"
        "\n## Done (1)\n\n- [x] **W3** same (TODO.md:1)\n"
        "\n## Rejected (1)\n\n- [-] **W4** same (TODO.md:1)\n"
    )
    assert ledger.items.export(format="markdown", open=True, project="default").text == "# Backlog\n"


def test_stats_count_by_several_sorts(ledger: Ledger) -> None:
    empty = ledger.items.stats()
    assert (empty.total, empty.by_status, empty.oldest_new_at) == (0, {}, None)
    fill(ledger)
    found = ledger.items.stats()
    assert (found.total, found.open) == (4, 2)
    assert found.by_status == {"done": 1, "new": 1, "triaged": 1, "wontfix": 1}
    assert (found.by_project, found.by_priority) == ({"web": 2}, {"P1": 1, "none": 1})
    assert ledger.items.stats(project="other").total == 0
