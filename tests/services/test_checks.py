"""What checks found as work items: one each, whatever moves, and done when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal import Ledger
from shoal.model.check import Brought, Finding, Findings, FindingsReport, finding_of
from shoal.model.item import Severity
from shoal.settings import TriageSettings
from tests.conftest import FakeClock

DEAD = Finding(rule="broken-link", message="no file guide.md", file="README.md", line=10)
PORT = Finding(
    rule="no-port", message="port 9090 is not in the code", file="docs/a.md", line=3, severity=Severity.CRITICAL
)

Look = Callable[..., FindingsReport]


@pytest.fixture
def look(ledger: Ledger) -> Look:
    """A look of a check at the project web."""

    def look(*findings: Finding, **given: Any) -> FindingsReport:
        found = {"check": "doc-health", "project": "web", "findings": list(findings)} | given
        return ledger.checks.record(**found)

    return look


def moved(finding: Finding, **changes: Any) -> Finding:
    fields = {name: getattr(finding, name) for name in finding.__struct_fields__}
    return Finding(**fields | changes)


def test_findings_become_items(ledger: Ledger, look: Look) -> None:
    report = look(DEAD, PORT, run=7)
    assert (report.found, report.new) == (2, ["W1", "W2"])
    first, second = ledger.items.get(1), ledger.items.get(2)
    assert (first.origin, first.check_name, first.rule, first.run) == ("check", "doc-health", "broken-link", 7)
    assert (first.source_file, first.source_line, first.text) == ("README.md", 10, "no file guide.md")
    assert (first.status, first.severity, second.severity, first.tier) == ("new", "warning", "critical", "unknown")
    assert [file.path for file in first.files] == ["README.md"]
    [event] = ledger.events.list(item=1)
    assert (event.kind, event.data["check"], event.data["rule"]) == ("item.found", "doc-health", "broken-link")


def test_finding_seen_again_is_the_same_item_wherever_it_stands(ledger: Ledger, look: Look, clock: FakeClock) -> None:
    look(DEAD)
    clock.advance(60)
    report = look(moved(DEAD, line=99, message="No file  `guide.md`"), complete=False)
    assert (report.new, report.reopened, report.resolved) == ([], [], [])
    item = ledger.items.get(1)
    assert (item.source_line, item.last_seen_at - item.first_seen_at, item.text) == (99, 60_000, "no file guide.md")
    assert len(ledger.events.list(item=1)) == 1


def test_equal_findings_of_one_file_are_one_item(ledger: Ledger, look: Look) -> None:
    assert look(DEAD, moved(DEAD, line=50), moved(DEAD, file="other.md")).found == 2
    assert [item.source_line for item in ledger.items.list()] == [10, 10]


def test_key_stands_for_a_message_whose_numbers_change(ledger: Ledger, look: Look) -> None:
    long = Finding(rule="too-long", message="has 410 lines", key="size", file="a.py")
    look(long)
    assert look(moved(long, message="has 420 lines")).new == []


def test_renamed_file_takes_its_findings_along(ledger: Ledger, look: Look) -> None:
    look(DEAD, moved(DEAD, file="b.md"))
    swapped = [moved(DEAD, file="b.md", line=1), moved(DEAD, file="README.md", line=2)]
    report = look(*swapped, renamed={"b.md": "README.md", "README.md": "b.md"})
    assert (report.new, report.resolved) == ([], [])
    found = {item.id: (item.source_file, item.source_line) for item in ledger.items.list()}
    assert found == {1: ("b.md", 1), 2: ("README.md", 2)}


def test_gone_in_a_complete_look_is_done_and_comes_back_with_its_finding(
    ledger: Ledger, look: Look, clock: FakeClock
) -> None:
    look(DEAD, PORT)
    ledger.items.accept(1)
    clock.advance(1)
    assert look(PORT).resolved == ["W1"]
    item = ledger.items.get(1)
    assert (item.status, item.done_at) == ("done", clock.now)
    event = ledger.events.list(item=1, kind="item.done")[0]
    assert event.data == {"reason": "check doc-health no longer reports it"}
    assert look(PORT).resolved == []
    assert look(DEAD, PORT).reopened == ["W1"]
    assert (ledger.items.get(1).status, ledger.items.get(1).done_at) == ("triaged", None)


def test_incomplete_look_resolves_nothing(ledger: Ledger, look: Look) -> None:
    look(DEAD, PORT)
    assert look(complete=False).resolved == []
    assert [item.status for item in ledger.items.list()] == ["new", "new"]
    [state] = ledger.checks.list()
    assert (state.check, state.project, state.open, state.critical) == ("doc-health", "web", 2, 1)


def test_state_tells_the_commit_of_the_last_complete_look(ledger: Ledger, look: Look) -> None:
    look(DEAD, head="a" * 40)
    look(head="b" * 40, complete=False)
    look(check="other")
    look(project="api")
    [state] = ledger.checks.list(check="doc-health", project="web")
    assert (state.head, state.open) == ("a" * 40, 1)
    assert [one.project for one in ledger.checks.list(check="doc-health")] == ["api", "web"]


def test_what_a_check_itself_brought_is_counted(look: Look) -> None:
    report = look(DEAD, brought=Brought(found=3, new=["W7"]))
    assert (report.found, report.new, report.lines) == (4, ["W7", "W1"], ["4 found, 2 new"])


def test_another_project_or_check_has_findings_of_its_own(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    assert look(DEAD, project="api").new == ["W2"]
    assert look(DEAD, check="other").new == ["W3"]
    assert look(check="other").resolved == ["W3"]


def test_rejected_finding_stays_rejected(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    ledger.items.reject(1)
    assert look(DEAD).reopened == []
    look()
    look(DEAD)
    assert ledger.items.get(1).status == "wontfix"


def test_what_is_done_and_still_there_is_told_and_open_again_only_after_it_was_gone(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    ledger.items.done(1)
    for _ in range(2):
        report = look(DEAD)
        assert (report.new, report.reopened, report.still_there) == ([], [], ["W1"])
    assert look(complete=False).still_there == []
    assert look(DEAD).reopened == []
    assert look().resolved == []
    assert ledger.items.get(1).status == "done"
    report = look(DEAD)
    assert (report.reopened, report.still_there, ledger.items.get(1).status) == (["W1"], [], "new")


def test_edited_item_is_still_its_finding(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    ledger.items.update(1, text="Write guide.md at last", title="The guide")
    assert look(DEAD).new == []
    assert ledger.items.get(1).text == "Write guide.md at last"


def test_severity_and_tier_are_taken_over(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    look(moved(DEAD, severity=Severity.CRITICAL, safe=True))
    item = ledger.items.get(1)
    assert (item.severity, item.tier) == ("critical", "safe_always")
    assert ledger.events.list(item=1)[0].changes == {
        "severity": ["warning", "critical"],
        "tier": ["unknown", "safe_always"],
    }


def test_another_version_judges_old_findings_anew(ledger: Ledger, look: Look) -> None:
    look(DEAD, PORT, moved(DEAD, file="x.md"), moved(DEAD, message="no file other.md"))
    ledger.items.reject(1)
    reworded = moved(DEAD, message="there is no file guide.md", line=12)
    unfinished = look(reworded, version="2", complete=False)
    assert (unfinished.new, unfinished.resolved) == (["W5"], [])
    report = look(moved(PORT, message="port 9090 does not occur in the code"), moved(DEAD, file="y.md"), version="3")
    assert (report.new, report.reopened, report.resolved) == (["W6"], [], ["W3", "W4", "W5"])
    item = ledger.items.get(2)
    assert (item.text, item.status) == ("port 9090 does not occur in the code", "new")
    assert ledger.items.get(1).status == "wontfix"
    assert ledger.checks.list()[0].version == "3"


def test_another_version_takes_no_finding_for_another(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    report = look(moved(DEAD, message="no file other.md"), version="2")
    assert (report.new, report.resolved) == (["W2"], ["W1"])


def test_merged_finding_counts_as_the_other_one(ledger: Ledger, look: Look, clock: FakeClock) -> None:
    look(DEAD, PORT)
    ledger.items.merge(1, into=2)
    clock.advance(5)
    assert look(DEAD, PORT).new == []
    assert ledger.items.get(2).last_seen_at == clock.now
    assert look(PORT).resolved == []


def test_looks_at_once_make_one_item_of_one_finding(open_at: Callable[..., Ledger]) -> None:
    ledgers = [open_at() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        given: dict[str, Any] = {"check": "doc-health", "findings": [DEAD, PORT]}
        reports = list(threads.map(lambda ledger: ledger.checks.record(**given), ledgers))
    assert sorted(len(report.new) for report in reports) == [0, 0, 0, 2]


def test_lines_that_are_no_findings_are_told_apart() -> None:
    assert finding_of(b'{"rule": "r", "message": "m", "more": 1}') == Finding(rule="r", message="m")
    for line in (b"", b"{", b'{"rule": "r"}', b'{"rule": "r", "message": "m", "severity": "bad"}', b'"x"', b"\xff"):
        assert finding_of(line) is None
    assert Findings(check="c").complete


def test_finding_whose_task_is_under_way_waits_for_it(ledger: Ledger, look: Look, address: str) -> None:
    look(DEAD)
    ledger.items.accept(1)
    ledger.items.run(1)
    [claim] = ledger.tasks.claim(worker="w").claims
    assert look().resolved == []
    ledger.tasks.submit(1, attempt=claim.attempt)
    assert look().resolved == ["W1"]
    assert ledger.tasks.get(1).status == "completed"  # the look was the verdict


def test_task_of_a_finding_that_is_gone_is_given_to_nobody(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    ledger.items.accept(1)
    ledger.items.run(1)
    waiting = ledger.tasks.create(title="After it", depends_on=[1])
    assert look().resolved == ["W1"]
    done = ledger.tasks.get(1)
    assert (done.status, done.summary) == ("completed", "check doc-health no longer reports it")
    assert ledger.tasks.get(waiting.id).status == "queued"


def test_finding_with_tasks_under_way_below_it_waits_for_them(ledger: Ledger, look: Look) -> None:
    look(DEAD)
    ledger.items.accept(1)
    ledger.items.create(text="a part", parent=1, accepted=True)
    ledger.items.run(1)
    ledger.tasks.claim(worker="w")
    assert look().resolved == []
    ledger.tasks.complete(1, attempt=1)
    assert look().resolved == ["W1"]


def test_finding_that_becomes_critical_or_comes_back_gets_its_task_by_rule(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(triage={"critical": TriageSettings(then="accept", severities=["critical"], queue=True)})
    given: dict[str, Any] = {"check": "doc-health", "project": "web"}
    assert ledger.checks.record(**given, findings=[moved(PORT, severity=Severity.INFO)]).decisions == []
    [decision] = ledger.checks.record(**given, findings=[PORT]).decisions
    assert (decision.item_id, decision.rule, decision.queued) == ("W1", "critical", ["T1"])
    assert ledger.checks.record(**given).resolved == ["W1"]
    report = ledger.checks.record(**given, findings=[PORT])
    assert (report.reopened, [one.queued for one in report.decisions]) == (["W1"], [["T2"]])


def test_critical_finding_makes_a_fix_task_by_rule(open_at: Callable[..., Ledger]) -> None:
    rule = TriageSettings(then="accept", severities=["critical"], queue=True)
    ledger = open_at(triage={"critical": rule})
    report = ledger.checks.record(check="doc-health", project="web", findings=[DEAD, PORT])
    assert report.new == ["W1", "W2"]
    item = ledger.items.get(2)
    assert (item.status, item.accepted, item.decided_by) == ("in_progress", True, "rule:critical")
    [task] = ledger.tasks.list()
    assert (item.tasks, task.status) == ([task.task_id], "queued")
    assert ledger.items.get(1).status == "new"
    submitted = ledger.audits.submit(type="security", message="open port", severity=Severity.CRITICAL)
    assert (submitted.status, len(ledger.tasks.list())) == ("in_progress", 2)
