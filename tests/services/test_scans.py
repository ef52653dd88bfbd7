"""Scans: files become work items, and what happens to a line happens to its item; on both databases."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Refused
from shoal.model.found import Found, FoundFile
from shoal.model.item import ItemStatus
from shoal.settings import BacklogSettings
from tests.conftest import FakeClock
from tests.services.histories import KINDS, Document
from tests.services.scanned import became, read, scan
from tests.services.test_decomposition import follow

PLAN = """# Login
- [ ] Fix the login page
  - [ ] Show why a password is refused
- [x] Rotate the session secret
- [-] Support passkeys of old browsers
# Upload
- [ ] Write tests
- [ ] Which bucket do we use?
"""


def kinds(ledger: Ledger, item: int) -> list[str]:
    return [event.kind for event in reversed(ledger.events.list(item=item))]


def everything(ledger: Ledger) -> tuple[object, int]:
    return ledger.items.list(limit=1000), len(ledger.events.list(limit=1000))


def hashed(document: Document) -> list[FoundFile]:
    return [
        FoundFile(path=one.path, hash=hashlib.sha256(repr(one).encode()).hexdigest(), found=one.found)
        for one in document.found()[0]
    ]


def test_written_estimate_is_taken_over_and_followed_until_somebody_edits_it(ledger: Ledger) -> None:
    scan(ledger, "- [ ] Migrate ~480\n- [ ] Mend ~30\n")
    found = [ledger.items.get(number) for number in (1, 2)]
    assert [(one.estimate_minutes, one.effort) for one in found] == [(480, "large"), (30, "medium")]
    scan(ledger, "- [ ] Migrate ~360\n- [ ] Mend ~20\n")
    found = [ledger.items.get(number) for number in (1, 2)]
    assert [(one.estimate_minutes, one.effort) for one in found] == [(360, "large"), (20, "small")]
    ledger.items.update(1, estimate_minutes=90)
    scan(ledger, "- [ ] Migrate ~420\n- [ ] Mend ~20\n")
    assert (ledger.items.get(1).estimate_minutes, ledger.items.get(1).effort) == (90, "medium")


def test_first_scan_makes_items_with_what_the_file_says(ledger: Ledger) -> None:
    report = scan(ledger, PLAN.replace("Fix the login page", "(t1) Fix the login page @ana !1"), head="abc")
    assert report.counts == {"declined": 1, "done": 1, "new": 4, "same": 0}
    items = {one.id: one for one in ledger.items.list()}
    assert {one.id: one.status.value for one in items.values()} == {
        1: "new",
        2: "new",
        3: "done",
        4: "wontfix",
        5: "new",
        6: "new",
    }
    assert (items[1].owner, items[1].priority, items[1].heading, items[1].source_line) == ("ana", 1, ["Login"], 2)
    assert (items[2].parent, items[2].source_file, items[2].origin, items[2].accepted) == (1, "TODO.md", "scan", False)
    assert (items[6].form, items[6].labels) == ("question", ["question"])
    assert kinds(ledger, 1) == ["item.found"]
    [ended] = ledger.events.list(kind="scan.ended")
    assert ended.data["counts"] == report.counts
    scanned = ledger.items.scanned(project="web", scanner="markdown")
    assert (scanned.number, scanned.head, list(scanned.files)) == (1, "abc", ["TODO.md"])


def test_same_again_changes_and_tells_nothing(ledger: Ledger) -> None:
    scan(ledger, PLAN)
    before = everything(ledger)
    assert scan(ledger, PLAN).changes == []
    again = ledger.items.scan(project="web", scanner="markdown", files=[read("TODO.md", PLAN)])
    assert (again.changes, again.counts, again.number) == ([], {"same": 6}, 1)
    assert everything(ledger) == before


def test_dry_run_tells_what_a_scan_would_do_and_does_nothing(ledger: Ledger) -> None:
    assert [one.item_id for one in scan(ledger, PLAN, dry_run=True).changes] == [None] * 6
    assert everything(ledger) == ([], 0)
    scan(ledger, PLAN)
    before = everything(ledger)
    edited = PLAN.replace("[ ] Fix", "[x] Fix").replace("- [ ] Write tests\n", "")
    told = scan(ledger, edited, dry_run=True)
    assert (told.dry_run, became(told)) == (True, {"W1": "done", "W5": "gone"})
    assert everything(ledger) == before
    assert became(scan(ledger, edited)) == became(told)


def test_item_stays_itself_when_its_line_is_moved_reworded_and_renamed(ledger: Ledger) -> None:
    scan(ledger, PLAN)
    moved = """# Uploads
- [ ] Write tests
- [ ] Which bucket do we use?
# Login
- [x] Rotate the session secret
- [-] Support passkeys of old browsers
- [ ] Fix the slow login page
  - [ ] Show why a password is refused
"""
    report = scan(ledger, {"docs/todo.md": moved}, renamed={"docs/todo.md": "TODO.md"})
    assert set(became(report).values()) == {"moved", "reworded"}
    item = ledger.items.get(1)
    assert (item.text, item.source_file, item.source_line) == ("Fix the slow login page", "docs/todo.md", 7)
    assert ledger.items.get(2).parent == 1
    assert ledger.items.get(5).heading == ["Uploads"]
    [event] = ledger.events.list(item=1, kind="item.moved")
    assert event.changes["text"] == ["Fix the login page", "Fix the slow login page"]
    assert "in the renamed file docs/todo.md, formerly TODO.md" in event.data["why"]
    assert len(ledger.items.list()) == 6
    assert list(ledger.items.scanned(project="web", scanner="markdown").files) == ["docs/todo.md"]


def test_lines_that_slide_down_are_no_news(ledger: Ledger) -> None:
    scan(ledger, PLAN)
    told = len(ledger.events.list(limit=1000))
    assert scan(ledger, "Words before.\n\n" + PLAN).changes == []
    assert ledger.items.get(1).source_line == 4
    assert len(ledger.events.list(limit=1000)) == told + 1  # scan.ended


def test_ticked_box_finishes_its_item_and_unticked_opens_it_again(ledger: Ledger, clock: FakeClock) -> None:
    scan(ledger, PLAN)
    ledger.items.accept(1)
    clock.advance(60)
    ticked = PLAN.replace("[ ] Fix", "[x] Fix")
    assert became(scan(ledger, ticked, head="c0ffee")) == {"W1": "done"}
    item = ledger.items.get(1)
    assert (item.status, item.done_at, item.done_commit) == ("done", clock.now, None)
    assert became(scan(ledger, PLAN)) == {"W1": "reopened"}
    item = ledger.items.get(1)
    assert (item.status, item.done_at, item.done_commit) == ("triaged", None, None)
    assert kinds(ledger, 1) == ["item.found", "item.accepted", "item.done", "item.reopened"]


def test_declined_box_rejects_its_item_until_it_is_open_again(ledger: Ledger) -> None:
    scan(ledger, PLAN)
    assert became(scan(ledger, PLAN.replace("[ ] Fix", "[-] Fix"))) == {"W1": "declined"}
    assert (ledger.items.get(1).status, ledger.items.get(1).decided_by) == ("wontfix", "markdown")
    assert became(scan(ledger, PLAN)) == {"W1": "reopened"}
    assert ledger.items.get(1).status == "new"


@pytest.mark.parametrize(("box", "status"), [("x", "done"), ("-", "wontfix"), (" ", "triaged")])
def test_box_set_while_tasks_are_under_way_counts_when_they_are_called_off(
    ledger: Ledger, box: str, status: str
) -> None:
    scan(ledger, PLAN)
    ledger.items.accept(1)
    ledger.items.run(1)
    assert follow(ledger) == []
    scan(ledger, PLAN.replace("[ ] Fix the login page", f"[{box}] Fix the login page"))
    assert ledger.items.get(1).status == "in_progress"
    ledger.tasks.cancel(1)
    follow(ledger)
    assert ledger.items.get(1).status == status
    scan(ledger, PLAN.replace("[ ] Fix the login page", f"[{box}] Fix the login page") + "\n")
    assert ledger.items.get(1).status == status
    scan(ledger, PLAN)
    assert ledger.items.get(1).status == ("new" if box == "-" else "triaged")


def test_what_people_decided_holds_until_the_box_changes(ledger: Ledger) -> None:
    scan(ledger, PLAN)
    ledger.items.reject(1)
    ledger.items.done(5)
    scan(ledger, PLAN.replace("Fix the login page", "Fix the login page now") + "- [ ] Something new\n")
    assert (ledger.items.get(1).status, ledger.items.get(5).status) == ("wontfix", "done")
    scan(ledger, "# Upload\n")
    scan(ledger, PLAN)
    assert (ledger.items.get(1).status, ledger.items.get(5).status) == ("wontfix", "done")
    assert len(ledger.items.list()) == 7


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Upgrade celery to 5.3", "Upgrade redis to 7.2"),
        ("Write tests for the parser", "Write tests for the payment service"),
        ("Delete staging database", "Delete production database"),
        ("Fix crash when admin renames team", "Fix crash when guest uploads video"),
    ],
)
@pytest.mark.parametrize("decision", ["accept", "reject", "done", "run", "assess"])
def test_other_work_in_the_place_of_a_line_inherits_nothing(ledger: Ledger, decision: str, old: str, new: str) -> None:
    lines = "- [ ] Rotate the keys\n- [ ] {}\n- [ ] Buy stamps\n"
    scan(ledger, lines.format(old))
    ledger.items.accept(2)
    if decision == "assess":
        ledger.items.assess(2, effort="small")
    elif decision != "accept":
        getattr(ledger.items, decision)(2)
    before = ledger.items.get(2).status
    report = scan(ledger, lines.format(new))
    assert became(report)["W4"] == "new"
    assert (ledger.items.get(2).status, ledger.items.get(2).text) == (before, old)
    assert (ledger.items.get(4).status, ledger.items.get(4).accepted, ledger.items.get(4).text) == ("new", False, new)


def test_new_line_says_in_whose_place_it_came(ledger: Ledger) -> None:
    scan(ledger, "# Jobs\n- [ ] Fix the login of admins\n- [ ] Buy stamps\n")
    ledger.items.accept(1)
    report = scan(ledger, "# Jobs\n- [ ] Fix the login of guests\n- [ ] Buy stamps\n")
    assert {one.item_id: one.why for one in report.changes if one.became == "new"} == {
        "W3": "in the place of W1, but in other words, so nothing that was decided about that holds"
    }
    [found] = ledger.events.list(item=3)
    assert found.data["instead_of"] == "W1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Write tests for the parser", "Write more tests for the parser"),
        ("Write tests for the parser", "Write tests for the parser module"),
        ("Write tests for the parser P1 ~2h", "Write tests for the parser P2 ~1h id:parser"),
        ("Upgrade celery to 5.3 in all workers", "Upgrade celry to 5.3 in all of the worker"),
    ],
)
@pytest.mark.parametrize("decision", ["accept", "reject", "done", "run"])
def test_line_that_was_edited_slightly_keeps_what_was_decided(
    ledger: Ledger, decision: str, old: str, new: str
) -> None:
    lines = "- [ ] Rotate the keys\n- [ ] {}\n- [ ] Buy stamps\n"
    scan(ledger, lines.format(old))
    if decision == "run":
        ledger.items.accept(2)
    getattr(ledger.items, decision)(2)
    before = ledger.items.get(2).status
    assert became(scan(ledger, lines.format(new))) == {"W2": "reworded"}
    assert ledger.items.get(2).status == before


def test_own_id_decides_whatever_the_words_say(ledger: Ledger) -> None:
    scan(ledger, "- [ ] (t1) Upgrade celery to 5.3\n")
    ledger.items.accept(1)
    assert became(scan(ledger, "- [ ] (t1) Upgrade redis to 7.2\n")) == {"W1": "reworded"}
    assert ledger.items.get(1).status == "triaged"


def test_done_item_never_returns_as_new(ledger: Ledger) -> None:
    done = PLAN.replace("[ ] Fix", "[x] Fix")
    scan(ledger, done)
    for text in ("# Upload\n", done, "# Upload\n", PLAN):
        scan(ledger, text)
        assert len(ledger.items.list()) == 6
    assert ledger.items.get(1).status == "new"  # its box is open
    assert ledger.items.get(3).status == "done"


def test_edits_of_people_stay_and_changes_of_the_file_come_in(ledger: Ledger) -> None:
    scan(ledger, PLAN.replace("Write tests", "Write tests @ana !2"))
    ledger.items.update(5, title="Tests for uploads", priority=0, text="Write many tests", labels=["mine"])
    scan(ledger, PLAN.replace("Write tests", "Write tests @bob !2") + "\n- [ ] One more\n")
    item = ledger.items.get(5)
    assert (item.title, item.priority, item.text, item.owner, item.labels) == (
        *("Tests for uploads", 0, "Write many tests", "bob", ["mine"]),
    )
    scan(ledger, PLAN.replace("Write tests", "Write tests for uploads @bob !3"))
    item = ledger.items.get(5)
    assert (item.text, item.priority) == ("Write tests for uploads", 0)


def test_nested_and_reassigned_lines_say_what_is_new_about_them(ledger: Ledger) -> None:
    scan(ledger, "- [ ] Alpha first\n- [ ] Beta second\n- [ ] Gamma third\n")
    report = scan(ledger, "- [ ] Alpha first\n  - [ ] Beta second\n- [ ] Gamma third @bob\n")
    assert became(report) == {"W2": "moved", "W3": "reworded"}
    assert [one.why for one in report.changes] == ["same text, with another parent", "same text, with another owner"]
    assert kinds(ledger, 2) == ["item.found", "item.updated"]


def test_unseen_item_goes_stale_and_comes_back_as_what_it_was(ledger: Ledger) -> None:
    scan(ledger, PLAN)
    ledger.items.accept(5)
    without = PLAN.replace("- [ ] Write tests\n", "")
    assert [became(scan(ledger, without)) for _ in range(4)] == [{"W5": "gone"}, {}, {"W5": "stale"}, {}]
    item = ledger.items.get(5)
    assert (item.status, item.unseen) == ("stale", 3)
    number = ledger.items.scanned(project="web", scanner="markdown").number
    assert number == 4
    assert became(scan(ledger, PLAN)) == {"W5": "returned"}
    assert (ledger.items.get(5).status, ledger.items.get(5).unseen) == ("triaged", 0)
    assert kinds(ledger, 5) == ["item.found", "item.accepted", "item.stale", "item.returned"]


def test_gone_file_takes_its_items_only_from_a_complete_look(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(backlog=BacklogSettings(stale_after=1))
    scan(ledger, {"TODO.md": PLAN, "docs/plans/x.md": "- [ ] Draw a map\n"})
    part = ledger.items.scan(project="web", scanner="markdown", files=[], unchanged=["TODO.md"], complete=False)
    assert part.changes == []
    assert became(scan(ledger, PLAN)) == {"W7": "stale"}
    assert list(ledger.items.scanned(project="web", scanner="markdown").files) == ["TODO.md"]


def test_item_missed_by_a_part_look_counts_in_the_next_whole_one(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(backlog=BacklogSettings(stale_after=1))
    scan(ledger, PLAN)
    without = PLAN.replace("- [ ] Write tests\n", "")
    assert became(scan(ledger, without, complete=False)) == {}
    assert ledger.items.get(5).unseen == 0
    assert became(scan(ledger, without)) == {"W5": "stale"}


def test_what_nobody_asked_to_look_for_is_counted_by_the_next_look_that_somebody_did(
    open_at: Callable[..., Ledger],
) -> None:
    ledger = open_at(backlog=BacklogSettings(stale_after=1))
    scan(ledger, PLAN)
    without = PLAN.replace("- [ ] Write tests\n", "")
    for text in (without, f"{without}- [ ] More\n"):
        assert "W5" not in became(scan(ledger, text, asked=False))
    assert (ledger.items.get(5).status, ledger.items.get(5).unseen) == ("new", 0)
    assert became(scan(ledger, f"{without}- [ ] More\n")) == {"W5": "stale"}


def test_split_item_keeps_its_better_half(ledger: Ledger) -> None:
    scan(ledger, "- [ ] Rotate the session secret every week and warn the admins\n- [ ] Else\n")
    report = scan(ledger, "- [ ] Rotate the session secret every week\n- [ ] Warn the admins\n- [ ] Else\n")
    assert became(report) == {"W1": "reworded", "W3": "split"}
    [event] = ledger.events.list(item=3)
    assert event.data["split_from"] == "W1"


def test_scanners_and_projects_do_not_know_each_others_items(ledger: Ledger) -> None:
    scan(ledger, "- [ ] Fix the login\n")
    assert became(scan(ledger, "- [ ] Fix the login\n", scanner="comments")) == {"W2": "new"}
    assert became(scan(ledger, "- [ ] Fix the login\n", project="other")) == {"W3": "new"}
    scan(ledger, "", scanner="comments")
    assert ledger.items.get(1).unseen == 0


def test_blocked_by_becomes_a_dependency_when_it_means_an_item(ledger: Ledger) -> None:
    text = """- [ ] (t1) Make the table
- [ ] Fill the table blocked-by: t1, the weather
- [ ] Show it blocked-by: fill the TABLE
"""
    report = scan(ledger, text)
    assert ledger.items.get(2).blocked_by == ["W1"]
    assert ledger.items.get(3).blocked_by == ["W2"]
    assert ledger.items.get(2).refs == {"blocked-by": "the weather"}
    [note] = report.notes
    assert note.startswith("TODO.md:2 waits for 'the weather', which no line is called; name one by its id")
    assert scan(ledger, text).changes == []
    told = len(ledger.events.list(limit=1000))
    ledger.items.scan(project="web", scanner="markdown", files=[read("TODO.md", text)])
    assert len(ledger.events.list(limit=1000)) == told
    scan(
        ledger,
        text.replace("t1, the weather", "the rain").replace("blocked-by: fill the TABLE", "") + "- [ ] The rain\n",
    )
    assert (ledger.items.get(2).blocked_by, ledger.items.get(2).refs, ledger.items.get(3).blocked_by) == (
        ["W4"],
        {},
        [],
    )


def test_dependency_in_a_circle_is_left_out(ledger: Ledger) -> None:
    scan(ledger, "- [ ] (a) One blocked-by: b\n- [ ] (b) Two blocked-by: c\n- [ ] (c) Three blocked-by: a\n")
    assert [ledger.items.get(number).blocked_by for number in (1, 2, 3)] == [["W2"], ["W3"], []]


def test_item_below_another_never_comes_to_stand_below_itself(ledger: Ledger) -> None:
    scan(ledger, "- [ ] Alpha first\n- [ ] Beta second\n")
    ledger.items.update(1, parent=2)
    scan(ledger, "- [ ] Alpha first\n  - [ ] Beta second\n")
    assert (ledger.items.get(1).parent, ledger.items.get(2).parent) == (2, None)


def test_refused_move_leaves_no_way_for_another_to_close_the_circle(ledger: Ledger) -> None:
    scan(ledger, "- [ ] (b) Build it\n  - [ ] (a) Ask them\n- [ ] (x) Export it\n")
    ledger.items.update(3, parent=2)
    scan(ledger, "- [ ] (x) Export it\n  - [ ] (a) Ask them\n    - [ ] (b) Build it\n")
    assert [ledger.items.get(item).parent for item in (1, 2, 3)] == [None, 1, 2]


def test_item_follows_when_its_file_takes_what_is_under_way_out_of_it(ledger: Ledger) -> None:
    scan(ledger, "- [ ] (a) Above\n  - [ ] (b) Below\n")
    for item in (1, 2):
        ledger.items.accept(item)
    ledger.items.run(1)
    scan(ledger, "- [ ] (a) Above\n- [ ] (b) Below\n")
    assert [ledger.items.get(item).status.value for item in (1, 2)] == ["triaged", "in_progress"]


def test_blocked_by_means_an_item_without_the_tags_behind_its_words(ledger: Ledger) -> None:
    text = "- [ ] Fix the login cookie @ana #web ~4h\n- [ ] Ship it blocked-by: Fix the login cookie\n"
    report = scan(ledger, text)
    assert (report.notes, ledger.items.get(2).blocked_by) == ([], ["W1"])


def test_history_of_a_merged_item_tells_what_its_line_became(ledger: Ledger) -> None:
    scan(ledger, "- [ ] Fix the login of guests\n- [ ] Fix all logins\n")
    ledger.items.merge(1, into=2)
    scan(ledger, "- [ ] Fix the login of most guests\n- [ ] Fix all logins\n")
    [event] = ledger.events.list(item=1, limit=1)
    assert (event.kind, event.changes["text"][1]) == ("item.moved", "Fix the login of most guests")


def test_merged_item_counts_as_the_other_one(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(backlog=BacklogSettings(stale_after=1))
    scan(ledger, {"TODO.md": "- [ ] Fix the login\n", "ROADMAP.md": "- [ ] Repair how people log in\n"})
    ledger.items.merge(2, into=1)
    assert became(scan(ledger, {"TODO.md": "", "ROADMAP.md": "- [ ] Repair how people log in\n"})) == {}
    number = ledger.items.scanned(project="web", scanner="markdown").number
    scan(ledger, {"TODO.md": "", "ROADMAP.md": "- [ ] Repair how people log in\n"})
    assert ledger.items.scanned(project="web", scanner="markdown").number == number
    scan(ledger, {"TODO.md": "", "ROADMAP.md": "- [x] Repair how people log in\n"})
    assert (ledger.items.get(1).status, ledger.items.get(2).status) == ("done", "wontfix")


def test_decisions_and_questions_are_no_work(ledger: Ledger) -> None:
    scan(ledger, "- [ ] Which bucket do we use? !0\n")
    with pytest.raises(Refused, match="W1 is a question, and no work"):
        ledger.items.accept(1)
    assert ledger.items.next() == []


def test_look_that_contradicts_itself_or_the_ledger_is_refused(ledger: Ledger) -> None:
    scan(ledger, PLAN)
    here = {"project": "web", "scanner": "markdown"}
    with pytest.raises(BadInput, match=r"no scan has read ROADMAP\.md; it must be among the files"):
        ledger.items.scan(**here, unchanged=["ROADMAP.md"])
    with pytest.raises(BadInput, match=r"TODO\.md is there twice"):
        ledger.items.scan(**here, files=[read("TODO.md", PLAN)] * 2)
    with pytest.raises(BadInput, match=r"TODO\.md is one of the files that were read"):
        ledger.items.scan(**here, files=[read("TODO.md", PLAN)], unchanged=["TODO.md"])
    backwards = FoundFile(path="x.md", hash="0" * 64, found=[Found(line=3, text="x", above=0)])
    with pytest.raises(BadInput, match=r"x\.md:3 stands below something that comes later"):
        ledger.items.scan(**here, files=[backwards])
    with pytest.raises(Refused, match=r"was scanned since this look began \(scan 1, not 0\); look again"):
        ledger.items.scan(**here, unchanged=["TODO.md"], since=0)
    assert ledger.items.scan(**here, unchanged=["TODO.md"], since=1).changes == []


def test_scans_at_once_make_each_item_once(open_at: Callable[..., Ledger]) -> None:
    ledgers = [open_at(actor=f"server-{number}") for number in range(4)]
    found = read("TODO.md", PLAN)

    def look(ledger: Ledger) -> int:
        return len(ledger.items.scan(project="web", scanner="markdown", files=[found]).changes)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(look, ledgers)) == [0, 0, 0, 6]
    assert len(ledgers[0].items.list()) == 6
    assert len(ledgers[0].events.list(kind="scan.ended")) == 1


def test_scan_and_person_at_once_lose_nothing(open_at: Callable[..., Ledger]) -> None:
    ledger, other = open_at(), open_at(actor="bob")
    lines = [f"- [ ] Do thing number {number} of them\n" for number in range(60)]
    scan(ledger, "".join(lines))

    def reject() -> None:
        for number in range(1, 61):
            other.items.reject(number)

    def look() -> None:
        for turn in range(10):
            scan(ledger, f"{turn}\n" + "".join(lines[turn:] + lines[:turn]))

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(reject), pool.submit(look)]:
            done.result()
    items = ledger.items.list(limit=1000)
    assert (len(items), {one.status for one in items}) == (60, {ItemStatus.WONTFIX})


@pytest.mark.parametrize("seed", range(2))
def test_any_history_scanned_twice_changes_nothing_the_second_time(ledger: Ledger, seed: int) -> None:
    document = Document(seed, items=30, files=3, ids=0.3)
    given = {"project": "web", "scanner": "markdown", "complete": False}
    for _ in range(8):
        files = hashed(document)
        renamed = dict(document.renamed)
        told = ledger.items.scan(**given, files=files, renamed=renamed, dry_run=True)
        done = ledger.items.scan(**given, files=files, renamed=renamed)
        assert [(one.became, one.path, one.line, one.why) for one in told.changes] == [
            (one.became, one.path, one.line, one.why) for one in done.changes
        ]
        before = everything(ledger)
        assert ledger.items.scan(**given, files=files).changes == []
        assert everything(ledger) == before
        document.renamed.clear()
        for _ in range(4):
            document.edit(document.random.choice(KINDS))


def test_scan_works_over_http(served: Ledger) -> None:
    assert scan(served, PLAN, dry_run=True).counts["new"] == 4
    assert scan(served, PLAN).counts["new"] == 4
    assert scan(served, PLAN).changes == []
    assert served.items.scanned(project="web", scanner="markdown").number == 1


@pytest.mark.parametrize("path", ["../other/TODO.md", "..", "docs/../../TODO.md", "/etc/TODO.md", "a//b.md", "a/", ""])
def test_path_that_leads_out_of_the_project_is_refused(served: Ledger, path: str) -> None:
    with pytest.raises(BadInput) as refused:
        served.items.scan(project="web", scanner="markdown", files=[FoundFile(path=path, hash="0" * 64)])
    assert not path or "a path below the project's folder" in str(refused.value)
    with pytest.raises(BadInput):
        served.items.create(text="Tick it", project="web", source_file=path)


@pytest.mark.parametrize("seed", range(3))
def test_identities_survive_histories_in_the_ledger(ledger: Ledger, seed: int) -> None:
    document = Document(seed, items=30, generic=0)
    who: dict[int, str] = {}
    kept = total = 0
    common = set(KINDS) - {"duplicate", "split", "restore", "delete", "insert"}
    for _ in range(12):
        files, entries = document.found()
        ledger.items.scan(project="web", scanner="markdown", files=hashed(document), renamed=document.renamed)
        document.renamed.clear()
        at = {(one.source_file, one.source_line): one.item_id for one in ledger.items.list(limit=1000)}
        for (path, place), entry in entries.items():
            line = next(file for file in files if file.path == path).found[place].line
            total += 1
            kept += who.setdefault(entry.who, at[path, line]) == at[path, line]
        for _ in range(3):
            document.edit(document.random.choice(sorted(common)))
    assert kept >= 0.98 * total


def test_2700_items_are_written_and_read_at_once(ledger: Ledger) -> None:
    files, _ = Document(1, items=2700, files=1).found()
    given = {"project": "web", "scanner": "markdown"}
    start = time.perf_counter()
    assert ledger.items.scan(**given, files=files).counts["new"] == 2700
    first = time.perf_counter() - start
    start = time.perf_counter()
    assert ledger.items.scan(**given, unchanged=[files[0].path]).changes == []
    unchanged = time.perf_counter() - start
    lines = [*files[0].found[:700], *files[0].found[702:]]
    lines = [Found(line=at, text=one.text, heading=one.heading) for at, one in enumerate(lines, start=1)]
    start = time.perf_counter()
    ledger.items.scan(**given, files=[FoundFile(path=files[0].path, hash="1" * 64, found=lines)])
    edited = time.perf_counter() - start
    print(f"first {first:.3f} s, unchanged {unchanged:.4f} s, edited {edited:.3f} s")
    assert (first < 6, unchanged < 1, edited < 6) == (True, True, True)
