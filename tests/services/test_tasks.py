"""Tasks: made, read, listed, changed, held, called off, reopened."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import Ledger
from shoal.errors import AmbiguousRef, BadInput, Duplicate, NotFound, WrongStatus
from shoal.model.repository import without_login
from tests.conftest import FakeClock


def test_created_task_is_queued_and_told(ledger: Ledger, events_of: Callable[..., list[str]], clock: FakeClock) -> None:
    task = ledger.tasks.create(title="Fix the login", priority="high", labels=["web", "web"], repos=["a/b"])

    assert (task.task_id, task.status, task.priority, task.labels) == ("T1", "queued", 1, ["web"])
    assert (task.created_at, task.queued_at, task.created_by) == (clock.now, clock.now, "ana")
    assert ledger.tasks.get("T1") == task
    assert events_of(task.id) == ["task.created"]


def test_task_with_future_run_at_is_scheduled_until_its_time(ledger: Ledger, clock: FakeClock) -> None:
    task = ledger.tasks.create(title="Later", run_at=clock.now + 60_000)
    assert task.status == "scheduled"
    assert ledger.tasks.claim(worker="w").outcome == "none"

    clock.advance(61)

    claimed = ledger.tasks.claim(worker="w")
    assert [claim.task.id for claim in claimed.claims] == [task.id]


def test_request_id_answers_with_the_first_task(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    first = ledger.tasks.create(title="Once", request_id="r-1")
    again = ledger.tasks.create(title="Once more", request_id="r-1")

    assert again == first
    assert len(ledger.tasks.list()) == 1
    assert events_of(first.id) == ["task.created"]


def test_batch_request_id_answers_with_the_first_tasks(ledger: Ledger) -> None:
    batch = [{"title": "a"}, {"title": "b"}]
    first = ledger.tasks.create_many(tasks=batch, request_id="batch")
    assert ledger.tasks.create_many(tasks=batch, request_id="batch") == first
    assert [task.title for task in first] == ["a", "b"]


def test_unique_key_answers_with_the_live_task_and_is_free_after_it(ledger: Ledger) -> None:
    first = ledger.tasks.create(title="Nightly", unique_key="nightly")
    assert ledger.tasks.create(title="Nightly", unique_key="nightly").id == first.id
    ledger.tasks.complete(first.id)
    assert ledger.tasks.create(title="Nightly", unique_key="nightly").id != first.id


def test_batch_is_all_or_nothing(ledger: Ledger) -> None:
    ledger.tasks.create(title="x", slug="taken")
    with pytest.raises(Duplicate, match="T1 has the slug 'taken'"):
        ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b", "slug": "taken"}])
    assert len(ledger.tasks.list()) == 1


def test_batch_may_refer_to_its_own_earlier_tasks(ledger: Ledger) -> None:
    tasks = ledger.tasks.create_many(
        tasks=[
            {"title": "first", "slug": "first-one"},
            {"title": "second", "depends_on": ["first-one"], "parent": "first-one"},
        ]
    )
    assert (tasks[1].status, tasks[1].blockers, tasks[1].parent) == ("blocked", 1, tasks[0].id)


@pytest.mark.parametrize("ref", [1, "1", "T1", "t1", "the-slug", "EXT-7"])
def test_task_is_found_by_every_name(ledger: Ledger, ref: str | int) -> None:
    ledger.tasks.create(title="Named", slug="the-slug", external_key="EXT-7")
    assert ledger.tasks.get(ref).title == "Named"


@pytest.mark.parametrize("ref", ["T99", "nobody", 0, -1, "", "T", 2**70, "９"])
def test_unknown_ref_is_said_so(ledger: Ledger, ref: str | int) -> None:
    with pytest.raises(NotFound, match="there is no task"):
        ledger.tasks.get(ref)


def test_name_of_two_tasks_is_ambiguous(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", slug="same")
    ledger.tasks.create(title="b", external_key="same")
    with pytest.raises(AmbiguousRef, match="T1, T2"):
        ledger.tasks.get("same")


@pytest.mark.parametrize("name", ["ready", "t7", "T12"])
def test_slug_that_reads_as_something_else_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(BadInput):
        ledger.tasks.create(title="a", slug=name)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "nul\x00"}, "title"),
        ({"title": "x", "priority": 4}, "priority"),
        ({"title": "x", "priority": "soon"}, "priority"),
        ({"title": "x", "labels": "web"}, "labels"),
        ({"title": "x", "max_attempts": 0}, "max_attempts"),
        ({"title": "x", "run_at": -1}, "run_at"),
        ({"title": "x", "colour": "red"}, "colour"),
        ({"title": "x", "slug": "12"}, "slug"),
        ({"title": "x", "success_criteria": [{"measurable": "y"}]}, "success_criteria[0].criterion"),
        ({"title": 7}, "title"),
    ],
)
def test_bad_input_names_the_field(ledger: Ledger, fields: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        ledger.tasks.create(**fields)
    assert caught.value.field == field
    assert ledger.tasks.list() == []


def test_lone_surrogate_is_bad_input(ledger: Ledger) -> None:
    with pytest.raises(BadInput):
        ledger.tasks.create(title="broken \ud800")


SECRET = "hunter2"
WITH_LOGINS = {
    f"https://ana:{SECRET}@github.com/acme/pond.git": "https://github.com/acme/pond.git",
    f"https://{SECRET}@github.com/acme/pond": "https://github.com/acme/pond",
    f"HTTP://ana:pa/{SECRET}@host/pond": "HTTP://host/pond",
    f"https://ana:a@{SECRET}@host:8443/@acme/pond": "https://host:8443/@acme/pond",
    f"ssh://git:{SECRET}@host/pond": "ssh://host/pond",
    f"//ana:{SECRET}@host/pond": "//host/pond",
    f"ana:{SECRET}@host/pond": "host/pond",
    f"https://host/pond?token={SECRET}": "https://host/pond",
    f" https://ana:{SECRET}@host/pond": "https://host/pond",
}


@pytest.mark.parametrize("name", WITH_LOGINS, ids=WITH_LOGINS.values())
def test_repository_with_a_login_is_refused_and_not_kept(ledger: Ledger, name: str) -> None:
    ledger.tasks.create(title="there")
    calls: list[Callable[[], object]] = [
        lambda: ledger.tasks.create(title="x", repos=["acme/pond", name]),
        lambda: ledger.tasks.create_many(tasks=[{"title": "y"}, {"title": "x", "repos": [name]}]),
        lambda: ledger.tasks.update(1, repos=[name]),
    ]
    for call in calls:
        with pytest.raises(BadInput, match=re.escape(f"repository {WITH_LOGINS[name]} is given")) as caught:
            call()
        assert SECRET not in caught.value.message
        assert caught.value.field == "repos"
    assert [(one.title, one.repos) for one in ledger.tasks.list()] == [("there", [])]
    assert len(ledger.events.list(limit=100)) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("acme/pond", "https://github.com/acme/pond.git", "git@github.com:acme/pond.git", "ssh://git@host:22/pond"),
        *("/srv/git/pond@2.git", "host:acme/pond@2", "https://host:8443/@acme/pond", "https://[::1]:80/@acme/pond"),
        *("file:///srv/pond", "~/pond"),
    ],
)
def test_repository_without_a_login_is_taken_as_it_stands(ledger: Ledger, name: str) -> None:
    assert ledger.tasks.create(title="x", repos=[name]).repos == [name]


@given(
    name=st.text(alphabet="a0:/@?#[].~ ", max_size=30) | st.from_regex(r"https?://[a0:/@?#\[\].]{0,20}", fullmatch=True)
)
def test_name_without_its_login_has_none(name: str) -> None:
    assert without_login(without_login(name)) == without_login(name)


def test_pages_are_stable_while_tasks_come_and_go(ledger: Ledger) -> None:
    made = [ledger.tasks.create(title=f"task {number}").id for number in range(7)]
    first = ledger.tasks.list(limit=3)
    ledger.tasks.create(title="arrives in between")
    second = ledger.tasks.list(limit=3, cursor=first.next)
    third = ledger.tasks.list(limit=3, cursor=second.next)

    assert [task.id for page in (first, second, third) for task in page] == list(reversed(made))
    assert third.next is None


def test_claim_order_pages_agree_with_the_claim(ledger: Ledger, clock: FakeClock) -> None:
    for number, priority in enumerate([2, 0, 3, 0, 1]):
        ledger.tasks.create(title=f"task {number}", priority=priority)
        clock.advance(1)
    first = ledger.tasks.list(order="claim", limit=2)
    rest = ledger.tasks.list(order="claim", cursor=first.next)

    claimed = ledger.tasks.claim(worker="w", limit=10).claims
    assert [task.id for task in [*first, *rest]] == [claim.task.id for claim in claimed] == [2, 4, 5, 1, 3]


@pytest.mark.parametrize(
    ("filters", "titles"),
    [
        ({"status": "queued"}, ["gamma 100%", "alpha"]),
        ({"type": "qa"}, ["beta"]),
        ({"queue": "side"}, ["beta"]),
        ({"label": "web"}, ["gamma 100%"]),
        ({"assignee": "bo"}, ["beta"]),
        ({"parent": "T1"}, ["gamma 100%"]),
        ({"text": "ALPH"}, ["alpha"]),
        ({"text": "100%"}, ["gamma 100%"]),
        ({"text": "_"}, []),
        ({"status": "queued", "label": "web"}, ["gamma 100%"]),
    ],
)
def test_list_filters(ledger: Ledger, filters: dict[str, str], titles: list[str]) -> None:
    ledger.tasks.create(title="alpha")
    ledger.tasks.create(title="beta", type="qa", queue="side", assignee="bo", hold_reason="wait")
    ledger.tasks.create(title="gamma 100%", labels=["web"], parent="T1")
    assert [task.title for task in ledger.tasks.list(**filters)] == titles


def test_wrong_cursor_is_bad_input(ledger: Ledger) -> None:
    with pytest.raises(BadInput, match="not a cursor"):
        ledger.tasks.list(cursor="abc")


def test_update_says_what_changed_and_keeps_the_rest(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="Old", labels=["a"], deadline=5)
    clock.advance(5)
    changed = ledger.tasks.update("T1", title="New", labels=["b"], deadline=None, priority=2)

    assert changed.updated == ["deadline", "labels", "title"]
    assert (changed.title, changed.labels, changed.deadline, changed.updated_at) == ("New", ["b"], None, clock.now)
    event = ledger.events.list(task=1)[0]
    assert event.changes == {"title": ["Old", "New"], "labels": [["a"], ["b"]], "deadline": [5, None]}


def test_update_that_changes_nothing_writes_nothing(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="Same")
    assert ledger.tasks.update("T1", title="Same").updated == []
    assert events_of(1) == ["task.created"]


def test_update_of_run_at_moves_between_queued_and_scheduled(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="Move")
    assert ledger.tasks.update("T1", run_at=clock.now + 1000).status == "scheduled"
    assert ledger.tasks.update("T1", run_at=clock.now).status == "queued"


def test_moved_task_is_claimed_from_its_new_queue(ledger: Ledger) -> None:
    ledger.tasks.create(title="Move", labels=["x"])
    ledger.tasks.update("T1", queue="side")
    assert ledger.tasks.claim(worker="w").outcome == "none"
    assert ledger.stats.get().queues == {"side": {"queued": 1}}
    assert ledger.tasks.claim(worker="w", queue="side", label="x").outcome == "claimed"


def test_hold_keeps_a_task_back_until_unhold(ledger: Ledger, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="Wait")
    held = ledger.tasks.hold("T1", reason="no key yet")
    assert (held.status, held.hold_reason) == ("blocked", "no key yet")
    assert ledger.tasks.claim(worker="w").outcome == "none"

    assert ledger.tasks.unhold("T1").status == "queued"
    assert events_of(1) == ["task.created", "task.held", "task.unheld"]
    with pytest.raises(WrongStatus, match="not held"):
        ledger.tasks.unhold("T1")


def test_cancel_is_final_until_reopen(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="Off")
    cancelled = ledger.tasks.cancel("T1", reason="no longer needed")
    assert (cancelled.status, cancelled.completed_at) == ("cancelled", clock.now)
    assert ledger.tasks.cancel("T1") == cancelled
    with pytest.raises(WrongStatus, match="T1 is cancelled"):
        ledger.tasks.complete("T1")

    reopened = ledger.tasks.reopen("T1")
    assert (reopened.status, reopened.completed_at, reopened.failures) == ("queued", None, 0)


def test_reopen_of_an_unfinished_task_is_refused(ledger: Ledger) -> None:
    ledger.tasks.create(title="Open")
    with pytest.raises(WrongStatus, match="reopen needs completed, failed, cancelled"):
        ledger.tasks.reopen("T1")


def test_reopen_beside_a_live_task_with_the_same_unique_key_is_refused(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", unique_key="k")
    ledger.tasks.cancel("T1")
    ledger.tasks.create(title="b", unique_key="k")
    with pytest.raises(Duplicate, match="T2 is live"):
        ledger.tasks.reopen("T1")


def test_taken_slug_is_refused_by_update(ledger: Ledger) -> None:
    ledger.tasks.create(title="a", slug="one")
    ledger.tasks.create(title="b")
    with pytest.raises(Duplicate) as caught:
        ledger.tasks.update("T2", slug="one")
    assert caught.value.field == "slug"
    assert ledger.tasks.get("T2").slug is None
