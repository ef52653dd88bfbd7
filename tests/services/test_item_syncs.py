"""What trackers are told of items: accepted ones once, changes of status of what was told."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import Refused


def test_accepted_open_items_are_to_be_told_until_they_are(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.create(text="not accepted")
    ledger.items.create(text="b", accepted=True, project="web")
    ledger.items.create(text="done already", accepted=True)
    ledger.items.done(4)
    found = ledger.items.unsynced(tracker="board", known=False)
    assert [(one.item.id, one.external_id) for one in found] == [(1, None), (3, None)]
    assert len({one.marker for one in found}) == 2
    assert [one.item.id for one in ledger.items.unsynced(tracker="board", known=False, project="web")] == [3]
    kept = ledger.items.synced(1, tracker="board", external_id="86x", url="https://app.clickup.com/t/86x")
    assert (kept.item, kept.external_id, kept.gone) == (1, "86x", False)
    assert ledger.items.get(1).refs == {"board": "86x"}
    assert [one.item.id for one in ledger.items.unsynced(tracker="board", known=False)] == [3]
    assert [one.item.id for one in ledger.items.unsynced(tracker="other", known=False)] == [1, 3]
    assert [one.external_id for one in ledger.items.syncs(tracker="board")] == ["86x"]


def test_change_of_status_is_to_be_told_once(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.synced(1, tracker="board", external_id="86x", status="triaged")
    assert ledger.items.unsynced(tracker="board", known=True) == []
    ledger.items.done(1)
    [found] = ledger.items.unsynced(tracker="board", known=True)
    assert (found.item.status, found.told, found.external_id) == ("done", "triaged", "86x")
    ledger.items.synced(1, tracker="board", external_id="86x", status="done")
    assert ledger.items.unsynced(tracker="board", known=True) == []
    assert [event.kind for event in ledger.events.list(item=1, kind="item.linked")] == ["item.linked"]


def test_what_the_tracker_has_no_more_is_not_told_again(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.synced(1, tracker="board", external_id="86x", status="triaged")
    ledger.items.done(1)
    ledger.items.synced(1, tracker="board", external_id="86x", gone=True)
    assert ledger.items.unsynced(tracker="board", known=True) == []
    assert ledger.items.unsynced(tracker="board", known=False) == []


def test_item_has_one_id_at_a_tracker(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.synced(1, tracker="board", external_id="86x")
    with pytest.raises(Refused, match="board knows W1 as 86x, not as 86y"):
        ledger.items.synced(1, tracker="board", external_id="86y")
