"""What waits for what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Cycle, NotFound, WrongStatus


def make(ledger: Ledger, count: int) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{number}"} for number in range(1, count + 1)])


def test_child_waits_for_all_its_blockers(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    make(ledger, 2)
    child = ledger.tasks.create(title="child", depends_on=["T1", "T2", "1"])
    assert (child.status, child.blockers) == ("blocked", 2)
    ledger.tasks.complete(1)
    assert (ledger.tasks.get(3).status, ledger.tasks.get(3).blockers) == ("blocked", 1)
    ledger.tasks.complete(2)
    assert ledger.tasks.get(3).status == "queued"
    assert events_of(3) == ["task.created", "task.unblocked"]


def test_completed_blocker_blocks_nothing(ledger: Ledger) -> None:
    make(ledger, 1)
    ledger.tasks.complete(1)
    assert ledger.tasks.create(title="child", depends_on=["T1"]).status == "queued"


def test_unblocked_task_with_a_future_run_at_is_scheduled(ledger: Ledger, clock: object) -> None:
    make(ledger, 1)
    child = ledger.tasks.create(title="child", depends_on=["T1"], run_at=clock.now + 1000)  # type: ignore[attr-defined]
    ledger.tasks.complete(1)
    assert ledger.tasks.get(child.id).status == "scheduled"


def test_failed_blocker_goes_on_blocking_until_it_is_done(ledger: Ledger) -> None:
    make(ledger, 1)
    ledger.tasks.create(title="child", depends_on=["T1"])
    ledger.tasks.fail(1, error="no")
    assert ledger.tasks.get(2).status == "blocked"
    ledger.tasks.reopen(1)
    ledger.tasks.complete(1)
    assert ledger.tasks.get(2).status == "queued"


def test_completing_twice_decrements_once(ledger: Ledger) -> None:
    make(ledger, 2)
    ledger.tasks.create(title="child", depends_on=["T1", "T2"])
    ledger.tasks.complete(1)
    ledger.tasks.reopen(1)
    ledger.tasks.complete(1)
    assert ledger.tasks.get(3).blockers == 1


def test_dependency_added_later_blocks_and_removed_unblocks(ledger: Ledger) -> None:
    make(ledger, 2)
    assert ledger.tasks.depend("T2", on="T1").status == "blocked"
    assert ledger.tasks.depend("T2", on="T1").blockers == 1
    assert ledger.tasks.undepend("T2", "T1").status == "queued"
    with pytest.raises(NotFound, match="T2 has no blocks dependency on T1"):
        ledger.tasks.undepend("T2", "T1")


def test_cycle_is_refused_naming_the_path(ledger: Ledger) -> None:
    make(ledger, 3)
    ledger.tasks.depend("T2", on="T1")
    ledger.tasks.depend("T3", on="T2")
    with pytest.raises(Cycle, match="T1 -> T2 -> T3 -> T1"):
        ledger.tasks.depend("T1", on="T3")
    with pytest.raises(Cycle):
        ledger.tasks.depend("T1", on="T1")
    assert ledger.tasks.get(1).status == "queued"


def test_active_task_cannot_be_made_to_wait(ledger: Ledger) -> None:
    make(ledger, 2)
    ledger.tasks.claim(worker="w")
    with pytest.raises(WrongStatus):
        ledger.tasks.depend("T1", on="T2")


def test_other_kinds_hold_nothing_back(ledger: Ledger) -> None:
    make(ledger, 2)
    assert ledger.tasks.depend("T2", on="T1", kind="related").status == "queued"
    assert ledger.tasks.depend("T2", on="T1", kind="discovered-from").status == "queued"
    assert ledger.tasks.depend("T2", on="T1", kind="parent").parent == 1
    assert [edge.kind for edge in ledger.tasks.dependencies("T2")] == ["parent", "discovered-from", "related"]
    with pytest.raises(BadInput):
        ledger.tasks.depend("T2", on="T2", kind="related")
    with pytest.raises(BadInput):
        ledger.tasks.depend("T2", on="T1", kind="likes")


def test_parents_make_no_cycle(ledger: Ledger) -> None:
    make(ledger, 3)
    ledger.tasks.update("T2", parent="T1")
    ledger.tasks.update("T3", parent="T2")
    with pytest.raises(Cycle, match="T1 -> T2 -> T3 -> T1"):
        ledger.tasks.update("T1", parent="T3")
    with pytest.raises(Cycle):
        ledger.tasks.update("T1", parent="T1")


def test_unknown_blocker_is_refused_and_nothing_is_made(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="T9"):
        ledger.tasks.create(title="child", depends_on=["T9"])
    assert ledger.tasks.list() == []


def test_hold_and_blockers_both_hold_back(ledger: Ledger) -> None:
    make(ledger, 1)
    ledger.tasks.create(title="child", depends_on=["T1"], hold_reason="wait")
    ledger.tasks.complete(1)
    assert ledger.tasks.get(2).status == "blocked"
    assert ledger.tasks.unhold(2).status == "queued"
