"""Merging: what hangs on an item goes over to the other one, without circles, and all of it is told."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Cycle, Refused, WrongStatus


def test_merged_item_leaves_what_hangs_on_it_to_the_other(ledger: Ledger) -> None:
    for text in "abcd":
        ledger.items.create(text=text, files=[f"{text}.py"], labels=[text], refs={"old": text})
    ledger.items.depend(1, on=3)
    ledger.items.depend(4, on=1)
    ledger.items.update(3, parent=1)
    kept = ledger.items.merge(1, into="W2")
    assert (kept.id, kept.labels, kept.refs) == (2, ["b", "a"], {"old": "b"})
    whole = ledger.items.get(2)
    assert ([file.path for file in whole.files], whole.blocked_by, whole.blocks, whole.children) == (
        *(["a.py", "b.py"], ["W3"], ["W4"], ["W3"]),
    )
    assert [one.id for one in ledger.items.list()] == [4, 3, 2]
    with pytest.raises(WrongStatus, match="W1 was merged into W2; decide about that one"):
        ledger.items.accept(1)
    with pytest.raises(Refused):
        ledger.items.reopen(1)
    with pytest.raises(BadInput, match="cannot be merged into itself"):
        ledger.items.merge(2, into=2)


def test_merged_item_is_followed_by_one_that_was_below_it(ledger: Ledger) -> None:
    above = ledger.items.create(text="above").id
    ledger.items.create(text="a", parent=above)
    ledger.items.create(text="b", parent=2)
    ledger.items.create(text="c", parent=3)
    assert ledger.items.merge(2, into=4).parent == above
    parents = {one.id: one.parent for one in ledger.items.list()}
    assert parents == {1: None, 3: 4, 4: 1}
    last = [ledger.events.list(item=item)[0] for item in (3, 4)]
    assert [(one.kind, one.changes) for one in last] == [
        ("item.updated", {"parent": [2, 4]}),
        ("item.updated", {"parent": [3, 1]}),
    ]
    with pytest.raises(WrongStatus, match="W2 was merged into W4; put it below that one"):
        ledger.items.undo(3)
    with pytest.raises(WrongStatus, match="W2 was merged into W4; put it below that one"):
        ledger.items.create(text="d", parent=2)
    with pytest.raises(Cycle, match="W3 is W4 or below it"):
        ledger.items.undo(4)


def test_merge_tells_of_every_link_that_it_changes(ledger: Ledger) -> None:
    for text in "abcd":
        ledger.items.create(text=text, files=[f"{text}.py", "both.py"])
    ledger.items.depend(1, on=3)
    ledger.items.depend(4, on=1)
    ledger.items.depend(2, on=1)
    ledger.items.merge(1, into=2)
    data = [one.data for one in reversed(ledger.events.list()) if one.kind == "item.linked"][3:]
    assert data == [
        {"files": ["a.py"]},
        {"waits_no_more_for": "W3"},
        {"waits_for": "W3"},
        {"waits_no_more_for": "W1"},
        {"waits_no_more_for": "W1"},
        {"waits_for": "W2"},
    ]
    assert (ledger.items.get(2).blocked_by, ledger.items.get(4).blocked_by) == (["W3"], ["W2"])
    with pytest.raises(WrongStatus, match="W1 was merged into W2; wait for that one"):
        ledger.items.depend(3, on=1)


def test_merge_that_would_let_an_item_wait_for_itself_is_refused(ledger: Ledger) -> None:
    for text in "abc":
        ledger.items.create(text=text)
    ledger.items.depend(1, on=2)
    ledger.items.depend(2, on=3)
    for item, into in ((1, 3), (3, 1)):
        refusal = r"W1 waits for W3 \(W1 -> W2 -> W3\), .* `shoal item unlink W1 --waits-for W2` first"
        with pytest.raises(Cycle, match=refusal):
            ledger.items.merge(item, into=into)
    assert ledger.items.merge(1, into=2).status == "new"
    assert ledger.items.get(2).blocked_by == ["W3"]


def test_item_with_tasks_or_parts_under_way_is_not_merged(ledger: Ledger) -> None:
    above = ledger.items.create(text="above", accepted=True).id
    part = ledger.items.create(text="part", accepted=True, parent=above).id
    other = ledger.items.create(text="other").id
    ledger.items.run(above)
    with pytest.raises(Refused, match="what is below W1 has tasks under way; finish or cancel them first"):
        ledger.items.merge(above, into=other)
    with pytest.raises(Refused, match=r"W2 has tasks \(T1\)"):
        ledger.items.merge(part, into=other)
