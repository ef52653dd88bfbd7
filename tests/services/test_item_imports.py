"""Items of other backlogs: taken once, followed where nobody edited them here, linked in whatever order they come."""

from __future__ import annotations

from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput
from shoal.model.item_import import ImportedRow, RecordsImported


def record(id: str, **given: Any) -> dict[str, Any]:
    links = {
        name: [{"system": "beads", "id": one} for one in given.pop(name)] for name in ("blocked_by",) if name in given
    }
    if "parent" in given:
        links["parent"] = {"system": "beads", "id": given.pop("parent")}  # type: ignore[assignment]
    plain = {"ref": {"system": "beads", "id": id}, "place": f"issues.jsonl:{id}", "title": id, "text": id}
    return plain | given | links


def take(ledger: Ledger, *records: dict[str, Any], **given: Any) -> RecordsImported:
    return ledger.items.import_records(records=list(records), **given)


def outcomes(came: RecordsImported) -> list[str]:
    return [row.outcome.value for row in came.rows]


def reason(came: RecordsImported, row: int = 0) -> str | None:
    found: ImportedRow = came.rows[row]
    return found.reason


def kinds(ledger: Ledger, item: int) -> list[str]:
    return [event.kind for event in reversed(ledger.events.list(item=item))]


def test_record_becomes_an_item_that_nobody_has_accepted(ledger: Ledger) -> None:
    came = take(
        ledger,
        record("bd-1", priority=0, effort="small", type="bug", labels=["ui"], owner="ana", files=["a.py"], due_at=5),
        project="web",
    )
    assert (outcomes(came), came.rows[0].item) == (["taken"], "W1")
    found = ledger.items.get(1)
    assert (found.origin, found.status, found.accepted, found.project) == ("import", "new", False, "web")
    assert (found.priority, found.effort, found.type, found.labels, found.owner) == (0, "small", "bug", ["ui"], "ana")
    assert ([one.path for one in found.files], found.refs, found.due_at) == (["a.py"], {"beads": "bd-1"}, 5)
    [event] = ledger.events.list(item=1)
    assert (event.kind, event.data) == ("item.found", {"text": "bd-1", "from": "beads bd-1"})


def test_importing_again_changes_nothing_and_tells_nothing(ledger: Ledger) -> None:
    given = [record("bd-1", blocked_by=["bd-2"]), record("bd-2", parent="bd-1", status="done", done_at=7)]
    take(ledger, *given)
    before = ledger.events.list()
    assert outcomes(take(ledger, *given)) == ["same", "same"]
    assert ledger.events.list() == before
    assert (ledger.items.get(2).status, ledger.items.get(2).done_at) == ("done", 7)


def test_same_id_in_another_project_is_another_item(ledger: Ledger) -> None:
    take(ledger, record("task-1"), project="web")
    assert outcomes(take(ledger, record("task-1"), project="api")) == ["taken"]


def test_what_the_source_changed_is_followed_and_what_a_person_edited_stays(ledger: Ledger) -> None:
    take(ledger, record("bd-1", text="old", owner="ana", files=["a.py"]))
    ledger.items.update(1, owner="bo")
    came = take(ledger, record("bd-1", text="new", owner="cy", files=["b.py"], labels=["x"]))
    assert (outcomes(came), reason(came)) == (["updated"], "its owner was edited here, and stays")
    found = ledger.items.get(1)
    assert (found.text, found.owner, found.labels) == ("new", "bo", ["x"])
    assert [one.path for one in found.files] == ["b.py"]
    again = take(ledger, record("bd-1", text="new", owner="cy", files=["b.py"], labels=["x"]))
    assert (outcomes(again), reason(again)) == (["same"], None)


def test_end_of_the_source_ends_the_item_and_reopens_it(ledger: Ledger) -> None:
    take(ledger, record("bd-1"))
    assert outcomes(take(ledger, record("bd-1", status="done"))) == ["updated"]
    assert ledger.items.get(1).status == "done"
    take(ledger, record("bd-1"))
    assert ledger.items.get(1).status == "new"
    take(ledger, record("bd-1", status="declined"))
    assert ledger.items.get(1).status == "wontfix"
    assert kinds(ledger, 1) == ["item.found", "item.done", "item.reopened", "item.rejected"]


def test_rejected_item_stays_rejected_whatever_its_source_says(ledger: Ledger) -> None:
    take(ledger, record("bd-1"))
    ledger.items.reject(1)
    assert outcomes(take(ledger, record("bd-1", status="done"))) == ["same"]
    take(ledger, record("bd-1", title="again"))
    assert ledger.items.get(1).status == "wontfix"


def test_links_are_made_across_batches_in_whatever_order(ledger: Ledger) -> None:
    came = take(ledger, record("bd-1", blocked_by=["bd-2"], parent="bd-3"))
    assert [one.id for one in came.waiting] == ["bd-2", "bd-3"]
    again = take(ledger, record("bd-1", blocked_by=["bd-2"], parent="bd-3"))
    assert [one.id for one in again.waiting] == ["bd-2", "bd-3"]
    assert take(ledger, record("bd-2"), record("bd-3")).waiting == []
    found = ledger.items.get(1)
    assert (found.blocked_by, found.parent) == (["W2"], 3)


def test_link_that_the_source_took_away_goes_and_one_of_a_person_stays(ledger: Ledger) -> None:
    take(ledger, record("bd-1", blocked_by=["bd-2"], parent="bd-3"), record("bd-2"), record("bd-3"))
    ledger.items.depend(1, on=3)
    assert outcomes(take(ledger, record("bd-1"))) == ["updated"]
    assert (ledger.items.get(1).blocked_by, ledger.items.get(1).parent) == (["W3"], None)


def test_link_that_a_person_took_away_does_not_come_back(ledger: Ledger) -> None:
    given = [record("bd-1", blocked_by=["bd-2"]), record("bd-2")]
    take(ledger, *given)
    ledger.items.undepend(1, on=2)
    take(ledger, record("bd-1", blocked_by=["bd-2"], title="changed"))
    assert ledger.items.get(1).blocked_by == []


def test_parent_that_a_person_set_stays(ledger: Ledger) -> None:
    take(ledger, record("bd-1", parent="bd-2"), record("bd-2"), record("bd-3"))
    ledger.items.update(1, parent=3)
    came = take(ledger, record("bd-1"))
    assert reason(came) == "its parent was edited here, and stays"
    assert ledger.items.get(1).parent == 3


@pytest.mark.parametrize("dry_run", [True, False])
def test_circles_are_left_out_and_told(ledger: Ledger, dry_run: bool) -> None:
    came = take(
        ledger,
        record("a", blocked_by=["b"], parent="c"),
        record("b", blocked_by=["c"]),
        record("c", blocked_by=["a"], parent="a"),
        record("d", blocked_by=["d"], parent="d"),
        dry_run=dry_run,
    )
    assert outcomes(came) == ["taken"] * 4
    assert [reason(came, row) for row in range(4)] == [
        None,
        None,
        "it cannot wait for a, which waits for it: c -> a -> b -> c; it cannot be below a, which is below it",
        "it cannot wait for d, which waits for it: d -> d; it cannot be below d, which is below it",
    ]
    if not dry_run:
        assert ledger.items.get(2).blocked_by == ["W3"]
        assert ledger.items.get(3).blocked_by == []


def test_circle_by_what_came_earlier_is_left_out(ledger: Ledger) -> None:
    take(ledger, record("a", blocked_by=["b"]))
    came = take(ledger, record("b", blocked_by=["a"]))
    assert "circle" not in (reason(came) or "")
    assert "cannot wait for" in (reason(came) or "")
    assert sorted(ledger.items.get(1).blocked_by + ledger.items.get(2).blocked_by) == ["W1"]


def test_record_that_stands_there_twice_is_refused_once(ledger: Ledger) -> None:
    came = take(ledger, record("a"), record("a", title="b"))
    assert outcomes(came) == ["taken", "refused"]
    assert reason(came, 1) == "a stands at issues.jsonl:a already"


def test_dry_run_tells_the_same_and_does_nothing(ledger: Ledger) -> None:
    take(ledger, record("a"))
    before = ledger.events.list()
    came = take(ledger, record("a", title="x", status="done"), record("b", parent="a"), dry_run=True)
    assert (outcomes(came), came.dry_run) == (["updated", "taken"], True)
    assert (ledger.events.list(), len(ledger.items.list())) == (before, 1)
    came = take(ledger, record("a", title="x", status="done"), record("b", parent="a"))
    assert outcomes(came) == ["updated", "taken"]


def test_merged_item_stands_for_its_record(ledger: Ledger) -> None:
    take(ledger, record("a"), record("b"))
    ledger.items.merge(1, into=2)
    came = take(ledger, record("a", title="new"), record("c", blocked_by=["a"]))
    assert (outcomes(came), reason(came)) == (["same", "taken"], "W1 was merged into W2, which stays as it is")
    assert ledger.items.get(3).blocked_by == ["W2"]


def test_batch_that_is_too_large_or_empty_is_refused(ledger: Ledger) -> None:
    for many in (0, 1001):
        with pytest.raises(BadInput):
            take(ledger, *[record(str(number)) for number in range(many)])
    with pytest.raises(BadInput):
        take(ledger, record("a", title="two\nlines"))
