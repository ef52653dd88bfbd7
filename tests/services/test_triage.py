"""Rules about new items: the first that fits decides and is told of; what a person decided stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import ShoalError
from shoal.settings import TriageSettings
from tests.conftest import START_MS, FakeClock
from tests.rows import execute
from tests.services.scanned import scan

DAY_MS = 86_400_000


@pytest.fixture
def ruled(open_at: Callable[..., Ledger]) -> Callable[..., Ledger]:
    """A ledger with rules, in their order."""

    def open_one(**rules: dict[str, Any]) -> Ledger:
        return open_at(triage={name: TriageSettings(**rule) for name, rule in rules.items()})

    return open_one


def decided(ledger: Ledger, **given: Any) -> list[tuple[str, str, str]]:
    return [(one.item_id, one.rule, one.then) for one in ledger.items.triage(**given).decisions]


def test_first_rule_that_fits_decides_and_is_told_of(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(
        docs={"then": "accept", "paths": ["docs/**"]},
        old={"then": "reject", "containing": ["OLD"]},
        rest={"then": "leave"},
    )
    ledger.items.create(text="old page", source_file="docs/a/b.md")
    ledger.items.create(text="Old code")
    ledger.items.create(text="new code")
    assert decided(ledger, dry_run=True) == [
        ("W1", "docs", "accept"),
        ("W2", "old", "reject"),
        ("W3", "rest", "leave"),
    ]
    assert {one.status for one in ledger.items.list()} == {"new"}
    came = ledger.items.triage()
    assert (came.looked_at, came.left, came.next) == (3, 1, None)
    assert [(one.status, one.decided_by) for one in ledger.items.list()] == [
        *(("new", None), ("wontfix", "rule:old"), ("triaged", "rule:docs")),
    ]
    assert ledger.events.list(item=1)[0].data == {"by": "rule:docs", "reason": "docs/a/b.md"}
    assert decided(ledger) == [("W3", "rest", "leave")]


def test_what_a_person_decided_stays(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(everything={"then": "reject"})
    for text in "ab":
        ledger.items.create(text=text)
    ledger.items.accept(1)
    assert decided(ledger) == [("W2", "everything", "reject")]
    ledger.items.reopen(2)
    assert decided(ledger) == []
    assert [one.status for one in ledger.items.list()] == ["new", "triaged"]


@pytest.mark.parametrize(
    ("rule", "fitting"),
    [
        ({"projects": ["web"]}, {1}),
        ({"origins": ["check"]}, set()),
        ({"severities": ["critical", "warning"]}, {2}),
        ({"labels": ["auth", "nothing"]}, {1, 3}),
        ({"labels": ["auth"], "projects": ["web"]}, {1}),
        ({"older_than_days": 10}, {3}),
        ({"paths": ["*.py"]}, {2, 3}),
        ({"paths": ["src/*.py"]}, {2}),
        ({}, {1, 2, 3}),
    ],
    ids=str,
)
def test_all_that_a_rule_names_must_fit(
    ruled: Callable[..., Ledger], clock: FakeClock, rule: dict[str, Any], fitting: set[int]
) -> None:
    ledger = ruled(one={"then": "accept"} | rule)
    clock.now = START_MS - 20 * DAY_MS
    first = ledger.items.create(text="x", project="late", labels=["auth"], source_file="lib/x/c.py")
    clock.now = START_MS
    ledger.items.create(text="y", severity="warning", source_file="src/a.py", project="late")
    ledger.items.create(text="z", project="web", labels=["auth"])
    numbers = {"W1": 3, "W2": 2, "W3": 1}
    assert first.item_id == "W1"
    assert {numbers[item] for item, _, _ in decided(ledger, dry_run=True)} == fitting


def test_rule_about_changed_files_asks_who_knows_them(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(hot={"then": "accept", "changed_within_days": 30}, rest={"then": "reject"})
    for name in ("hot", "cold"):
        ledger.items.create(text=name, source_file=f"{name}.py", project="web")
    unknown = ledger.items.triage(dry_run=True)
    assert (unknown.decisions, unknown.left) == ([], 2)
    assert "rule hot asks which files of web were changed lately" in unknown.notes[0]
    changed = {"web": {"hot.py": START_MS - 29 * DAY_MS, "cold.py": START_MS - 31 * DAY_MS}}
    assert decided(ledger, changed=changed) == [("W1", "hot", "accept"), ("W2", "rest", "reject")]


def test_rule_queues_what_is_safe_and_what_a_check_found(ruled: Callable[..., Ledger], address: str) -> None:
    ledger = ruled(safe={"then": "accept", "queue": True})
    ledger.items.create(text="safe", tier="safe_always")
    ledger.items.create(text="finding", severity="critical")
    ledger.items.create(text="code", tier="code_change")
    execute(address, "UPDATE items SET origin = 'check', check_name = 'links' WHERE id = 2")
    came = ledger.items.triage()
    assert [one.queued for one in came.decisions] == [["T1"], ["T2"], []]
    task = ledger.tasks.get("T2")
    assert (task.priority, task.success_criteria[0].criterion) == (0, "the check links no longer reports this")
    assert ledger.items.get(3).status == "triaged"
    ledger.items.update(3, tier="safe_always")
    assert [(one.item_id, one.queued) for one in ledger.items.triage().decisions] == [("W3", ["T3"])]


def test_rule_leaves_what_others_hang_on_to_people(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(safe={"then": "accept", "queue": True})
    ledger.items.create(text="above", tier="safe_always")
    ledger.items.create(text="below", parent=1)
    came = ledger.items.triage()
    assert ([one.queued for one in came.decisions], ledger.tasks.list()) == ([[], []], [])
    assert came.notes == ["W1 was not queued, other items hang on it: `shoal item run W1`"]


def test_many_items_come_in_pages(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(all={"then": "accept"})
    for text in "abc":
        ledger.items.create(text=text)
    first = ledger.items.triage(limit=2)
    assert (len(first.decisions), first.next) == (2, 2)
    assert ledger.items.triage(limit=2, after=2).next is None


def test_without_rules_nothing_is_decided(ledger: Ledger) -> None:
    ledger.items.create(text="a")
    came = ledger.items.triage()
    assert (came.decisions, came.left) == ([], 1)


def test_undone_decision_is_open_to_rules_again(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(all={"then": "accept"})
    ledger.items.create(text="a")
    decided(ledger)
    ledger.items.undo(1)
    assert decided(ledger) == [("W1", "all", "accept")]
    with pytest.raises(ShoalError):
        ledger.items.undo(1, event=1)


def test_rules_decide_about_what_a_scan_brings(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(
        login={"then": "accept", "containing": ["login"]},
        late={"then": "reject", "older_than_days": 10},
        ideas={"then": "leave", "containing": ["idea"]},
        rest={"then": "reject", "origins": ["scan"]},
    )
    text = "- [ ] Mend the login\n- [ ] An idea\n- [ ] Paint the login\n- [x] Old login\n- [ ] Other\n"
    tried = scan(ledger, text, dry_run=True)
    assert (tried.rules, ledger.items.list()) == ({}, [])
    report = scan(ledger, text)
    assert (report.rules, report.notes) == ({"login": 2, "ideas": 1, "rest": 1}, [])
    assert {one.text: (one.status, one.decided_by) for one in ledger.items.list()} == {
        "Mend the login": ("triaged", "rule:login"),
        "An idea": ("new", None),
        "Paint the login": ("triaged", "rule:login"),
        "Old login": ("done", None),
        "Other": ("wontfix", "rule:rest"),
    }
    # What was decided before is not asked about again, and what is added is.
    ledger.items.reopen("W5")
    assert scan(ledger, text).rules == {}
    assert scan(ledger, text + "- [ ] login, at last\n").rules == {"login": 1}
    assert ledger.items.get("W5").status == "new"


def test_scan_says_which_files_changed_lately(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(hot={"then": "accept", "changed_within_days": 30}, rest={"then": "reject"})
    unknown = scan(ledger, "- [ ] a\n", project="far")
    assert unknown.rules == {}
    assert "rule hot asks which files of far were changed lately" in unknown.notes[0]
    files = {"hot.md": "- [ ] b\n", "cold.md": "- [ ] c\n"}
    report = scan(ledger, files, changed={"hot.md": START_MS - 29 * DAY_MS, "cold.md": START_MS - 31 * DAY_MS})
    assert report.rules == {"hot": 1, "rest": 1}


def test_rule_that_makes_tasks_leaves_what_stands_below_another_to_people(ruled: Callable[..., Ledger]) -> None:
    ledger = ruled(safe={"then": "accept", "queue": True})
    report = scan(ledger, "- [ ] above\n  - [ ] below\n")
    assert (report.rules, report.notes, ledger.tasks.list()) == ({"safe": 2}, [], [])
    ledger.items.update("W2", tier="safe_always")
    assert [one.queued for one in ledger.items.triage().decisions] == [["T1"]]
