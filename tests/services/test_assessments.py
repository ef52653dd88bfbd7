"""Assessments: kept with their versions, written into the item, other items known by what they are called."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Refused, WrongStatus

HAIKU = {"provider": "anthropic", "model": "claude-haiku-4-5"}


def accepted(ledger: Ledger, text: str, **given: Any) -> str:
    return ledger.items.create(text=text, accepted=True, **given).item_id


def test_item_follows_its_assessment_and_the_assessment_is_kept(ledger: Ledger) -> None:
    item = accepted(ledger, "Fix the login")
    came = ledger.items.assess(
        item,
        title="Let the login survive Mondays",
        summary="The week's key is wrong.",
        files=[{"path": "src/login.py", "validated": True}, {"path": "src/week.py"}],
        missing_files=["src/gone.py"],
        effort="small",
        risk="low",
        sub_tasks=["Find it", "Mend it"],
        confidence="high",
        model="anthropic:claude-haiku-4-5",
        prompt_version=1,
        input_hash="0" * 64,
        calls=[
            HAIKU | {"request_key": "a", "input_tokens": 700, "output_tokens": 30, "cost_usd_micros": 1000},
            HAIKU | {"request_key": "b", "cache_read_tokens": 200, "output_tokens": 50, "cost_usd_micros": 234},
        ],
    )
    found = ledger.items.get(item)
    assert came.item == found
    assert (found.status, found.title, found.effort, found.risk, found.confidence, found.assessment_version) == (
        *("assessed", "Let the login survive Mondays", "small", "low", "high", 1),
    )
    assert (found.assessed_by, found.input_hash, found.priority) == ("anthropic:claude-haiku-4-5", "0" * 64, None)
    assert [(file.path, file.validated) for file in found.files] == [("src/login.py", True), ("src/week.py", False)]
    [kept] = ledger.items.assessments(item)
    assert kept == came.assessment
    assert kept.answer is not None
    assert kept.answer.missing_files == ["src/gone.py"]
    assert kept.answer.sub_tasks == ["Find it", "Mend it"]
    assert (kept.cost_usd_micros, kept.input_tokens, kept.output_tokens) == (1234, 900, 80)
    [event] = ledger.events.list(item=item, kind="item.assessed")
    assert event.changes["status"] == ["triaged", "assessed"]
    told = {"version": 1, "model": "anthropic:claude-haiku-4-5"}
    assert event.data == told | {"files": ["src/login.py", "src/week.py"]}
    ledger.items.assess(item, files=[{"path": "src/login.py"}, {"path": "src/new.py"}])
    assert ledger.events.list(item=item)[0].data == {"version": 2, "files": ["src/new.py"]}


def test_nothing_is_said_of_what_nobody_accepted_or_is_over(ledger: Ledger) -> None:
    item = ledger.items.create(text="x").item_id
    with pytest.raises(Refused, match="W1 is not accepted, so nothing is spent on it; `shoal item accept W1` first"):
        ledger.items.assess(item, effort="small")
    ledger.items.done(item)
    with pytest.raises(WrongStatus, match="W1 is done"):
        ledger.items.assess(item, effort="small")
    assert ledger.items.assessments(item) == []


def test_every_version_is_kept_and_a_failed_one_changes_nothing_else(ledger: Ledger) -> None:
    item = accepted(ledger, "x")
    ledger.items.assess(item, effort="large", input_hash="1" * 64, model="m")
    ledger.items.assess(item, error="no answer in 60 s", model="m", calls=[HAIKU | {"request_key": "k"}])
    after = ledger.items.get(item)
    assert (after.effort, after.input_hash, after.assessment_version, after.status) == (
        *("large", "1" * 64, 2, "assessed"),
    )
    ledger.items.assess(item, effort="unknown", risk="high")
    assert ledger.items.get(item).effort == "large"
    kept = ledger.items.assessments(item)
    assert [(one.version, one.error, one.model, one.output_tokens, one.cost_usd_micros) for one in kept] == [
        (3, None, None, None, None),
        (2, "no answer in 60 s", "m", 0, None),
        (1, None, "m", None, None),
    ]
    [cost] = ledger.costs.list(item=item)
    assert (cost.item_id, cost.assessment, cost.purpose, cost.agent, cost.priced) == (
        item,
        2,
        "scope",
        "ana",
        "unknown",
    )
    assert ledger.items.get(item).assessed_by == "ana"


def test_failed_first_assessment_leaves_the_item_where_it_was(ledger: Ledger) -> None:
    item = accepted(ledger, "x")
    came = ledger.items.assess(item, error="no answer")
    assert (came.item.status, came.item.assessed_at, came.assessment.answer) == ("triaged", None, None)


def test_title_of_a_person_stays_and_that_of_a_model_goes(ledger: Ledger) -> None:
    own = accepted(ledger, "x", title="Mine")
    ledger.items.assess(own, title="Another", model="m")
    assert ledger.items.get(own).title == "Mine"
    other = accepted(ledger, "y")
    ledger.items.assess(other, title="First", model="m")
    ledger.items.assess(other, title="Second", model="m")
    assert ledger.items.get(other).title == "Second"
    ledger.items.update(other, title="Mine")
    ledger.items.assess(other, title="Third", model="m")
    assert ledger.items.get(other).title == "Mine"
    ledger.items.assess(other, title="Still mine")
    assert ledger.items.get(other).title == "Still mine"


def test_others_are_known_by_number_by_title_and_nearly_by_title(ledger: Ledger) -> None:
    accepted(ledger, "Rewrite the session store")
    accepted(ledger, "x", title="Move the settings into one file")
    ledger.items.create(text="Rewrite the session store", project="other")
    item = accepted(ledger, "Fix the login")
    came = ledger.items.assess(
        item,
        dependencies=["rewrite the *session store*", "Move the settings in one file", "Paint the shed", "W99", "W4"],
        overlaps=["W2 (settings)", "Fix the login"],
    )
    assert [(one.item, one.how) for one in came.dependencies] == [
        ("W1", "same title"),
        ("W2", "near title"),
        (None, "no such item"),
        (None, "no such item"),
        ("W4", "itself"),
    ]
    assert [(one.item, one.how) for one in came.overlaps] == [("W2", "by number"), ("W4", "itself")]
    assert came.item.blocked_by == ["W1", "W2"]
    assert came.assessment.answer is not None
    assert came.assessment.answer.dependencies == came.dependencies
    assert ledger.items.assessments(item)[0].answer == came.assessment.answer


def test_words_that_share_a_little_are_no_match(ledger: Ledger) -> None:
    accepted(ledger, "Rewrite the session store")
    accepted(ledger, "Rewrite the billing store")
    item = accepted(ledger, "x")
    [meant] = ledger.items.assess(item, dependencies=["Rewrite the vector store"]).dependencies
    assert meant.item is None


def test_circle_is_left_out_and_told(ledger: Ledger) -> None:
    first, second = accepted(ledger, "First thing"), accepted(ledger, "Second thing")
    ledger.items.depend(first, on=second)
    [meant] = ledger.items.assess(second, dependencies=["First thing"]).dependencies
    assert (meant.item, meant.how) == ("W1", "would make a circle")
    assert ledger.items.get(second).blocked_by == []
    assert ledger.items.get(second).status == "assessed"


def test_done_items_are_nothing_to_wait_for(ledger: Ledger) -> None:
    ledger.items.done(accepted(ledger, "First thing"))
    item = accepted(ledger, "Second thing")
    assert [one.item for one in ledger.items.assess(item, dependencies=["First thing", "W1"]).dependencies] == [
        None
    ] * 2


def test_too_much_is_refused(ledger: Ledger) -> None:
    item = accepted(ledger, "x")
    for given in ({"sub_tasks": ["a"] * 21}, {"sub_tasks": ["a" * 501]}, {"input_hash": "f"}, {"effort": "tiny"}):
        with pytest.raises(BadInput):
            ledger.items.assess(item, **given)  # type: ignore[arg-type]
    assert ledger.items.get(item).assessment_version == 0


def test_many_at_once_have_each_its_version(ledger: Ledger) -> None:
    item = accepted(ledger, "x")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledger.items.assess(item, summary=f"s{number}"), range(8)))
    assert sorted(one.version for one in ledger.items.assessments(item)) == [*range(1, 9)]
