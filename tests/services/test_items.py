"""Work items: made, decided about, linked, merged; every change is told."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Cycle, NotFound, Refused, WrongStatus
from shoal.model.found import Found, FoundFile
from shoal.model.item import Form, Item, item_from_row, named
from shoal.services import item_following
from tests.rows import execute


def kinds(ledger: Ledger, item: int) -> list[str]:
    return [event.kind for event in reversed(ledger.events.list(item=item))]


def test_item_is_made_read_and_listed(ledger: Ledger) -> None:
    made = ledger.items.create(text="Fix the login", project="web", files=["src/login.py"], priority="high")
    assert (made.item_id, made.status, made.origin, made.accepted, made.priority) == ("W1", "new", "manual", False, 1)
    found = ledger.items.get("w1")
    assert ([file.path for file in found.files], found.tasks, found.name) == (["src/login.py"], [], "Fix the login")
    ledger.items.create(text="Something else")
    assert [one.id for one in ledger.items.list(file="src/login.py")] == [1]
    assert [one.id for one in ledger.items.list(containing="LOGIN")] == [1]
    assert [one.id for one in ledger.items.list(limit=1)] == [2]
    assert [one.id for one in ledger.items.list(limit=1, cursor=ledger.items.list(limit=1).next)] == [1]
    with pytest.raises(NotFound, match="there is no work item 'W9'"):
        ledger.items.get("W9")


def test_items_are_listed_by_label_and_without_what_is_no_work(ledger: Ledger) -> None:
    ledger.items.create(text="x", labels=["ops", 'say "hi", ünd'])
    ledger.items.create(text="y", labels=["opsy"])
    found = [Found(line=1, text="Which?", form=Form.QUESTION, labels=["ops"])]
    ledger.items.scan(project="web", scanner="markdown", files=[FoundFile(path="a.md", hash="0" * 64, found=found)])
    assert [one.id for one in ledger.items.list(label="ops")] == [3, 1]
    assert [one.id for one in ledger.items.list(label="ops", work=True)] == [1]
    assert [one.id for one in ledger.items.list(label='say "hi", ünd')] == [1]
    assert [one.id for one in ledger.items.list(label="op")] == []


def test_decisions_are_told_and_can_be_taken_back(ledger: Ledger) -> None:
    ledger.items.create(text="x")
    assert ledger.items.accept(1).status == "triaged"
    assert ledger.items.accept("W1").decided_by == ledger.actor
    assert ledger.items.reject(1, reason="no time").status == "wontfix"
    assert ledger.items.reopen(1).status == "new"
    assert ledger.items.done(1).status == "done"
    with pytest.raises(WrongStatus, match="W1 is done; `shoal item reopen W1` first"):
        ledger.items.accept(1)
    assert ledger.items.reopen(1).done_at is None
    assert kinds(ledger, 1) == [
        *("item.created", "item.accepted", "item.rejected", "item.reopened", "item.done", "item.reopened")
    ]


def test_edit_changes_what_it_names_and_tells_old_and_new(ledger: Ledger) -> None:
    before = ledger.items.create(text="x", labels=["a"])
    after = ledger.items.update(1, text="y", effort="small", labels=["a"])
    assert (after.text, after.effort) == ("y", "small")
    assert after.text_hash != before.text_hash
    [event] = ledger.events.list(item=1, kind="item.updated")
    assert event.changes == {"text": ["x", "y"], "effort": ["unknown", "small"]}
    ledger.items.update(1, text="y")
    assert len(kinds(ledger, 1)) == 2


def test_commit_is_credited_with_what_is_done(ledger: Ledger) -> None:
    ledger.items.create(text="x")
    ledger.items.create(text="y")
    ledger.items.done(1)
    commits = {"W1": "a" * 40, "W2": "b" * 40}
    assert [one.done_commit for one in ledger.items.credit(commits=commits)] == ["a" * 40, None]
    ledger.items.credit(commits=commits)
    [event] = ledger.events.list(item=1, kind="item.updated")
    assert event.changes == {"done_commit": [None, "a" * 40]}
    with pytest.raises(NotFound):
        ledger.items.credit(commits={"W9": "a" * 40})
    with pytest.raises(BadInput):
        ledger.items.credit(commits={"W1": "HEAD"})


def test_same_words_in_other_type_have_the_same_hash(ledger: Ledger) -> None:
    texts = ["Fix the *login*!", "  fix  the login", "FIX THE `LOGIN`."]
    assert len({ledger.items.create(text=text).text_hash for text in texts}) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Write invoices ~3h id:invoices blocked-by:provider", "Write invoices"),
        ("Take payments P1 ~1d id:payments #core\nWith every card.", "Take payments"),
        ("Translate every page ~3h", "Translate every page"),
        ("Change the default to P1", "Change the default to P1"),  # one word may belong to the sentence
        ("Ask @ana", "Ask @ana"),
        ("Read id:login first", "Read id:login first"),
        ("Follow type:https://example.org", "Follow type:https://example.org"),
        (" ~3h", " ~3h"),
    ],
)
def test_name_is_the_first_line_without_the_tags_at_its_end(text: str, name: str) -> None:
    assert named(text) == name


def test_item_waits_for_others_and_never_for_itself(ledger: Ledger) -> None:
    for text in "abc":
        ledger.items.create(text=text)
    assert ledger.items.depend(1, on=2).blocked_by == ["W2"]
    ledger.items.depend(2, on=3)
    with pytest.raises(Cycle, match="W3 cannot wait for W1, which waits for it: W3 -> W1 -> W2 -> W3"):
        ledger.items.depend(3, on=1)
    assert ledger.items.get(3).blocks == ["W2"]
    assert ledger.items.undepend(2, on="W3").blocked_by == []
    with pytest.raises(NotFound):
        ledger.items.undepend(2, on=3)


def test_item_is_below_another_and_never_below_itself(ledger: Ledger) -> None:
    ledger.items.create(text="a")
    ledger.items.create(text="b", parent="W1")
    assert ledger.items.get(1).children == ["W2"]
    with pytest.raises(Cycle, match="W2 is W1 or below it"):
        ledger.items.update(1, parent=2)


def test_edit_that_is_taken_back_puts_no_item_below_itself(ledger: Ledger) -> None:
    ledger.items.create(text="a")
    ledger.items.create(text="b", parent=1)
    ledger.items.update(2, parent=None)
    ledger.items.update(1, parent=2)
    with pytest.raises(Cycle, match="W1 is W2 or below it"):
        ledger.items.undo(2)


def test_walks_end_where_a_circle_came_into_the_data(ledger: Ledger, address: str) -> None:
    for text in "abc":
        ledger.items.create(text=text, accepted=True)
    ledger.items.run(1)
    for item, parent, status in ((1, 2, "in_progress"), (2, 1, "in_progress")):
        execute(address, "UPDATE items SET parent = ?, status = ? WHERE id = ?", parent, status, item)
        execute(address, "INSERT INTO item_deps (blocked, blocker) VALUES (?, ?)", item, parent)
    assert ledger.items.update(3, parent=1).parent == 1
    assert ledger.items.depend(3, on=1).blocked_by == ["W1"]
    assert [task.task_id for task in ledger.items.run(1).tasks] == ["T1"]
    with pytest.raises(Refused, match=r"W2 has tasks under way \(T1\)"):
        ledger.items.done(2)
    ledger.tasks.complete(1)
    ledger.engine.write(item_following.follow)  # type: ignore[attr-defined]
    assert ledger.items.get(1).status == "done"


def test_item_above_follows_when_what_is_under_way_leaves_it(ledger: Ledger) -> None:
    above = ledger.items.create(text="above", accepted=True).id
    for text in "ab":
        ledger.items.create(text=text, accepted=True, parent=above)
    ledger.items.run(above)
    ledger.items.update(2, parent=None)
    assert ledger.items.get(above).status == "in_progress"
    ledger.items.update(3, parent=None)
    assert ledger.items.get(above).status == "triaged"
    assert ledger.events.list(item=above)[0].data == {"reason": "nothing below it is done"}
    ledger.items.undo(3)
    with pytest.raises(Refused, match=r"W1 has tasks under way \(T2\)"):
        ledger.items.done(above)


def test_only_items_with_a_priority_come_next(ledger: Ledger) -> None:
    for number, priority in enumerate([2, None, 0, 2], start=1):
        ledger.items.create(text="x", priority=priority, accepted=number != 4)
    assert [one.id for one in ledger.items.next()] == [3, 1]


def test_fields_stand_in_the_order_of_the_columns(ledger: Ledger) -> None:
    made = ledger.items.create(text="x", project="p", heading=["a", "b"], severity="warning", owner="ana", due_at=5)
    row = ledger.engine.read(lambda tx: tx.one("items.get", id=made.id))  # type: ignore[attr-defined]
    assert len(row) == len(Item.__struct_fields__) - 1
    assert item_from_row(row) == made
    assert (made.project, made.heading, made.severity, made.owner, made.due_at) == (
        *("p", ["a", "b"], "warning", "ana", 5),
    )


def test_words_are_found_in_capitals_of_any_alphabet(ledger: Ledger) -> None:
    ledger.items.create(text="Über die Straße")
    ledger.tasks.create(title="Über die Straße")
    for words in ("über", "ÜBER", "Über die Straße"):
        assert [one.id for one in ledger.items.list(containing=words)] == [1]
        assert [one.id for one in ledger.tasks.list(text=words)] == [1]


def test_signs_of_patterns_in_words_mean_themselves(ledger: Ledger) -> None:
    for text in ("100 % of a_b", "100 of aXb"):
        ledger.items.create(text=text)
    assert [one.id for one in ledger.items.list(containing="% of A_b")] == [1]


def test_estimate_says_the_effort_unless_that_is_given(ledger: Ledger) -> None:
    assert ledger.items.create(text="a", estimate_minutes=29).effort == "small"
    assert ledger.items.create(text="b", estimate_minutes=480, effort="medium").effort == "medium"
    assert ledger.items.update(1, estimate_minutes=120).effort == "medium"
    assert ledger.items.update(1, estimate_minutes=121, effort="small").effort == "small"
    cleared = ledger.items.update(1, estimate_minutes=None)
    assert (cleared.estimate_minutes, cleared.effort) == (None, "small")
