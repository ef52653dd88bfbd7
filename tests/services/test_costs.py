"""Costs: each model call once, sums exact at any moment, prices those of the list."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal import Ledger
from shoal.errors import BadInput, NotFound
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.cost import Cost, CostSum, Usage, dollars
from shoal.model.session import Spent
from shoal.services import contents
from shoal.services.refs import get_task
from tests.conftest import START_MS, FakeClock

DAY = 86_400_000
ON_ONE_LEDGER = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
SONNET = {"provider": "anthropic", "model": "claude-sonnet-4-5"}


def engine_of(ledger: Ledger) -> EmbeddedEngine:
    assert isinstance(ledger.engine, EmbeddedEngine)
    return ledger.engine


def call(key: str, task: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"task": task, "request_key": key, **SONNET, "cost_usd_micros": 1000} | fields


def disagreements(ledger: Ledger) -> list[Any]:
    return engine_of(ledger).read(lambda tx: tx.all("costs.recount", limit=10, prefix="T"))  # type: ignore[no-any-return]


def of_calls(by: str, found: list[Cost]) -> dict[str, CostSum]:
    """The sums, computed from the calls themselves."""
    sums: dict[str, CostSum] = {}
    for one in found:
        key = str(getattr(one, {"task": "task_id"}.get(by, by)))
        if by == "configuration":
            key = f"{one.agent} {one.configuration}" if one.configuration else one.agent
        counted = CostSum(
            key, 1, *(getattr(one, kind) for kind in KINDS), one.cost_usd_micros or 0, one.cost_usd_micros is None
        )
        sums[key] = sums[key] + counted if key in sums else counted
    return sums


def test_call_goes_on_its_session_after_the_attempt_was_lost_too(ledger: Ledger) -> None:
    for title in ("a", "b"):
        ledger.tasks.create(title=title)
    ledger.tasks.claim(worker="w", limit=2)
    mine = ledger.tasks.begin_session(1, attempt=1, agent="bo", kind="claude")
    other = ledger.tasks.begin_session(2, attempt=1, agent="bo", kind="claude")
    ledger.tasks.cancel(1)
    ledger.costs.record(costs=[call("k", attempt=1, session=mine.id)])
    assert [(one.session, one.agent) for one in ledger.costs.list(task=1)] == [(mine.id, "bo")]
    for wrong in (other.id, 99):
        with pytest.raises(BadInput, match=f"T1 has no session {wrong}"):
            ledger.costs.record(costs=[call("l", session=wrong)])


def test_share_of_cached_input_begins_anew_with_the_configuration(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}])
    ledger.tasks.claim(worker="w", limit=2)
    used = {"old": ((1, 100, 0), (1, 0, 300)), "new": ((2, 30, 70),), "old again": ((1, 5, 95),), "other": ((2, 7, 0),)}
    names = {}
    for which, calls in used.items():
        task = calls[0][0]
        session = ledger.tasks.begin_session(
            task,
            attempt=1,
            agent="bo",
            kind="claude",
            workflow="careful" if which == "other" else None,
            configuration=which.split()[0],
        )
        names[which] = f"bo {session.configuration}"
        for number, (_, plain, cached) in enumerate(calls):
            usage = Usage(request_key=f"{which}{number}", **SONNET, input_tokens=plain, cache_read_tokens=cached)
            clock.advance(3600)
            ledger.sessions.record(session.id, attempt=1, items=[Spent(usage)])
    assert names["old"] == names["old again"]
    assert len(set(names.values())) == 3, "the workflow's instructions are in the stable part"
    for since in (0, START_MS + 3_600_001):
        told = {one.key: one for one in ledger.costs.sums(by="configuration", since=since)}
        assert told == of_calls("configuration", [one for one in ledger.costs.list() if one.at >= since])
    told = {one.key: one for one in ledger.costs.sums(by="configuration")}
    share = {key: (one.cache_read_tokens, one.all_input_tokens) for key, one in told.items()}
    assert share == {names["old"]: (395, 500), names["new"]: (70, 100), names["other"]: (0, 7)}


def test_session_that_is_resumed_with_other_settings_has_their_configuration(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    told = {"attempt": 1, "agent": "bo", "kind": "claude"}
    first = ledger.tasks.begin_session(1, **told, workflow="careful", configuration="one")
    ledger.sessions.record(first.id, attempt=1, items=[Spent(Usage(request_key="a", **SONNET))])
    same = ledger.tasks.begin_session(1, **told, configuration="one", resumes=first.id)
    other = ledger.tasks.begin_session(1, **told, configuration="two", resumes=first.id)
    ledger.sessions.record(first.id, attempt=1, items=[Spent(Usage(request_key="b", **SONNET))])
    assert first.configuration == same.configuration != other.configuration
    assert [one.configuration for one in ledger.costs.list()] == [first.configuration, other.configuration]
    assert len(ledger.costs.sums(by="configuration")) == 2


def test_call_is_counted_once_and_the_first_stays(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}])
    assert ledger.costs.record(costs=[call("k", input_tokens=5), call("k", input_tokens=6), call("l")]).counted == 2
    outcome = ledger.costs.record(costs=[call("k", task=2, input_tokens=7, cost_usd_micros=9), call("m", task=2)])
    assert (outcome.counted, outcome.known) == (1, 1)
    assert [(one.request_key, one.task_id, one.input_tokens) for one in ledger.costs.list()] == [
        ("k", "T1", 5),
        ("l", "T1", 0),
        ("m", "T2", 0),
    ]
    assert {one.key: one.cost_usd_micros for one in ledger.costs.sums()} == {"T1": 2000, "T2": 1000}
    assert disagreements(ledger) == []


def test_what_counts_nothing_leaves_no_event(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.costs.record(costs=[call("k")])
    ledger.costs.record(costs=[call("k")])
    assert (ledger.costs.record(costs=[]).counted, len(ledger.events.list(kind="cost.recorded"))) == (0, 1)


def test_event_tells_what_one_agent_used_of_one_model(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w")
    first = call("k", attempt=1, agent="bo", input_tokens=1, output_tokens=2)
    second = call("l", attempt=1, agent="bo", cache_read_tokens=3, cache_write_tokens=4, cost_usd_micros=5)
    ledger.costs.record(costs=[first, second, call("m", model="claude-opus-4-5", agent="bo", attempt=1)])
    [told, other] = sorted(ledger.events.list(kind="cost.recorded"), key=lambda event: -event.data["calls"])
    assert (told.task_id, told.attempt, told.actor) == ("T1", 1, "ana")
    assert told.data == {
        "purpose": "work",
        "agent": "bo",
        **SONNET,
        "calls": 2,
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_tokens": 3,
        "cache_write_tokens": 4,
        "cost_usd_micros": 1005,
        "unpriced": 0,
    }
    assert (other.data["model"], other.data["calls"]) == ("claude-opus-4-5", 1)


def test_calls_of_a_session_are_counted_and_found_by_it(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w", agent="bo")
    session = ledger.tasks.begin_session(1, attempt=1, agent="fast", kind="command").id
    items = [Spent(Usage(request_key=key, **SONNET, input_tokens=100)) for key in ("a", "b", "a")]
    for _ in range(2):
        ledger.sessions.record(session, attempt=1, items=items)
    ledger.costs.record(costs=[call("b"), call("c", agent="fast")])
    told = [(one.request_key, one.agent, one.attempt, one.priced) for one in ledger.costs.list(session=session)]
    assert told == [("a", "fast", 1, "list"), ("b", "fast", 1, "list")]
    [found] = ledger.costs.sums(by="agent")
    assert (found.key, found.calls, found.cost_usd_micros) == ("fast", 3, 1600)
    assert ledger.events.list(kind="cost.recorded")[-1].data["session"] == session


def test_money_of_a_lost_attempt_counts(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.claim(worker="w", lease_seconds=1)
    clock.advance(5)
    ledger.tasks.claim(worker="w2")
    assert ledger.costs.record(costs=[call("k", attempt=1), call("l", attempt=2)]).counted == 2
    with pytest.raises(BadInput, match="T1 has had 2 attempts, there is no attempt 3") as refused:
        ledger.costs.record(costs=[call("m"), call("n", attempt=3)])
    assert refused.value.field == "costs[1].attempt"
    assert len(ledger.costs.list()) == 2, "all or nothing"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"task": 99}, NotFound),
        ({"task": "no-such-slug"}, NotFound),
        ({"input_tokens": -1}, BadInput),
        ({"input_tokens": 10**9 + 1}, BadInput),
        ({"cost_usd_micros": 10**12 + 1}, BadInput),
        ({"cost_usd_micros": 1.5}, BadInput),
        ({"request_key": ""}, BadInput),
        ({"attempt": 0}, BadInput),
        ({"tokens": 1}, BadInput),
    ],
)
def test_one_wrong_call_refuses_them_all(ledger: Ledger, wrong: dict[str, Any], error: type[Exception]) -> None:
    ledger.tasks.create(title="a")
    with pytest.raises(error):
        ledger.costs.record(costs=[call("k"), call("l") | wrong])
    assert ledger.costs.list() == []
    assert ledger.costs.sums() == []


def test_calls_are_listed_in_pages_and_filtered(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a", "slug": "first"}, {"title": "b"}])
    ledger.costs.record(
        costs=[call(f"k{n}", task=("first", "T2")[n % 2], agent=("bo", None)[n % 3 == 0]) for n in range(10)]
    )
    found: list[Cost] = []
    page = ledger.costs.list(limit=3)
    found += page
    while page.next is not None:
        page = ledger.costs.list(limit=3, cursor=page.next)
        found += page
    assert [one.request_key for one in found] == [f"k{n}" for n in range(10)]
    assert ledger.costs.list(after=found[6].id) == found[7:]
    assert [one.request_key for one in ledger.costs.list(task=2, agent="ana")] == ["k3", "k9"]
    assert ledger.costs.list(session=1) == []
    with pytest.raises(BadInput, match="is not a cursor"):
        ledger.costs.list(cursor="x")
    with pytest.raises(NotFound):
        ledger.costs.list(task=3)


def test_sums_begin_at_any_moment(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}])
    midnight = START_MS - START_MS % DAY
    moments = [midnight - 1, midnight, midnight + 1, midnight + DAY - 1, midnight + DAY, midnight + 2 * DAY]
    ledger.costs.record(costs=[call(f"k{at}{task}", task=task, at=at) for at in moments for task in (1, 2)])
    found = ledger.costs.list()
    for since in itertools.chain([0], moments, [at + 1 for at in moments]):
        for task in (None, 1):
            kept = [one for one in found if one.at >= since and task in (None, one.task)]
            for by in ("task", "agent", "configuration", "model", "provider"):
                told = ledger.costs.sums(by=by, since=since, **({} if task is None else {"task": task}))
                assert {one.key: one for one in told} == of_calls(by, kept), (since, by)
    days = [(one.key, one.calls) for one in ledger.costs.sums(by="day", since=midnight + 1)]
    assert days == [("2027-01-17", 2), ("2027-01-16", 2), ("2027-01-15", 4)]


def test_sums_show_the_most_money_first_and_no_more_than_asked(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": "t"}] * 5)
    ledger.costs.record(costs=[call(f"k{n}", task=n, cost_usd_micros=n % 3) for n in range(1, 6)])
    assert [one.key for one in ledger.costs.sums(limit=3)] == ["T2", "T5", "T1"]


def test_largest_numbers_stay_whole(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    largest = dict.fromkeys(KINDS, 10**9) | {"cost_usd_micros": 10**12}
    for part in range(3):
        ledger.costs.record(costs=[call(f"{part}-{n}", **largest) for n in range(1000)])
    for by in ("task", "agent", "configuration", "model", "provider", "day"):
        [found] = ledger.costs.sums(by=by)
        assert (found.calls, found.cost_usd_micros) == (3000, 3 * 10**15)
        assert [getattr(found, kind) for kind in KINDS] == [3 * 10**12] * 4


TOKENS = st.integers(0, 10**9)
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "request_key": st.integers(0, 30),
            "task": st.integers(1, 3),
            "agent": st.sampled_from(["ana", "bo", "été"]),
            "provider": st.sampled_from(["anthropic", "nobody"]),
            "model": st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-5"]),
            "at": st.integers(START_MS, START_MS + 3 * DAY),
            "cost_usd_micros": st.none() | st.integers(0, 10**12),
        }
        | dict.fromkeys(KINDS, TOKENS)
    ),
    max_size=25,
)


@ON_ONE_LEDGER
@given(calls=CALLS, seed=st.integers())
def test_sums_are_exact_in_any_order_however_often_and_by_many_threads(
    ledger: Ledger, calls: list[dict[str, Any]], seed: int
) -> None:
    ledger.tasks.create_many(tasks=[{"title": "t"}] * 3)
    first = ledger.tasks.list(limit=1)[0].id - 2
    keys = itertools.count()
    run = f"{first}-{next(keys)}"
    # What has a key in common is the same call.
    by_key = {one["request_key"]: one for one in calls}
    known = [one | {"request_key": f"{run}-{key}", "task": first + one["task"] - 1} for key, one in by_key.items()]
    before = len(ledger.costs.list(limit=1000, task=first))
    refusals: list[BaseException] = []
    counted: list[int] = []

    def record(number: int) -> None:
        chance = random.Random(seed + number)
        shuffled = known * 2
        chance.shuffle(shuffled)
        try:
            while shuffled:
                size = chance.randint(1, 8)
                counted.append(ledger.costs.record(costs=shuffled[:size]).counted)
                del shuffled[:size]
        except BaseException as error:
            refusals.append(error)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals == []
    assert (before, sum(counted)) == (0, len(known))
    found = [one for task in range(first, first + 3) for one in ledger.costs.list(task=task, limit=1000)]
    assert sorted(one.request_key for one in found) == sorted(one["request_key"] for one in known)
    for task in range(first, first + 3):
        of_task = [one for one in found if one.task == task]
        for by in ("task", "agent", "configuration", "model", "provider"):
            assert {one.key: one for one in ledger.costs.sums(by=by, task=task)} == of_calls(by, of_task)
    assert disagreements(ledger) == []


def test_threads_that_meet_in_other_orders_do_not_get_stuck(open_at: Callable[..., Ledger]) -> None:
    ledgers = [open_at(), open_at()]
    ledgers[0].tasks.create_many(tasks=[{"title": "t"}] * 20)
    refusals: list[BaseException] = []

    def record(number: int) -> None:
        chance = random.Random(number)
        try:
            for part in range(15):
                some = [call(f"{part}-{n}", task=n % 20 + 1, agent=f"a{n % 3}") for n in range(40)]
                chance.shuffle(some)
                ledgers[number % 2].costs.record(costs=some)
        except BaseException as error:
            refusals.append(error)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals == []
    assert sum(one.calls for one in ledgers[0].costs.sums()) == 15 * 40
    assert disagreements(ledgers[0]) == []


def test_facts_of_many_tasks_have_what_each_cost(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": "t"}] * 3)
    ledger.costs.record(costs=[call("a"), call("b", at=1), call("c", task=3, cost_usd_micros=7)])

    def facts(tx: Any) -> list[int]:
        return [one.cost_usd_micros for one in contents.facts(tx, [get_task(tx, number) for number in (3, 2, 1)])]

    assert engine_of(ledger).read(facts) == [7, 0, 2000]


@pytest.mark.parametrize(
    ("micros", "shown"),
    [(0, "0.00"), (1, "0.000001"), (10_000, "0.01"), (1_500, "0.0015"), (1_100_000, "1.10"), (10**15, "1000000000.00")],
)
def test_dollars_are_exact_and_have_cents(micros: int, shown: str) -> None:
    assert dollars(micros) == shown
    assert Decimal(shown) * 1_000_000 == micros
