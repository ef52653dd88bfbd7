"""From accepted items to tasks: one or several, in order, waiting for what they must; and only once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import Refused, ShoalError, WrongStatus
from shoal.services import item_following
from shoal.settings import BacklogSettings, ProjectSettings


def follow(ledger: Ledger) -> list[str]:
    done: list[str] = ledger.engine.write(item_following.follow)[0]  # type: ignore[attr-defined]
    return done


def finish(ledger: Ledger, *tasks: Any) -> list[str]:
    for task in tasks:
        ledger.tasks.complete(task)
    return follow(ledger)


def waits_for(ledger: Ledger, task: Any) -> list[str]:
    found = ledger.tasks.get(task)
    return [
        edge.blocker
        for edge in ledger.tasks.dependencies(task)
        if edge.kind == "blocks" and edge.blocked == found.task_id
    ]


def test_simple_item_becomes_one_task_that_tells_where_it_comes_from(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(
        projects={"web": ProjectSettings(path="/x", repository="o/web")}, backlog=BacklogSettings(queue="chores")
    )
    ledger.items.create(
        text="Fix the login\nIt fails on Mondays",
        project="web",
        source_file="TODO.md",
        source_line=7,
        heading=["Bugs", "Now"],
        priority="high",
        effort="small",
        labels=["auth"],
        summary="Mondays are special.",
        files=["src/login.py"],
        accepted=True,
    )
    came = ledger.items.run("W1")
    assert (came.made, came.item.status, [task.task_id for task in came.tasks]) == (1, "in_progress", ["T1"])
    task = ledger.tasks.get("T1")
    assert (task.title, task.type, task.priority, task.queue, task.labels, task.repos, task.estimate_minutes) == (
        *("Fix the login", "swe", 1, "chores", ["auth"], ["o/web"], 20),
    )
    text = ledger.tasks.body("T1").text
    for part in (
        *("Mondays are special.", "> Fix the login\n> It fails on Mondays", "`src/login.py`", "Work item: W1"),
        "From `TODO.md`, line 7, under Bugs > Now",
    ):
        assert part in text
    again = ledger.items.run("W1")
    assert (again.made, [one.task_id for one in again.tasks]) == (0, ["T1"])
    assert ledger.items.get(1).tasks == ["T1"]
    assert finish(ledger, 1) == ["W1: done"]
    assert ledger.items.get(1).status == "done"


def test_what_nobody_accepted_is_not_run(ledger: Ledger) -> None:
    ledger.items.create(text="x")
    with pytest.raises(Refused, match="W1 is not accepted; `shoal item accept W1` first"):
        ledger.items.run(1)
    ledger.items.done(1)
    with pytest.raises(WrongStatus, match="W1 is done"):
        ledger.items.run(1)
    assert ledger.tasks.list() == []


def test_accepted_items_below_become_tasks_in_order_and_complete_the_one_above(ledger: Ledger) -> None:
    ledger.items.create(text="above", accepted=True, priority=0)
    for text in ("first", "second"):
        ledger.items.create(text=text, parent=1, accepted=True)
    ledger.items.create(text="nobody wants it", parent=1)
    came = ledger.items.run(1)
    assert ([task.title for task in came.tasks], came.made, came.undecided) == (["first", "second"], 2, 1)
    assert [task.priority for task in came.tasks] == [0, 0]
    assert waits_for(ledger, 2) == ["T1"]
    ledger.items.reject(4)
    assert finish(ledger, 1) == ["W2: done"]
    assert ledger.items.get(1).status == "in_progress"
    assert finish(ledger, 2) == ["W3: done", "W1: done"]


def test_item_above_with_something_undecided_below_is_open_again(ledger: Ledger) -> None:
    ledger.items.create(text="above", accepted=True)
    ledger.items.create(text="first", parent=1, accepted=True)
    ledger.items.create(text="undecided", parent=1)
    ledger.items.run(1)
    assert finish(ledger, 1) == ["W2: done", "W1: triaged again, 1 below it new"]


def test_written_estimate_becomes_that_of_the_task(ledger: Ledger) -> None:
    ledger.items.create(text="Migrate", estimate_minutes=480, accepted=True)
    ledger.items.create(text="Mend", effort="small", estimate_minutes=0, accepted=True)
    assert [ledger.items.run(number).tasks[0].estimate_minutes for number in (1, 2)] == [480, 20]


@pytest.mark.parametrize(
    ("minutes", "shares"), [(480, [160, 160, 160]), (2, [1, 1, 1]), (100, [33, 34, 33]), (None, [None, None, None])]
)
def test_written_estimate_is_shared_by_the_steps(ledger: Ledger, minutes: int | None, shares: list[int | None]) -> None:
    ledger.items.create(text="Migrate", estimate_minutes=minutes, accepted=True)
    ledger.items.assess(1, sub_tasks=["one", "two", "three"])
    came = ledger.items.run(1)
    assert [task.estimate_minutes for task in came.tasks] == shares
    assert "Step 3 of 3" in ledger.tasks.body(came.tasks[2].id).text


def test_sub_tasks_of_an_assessment_become_a_chain(ledger: Ledger) -> None:
    ledger.items.create(text="big", accepted=True, effort="large")
    long = "three\n" + "x" * 400
    ledger.items.assess(1, sub_tasks=["one", " ", "two", long])
    came = ledger.items.run(1)
    assert [task.title for task in came.tasks] == ["one", "two", f"three {'x' * 293}…"]
    assert [task.estimate_minutes for task in came.tasks] == [None, None, None]
    assert ([task.status for task in came.tasks], waits_for(ledger, 3)) == (["queued", "blocked", "blocked"], ["T2"])
    assert ledger.tasks.body(1).text.startswith("Step 1 of 3 of W1: big\n\n> big\n")
    assert f"Step 3 of 3 of W1: big\n\n{long}" in ledger.tasks.body(3).text
    assert finish(ledger, 1) == []
    assert finish(ledger, 2, 3) == ["W1: done"]


def test_parts_may_be_done_in_any_order_when_told_so(ledger: Ledger) -> None:
    ledger.items.create(text="big", accepted=True)
    ledger.items.assess(1, sub_tasks=["one", "two"])
    assert [task.status for task in ledger.items.run(1, parallel=True).tasks] == ["queued", "queued"]


def test_part_that_failed_is_made_anew_and_the_others_wait_for_the_new_one(ledger: Ledger) -> None:
    ledger.items.create(text="big", accepted=True)
    ledger.items.create(text="after it", accepted=True)
    ledger.items.assess(1, sub_tasks=["one", "two"])
    ledger.items.depend(2, on=1)
    ledger.items.run(1)
    ledger.items.run(2)
    assert (waits_for(ledger, 2), waits_for(ledger, 3)) == (["T1"], ["T1", "T2"])
    ledger.tasks.cancel(1)
    [told] = follow(ledger)
    assert told.startswith("W1: T1 cancelled; `shoal reopen T1` tries it again")
    assert ledger.items.get(1).status == "in_progress"
    came = ledger.items.run(1)
    assert (came.made, [one.task_id for one in came.tasks]) == (1, ["T2", "T4"])
    assert (waits_for(ledger, 2), waits_for(ledger, 3)) == (["T4"], ["T2", "T4"])
    assert ledger.items.run(1).made == 0
    assert finish(ledger, 4, 2) == ["W1: done"]
    assert ledger.tasks.get(3).status == "queued"


def test_part_below_that_failed_is_made_anew_with_what_is_above_it(ledger: Ledger) -> None:
    ledger.items.create(text="big", accepted=True)
    for text in ("one", "two"):
        ledger.items.create(text=text, parent=1, accepted=True)
    ledger.items.run(1)
    ledger.tasks.cancel(1)
    assert follow(ledger) == ["W2: triaged again, T1 cancelled"]
    assert ledger.items.run(1).made == 1
    assert waits_for(ledger, 2) == ["T3"]
    assert finish(ledger, 3, 2) == ["W2: done", "W3: done", "W1: done"]


def test_only_what_did_not_complete_is_made_anew(ledger: Ledger) -> None:
    ledger.items.create(text="big", accepted=True)
    ledger.items.assess(1, sub_tasks=["one", "two"])
    ledger.items.run(1)
    ledger.tasks.complete(1)
    ledger.tasks.cancel(2)
    assert follow(ledger) == ["W1: assessed again, T2 cancelled"]
    assert ledger.events.list(item=1)[0].changes == {"status": ["in_progress", "assessed"]}
    came = ledger.items.run(1)
    assert (came.made, [one.task_id for one in came.tasks]) == (1, ["T1", "T3"])
    assert finish(ledger, 3) == ["W1: done"]
    ledger.items.reopen(1)
    assert [one.task_id for one in ledger.items.run(1).tasks] == ["T4", "T5"]


def test_tasks_wait_for_the_tasks_of_what_the_item_waits_for(ledger: Ledger) -> None:
    for text in "abc":
        ledger.items.create(text=text, accepted=True)
    ledger.items.depend(1, on=2)
    ledger.items.depend(2, on=3)
    with pytest.raises(Refused, match=r"W1 waits for W2 \(triaged\), without tasks; .* --with-blockers"):
        ledger.items.run(1)
    assert ledger.tasks.list() == []
    assert ledger.items.run(1, with_blockers=True).made == 3
    assert (waits_for(ledger, 3), waits_for(ledger, 2)) == (["T2"], ["T1"])
    assert [ledger.tasks.get(number).title for number in (1, 2, 3)] == ["c", "b", "a"]
    finish(ledger, 1, 2, 3)
    assert {ledger.items.get(number).status for number in (1, 2, 3)} == {"done"}


def test_blocker_that_is_done_is_not_waited_for(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.create(text="b")
    ledger.items.depend(1, on=2)
    with pytest.raises(Refused, match="W2 is not accepted"):
        ledger.items.run(1, with_blockers=True)
    ledger.items.done(2)
    assert ledger.items.run(1).tasks[0].status == "queued"


def test_blocker_that_will_not_be_done_names_both_ways_out(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.create(text="b")
    ledger.items.depend(1, on=2)
    ledger.items.reject(2)
    for with_blockers in (False, True):
        with pytest.raises(Refused, match="W1 waits for W2, which is wontfix; `shoal item unlink W1 --waits-for W2`"):
            ledger.items.run(1, with_blockers=with_blockers)
    ledger.items.undepend(1, on=2)
    assert ledger.items.run(1).made == 1


def test_order_of_parts_heeds_what_they_wait_for(ledger: Ledger) -> None:
    ledger.items.create(text="above", accepted=True)
    ledger.items.create(text="first", parent=1, accepted=True)
    ledger.items.create(text="second", parent=1, accepted=True)
    ledger.items.depend(2, on=3)
    assert [one.title for one in ledger.items.run(1).tasks] == ["second", "first"]


def test_part_that_waits_for_the_whole_is_refused(ledger: Ledger) -> None:
    ledger.items.create(text="above", accepted=True)
    ledger.items.create(text="part", parent=1, accepted=True)
    ledger.items.depend(2, on=1)
    with pytest.raises(Refused, match="W2 waits for W1, of which it is a part"):
        ledger.items.run(1, with_blockers=True)
    assert ledger.tasks.list() == []


def test_item_with_work_under_way_is_neither_done_nor_rejected_by_hand(ledger: Ledger) -> None:
    ledger.items.create(text="a", accepted=True)
    ledger.items.run(1)
    with pytest.raises(Refused, match=r"W1 has tasks under way \(T1\)"):
        ledger.items.done(1)
    with pytest.raises(Refused, match="W1 has tasks under way"):
        ledger.items.reject(1)


def test_very_long_row_of_items_is_refused_and_not_half_made(ledger: Ledger) -> None:
    for number in range(1, 131):
        ledger.items.create(text="x", accepted=True)
        if number > 1:
            ledger.items.depend(number, on=number - 1)
    with pytest.raises(Refused, match="W30 comes after 100 items that wait for each other; run it by itself first"):
        ledger.items.run(130, with_blockers=True)
    assert ledger.tasks.list() == []
    assert ledger.items.run(60, with_blockers=True).made == 60


def test_event_tells_all_tasks_of_a_chain(ledger: Ledger) -> None:
    ledger.items.create(text="big", accepted=True)
    ledger.items.assess(1, sub_tasks=["one", "two", "three"])
    ledger.items.run(1)
    assert ledger.events.list(item=1)[0].data == {"tasks": ["T1", "T2", "T3"]}


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Do things at the same moment; what each came to, an error of ours for one that was refused."""
    barrier = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except ShoalError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def test_two_who_run_an_item_at_once_make_its_tasks_once(open_at: Callable[..., Ledger]) -> None:
    ledgers = [open_at() for _ in range(4)]
    for number in range(1, 6):
        ledgers[0].items.create(text="x", accepted=True)
        came = at_once(*(partial(one.items.run, number) for one in ledgers))
        assert sum(one.made for one in came) == 1
    assert len(ledgers[0].tasks.list()) == 5


def test_two_who_make_items_wait_at_once_make_no_circle(open_at: Callable[..., Ledger]) -> None:
    first, second = open_at(), open_at()
    for number in range(1, 20, 2):
        first.items.create(text="a")
        first.items.create(text="b")
        came = at_once(
            partial(first.items.depend, number, on=number + 1), partial(second.items.depend, number + 1, on=number)
        )
        assert sorted(type(one).__name__ for one in came) == ["Cycle", "ItemDetail"]
