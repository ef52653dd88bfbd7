"""When a task is done: criteria that are commands, comparisons or a person's, and what kinds of tasks ask for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapters.processes.commands import Commands
from shoal.adapters.processes.groups import Groups
from shoal.model.session import Branch
from shoal.worker import comparison
from shoal.worker.comparison import Comparison, Unreadable, parse
from shoal.worker.verification import REASON_LIMIT, Verdict, verify
from tests.worker.places import criteria, task_of

RESULT = {"tests": {"passed": 12, "names": ["a", "b"]}, "url": "https://h/x", "note": "", "rate": 0.5, "ok": True}
WORK = Branch("acme/pond", "shoal/T42", "a", "b", commits=1)


@pytest.fixture
def run_command(tmp_path: Path) -> Iterator[Commands]:
    groups = Groups()
    yield Commands(groups, log=tmp_path / "log", environment=os.environ, grace_seconds=0.2)
    groups.close()


@pytest.fixture
def check(run_command: Commands, tmp_path: Path) -> Any:
    def one(*measurable: str | None, result: Any = RESULT, text: str = "text", **task: Any) -> Verdict:
        given: dict[str, Any] = {"branches": [], "pull_requests": [], "seconds": 20.0}
        given |= {name: task.pop(name) for name in list(task) if name in given}
        return verify(
            task_of(success_criteria=criteria(*measurable), **task),
            folder=tmp_path,
            result=result,
            result_text=text,
            branches=given["branches"],
            pull_requests=given["pull_requests"],
            run_command=run_command,
            environment={"EXTRA": "extra"},
            command_seconds=given["seconds"],
        )

    return one


def test_command_holds_when_it_ends_with_0(check: Any, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert check("test -f there", 'test "$EXTRA" = extra') == Verdict([], [])
    [failure] = check("echo 3 tests failed >&2; exit 1").failed
    assert failure.criterion == "criterion 1"
    assert failure.reason == "`echo 3 tests failed >&2; exit 1` ended with 1: 3 tests failed"


def test_prose_is_no_command_and_that_is_said(check: Any) -> None:
    [failure] = check("everybody is happy").failed
    assert "what a person must judge is `manual`" in failure.reason


def test_manual_is_a_persons(check: Any) -> None:
    verdict = check("manual", "Manual: look at the colours", "true")
    assert verdict == Verdict([], ["criterion 1", "criterion 2"])


def test_criterion_with_nothing_to_measure_is_a_persons(check: Any) -> None:
    assert check(None, "", "   ", "true") == Verdict([], ["criterion 1", "criterion 2", "criterion 3"])


def test_every_criterion_is_checked_whatever_came_of_the_others(check: Any) -> None:
    verdict = check("false", "manual", "result.tests.passed > 100", "true", "exit 2")
    assert [failure.criterion for failure in verdict.failed] == ["criterion 1", "criterion 3", "criterion 5"]
    assert verdict.manual == ["criterion 2"]


def test_a_dollar_makes_anything_a_command(check: Any, tmp_path: Path) -> None:
    program = tmp_path / "result"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    [failure] = check("$ PATH=.:$PATH; result --check").failed
    assert "ended with 7" in failure.reason
    assert check("$ ./result; test $? = 7", "results=1; test $results = 1").failed == []


@pytest.mark.parametrize("kind", ["swe", "Bug", "feature"])
def test_code_needs_commits_or_a_pull_request(check: Any, kind: str) -> None:
    code = {"type": kind, "repos": ["acme/pond"]}
    [failure] = check(**code).failed
    assert failure.criterion == "commits or a pull request"
    assert check(**code, branches=[msgspec.structs.replace(WORK, commits=0)]).failed == [failure]
    assert check(**code, branches=[WORK]).failed == []
    assert check(**code, pull_requests=["https://h/pull/1"]).failed == []
    assert check(type=kind, repos=[]).failed == [], "there is no repository to commit to"


def test_research_needs_a_result(check: Any) -> None:
    assert check(type="research", text=" \n").failed[0].criterion == "a result"
    assert check(type="research", text="found").failed == []
    assert check(type="research", text="found", repos=["acme/pond"]).failed == []
    assert check(type="chat", text="", repos=["acme/pond"]).failed == []


def test_hostile_commands_end_and_say_little(check: Any) -> None:
    verdict = check("yes " + "x" * 1000, "sleep 1000 & sleep 1000", "sleep 1000 & false", seconds=0.5)
    assert len(verdict.failed) == 3
    assert all(len(failure.reason) <= REASON_LIMIT + 3 for failure in verdict.failed)
    assert "stopped after" in verdict.failed[1].reason
    assert "ended with 1" in verdict.failed[2].reason
    [failure] = check(r"printf 'a\0b'; false").failed
    assert failure.reason.endswith("ended with 1: ab")


@pytest.mark.parametrize(
    "holds",
    [
        "result.tests.passed >= 10",
        "result.tests.passed>=12",
        "result.tests.passed == 12.0",
        "result.tests.passed != 13",
        "result.tests.names[1] == \"b\"",
        "result.tests.names[-1] == \"b\"",
        "result[\"tests\"][\"passed\"] < 13",
        "result.tests.names == [\"a\", \"b\"]",
        "result.tests.names contains \"a\"",
        "result.tests contains \"passed\"",
        "result.url is set",
        "result.note is not set",
        "result.missing.deeper is  not  set ",
        "result.missing == null",
        "result.error != \"bad\"",
        "result.url matches \"^https://\"",
        "result.url contains \"://\"",
        "result.rate <= 0.5",
        "result.url < \"z\"",
        "result.ok == true",
        "result is set",
    ],
)  # fmt: skip
def test_comparison_holds(check: Any, holds: str) -> None:
    assert check(holds).failed == []


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("result.tests.passed > 12", "result.tests.passed is 12"),
        ("result.ok == 1", "result.ok is true"),
        ("result.tests.passed == true", "result.tests.passed is 12"),
        ("result.missing > 3", "result.missing is not there, which has no order with 3"),
        ("result.url > 3", "which has no order with 3"),
        ("result.ok > false", "which has no order"),
        ("result.tests.names contains 3", "result.tests.names is a list of 2"),
        ("result.rate contains 3", "which cannot contain 3"),
        ("result.tests.passed matches \"1\"", "only text matches"),
        ("result.url matches \"^ftp\"", "result.url is \"https://h/x\""),
        ("result.note is set", "result.note is \"\""),
        ("result.tests.names[7] == \"a\"", "result.tests.names[7] is not there"),
        ("result.url.deeper is set", "not there"),
        ("result.tests.passed = 12", "comes one of =="),
        ("result.tests.passed == twelve", "text stands in double quotes"),
        ("result.url == 'x'", "text stands in double quotes"),
        ("result.url is there", "after `is` comes"),
        ("result.url matches \"(\"", "no regular expression"),
        ("result.url matches 3", "a pattern in double quotes"),
        ("result.", "comes one of =="),
        ("result", "comes one of =="),
        ("result.a == 1 and result.b == 2", "no JSON"),
        ("result.__class__ == \"x\"", "result.__class__ is not there"),
        ("result.a == __import__(\"os\")", "no JSON"),
    ],
)  # fmt: skip
def test_comparison_does_not_hold_and_says_why(check: Any, measure: str, said: str) -> None:
    [failure] = check(measure).failed
    assert said in failure.reason


def test_huge_results_are_compared_and_not_shown(check: Any) -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    result = {"list": list(range(200_000)), "text": "x" * 5_000_000, "deep": deep, "nul": "a\0b"}
    verdict = check(
        "result.list contains -1",
        'result.text == "y"',
        'result.text matches "y"',
        "result.deep == [1]",
        'result.nul == "ab"',
        result=result,
    )
    assert len(verdict.failed) == 5
    assert all(len(failure.reason) < 500 and "\0" not in failure.reason for failure in verdict.failed)


def test_pattern_that_never_ends_is_ended(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MATCH_SECONDS", 0.5)
    [failure] = check('result.x matches "^(a+)+$"', result={"x": "a" * 50 + "!"}).failed
    assert "took longer" in failure.reason


def test_no_result_at_all_is_nothing(check: Any) -> None:
    assert check("result is not set", "result.a == null", result=None).failed == []
    assert len(check("result is set", "result[0] == 1", result=None).failed) == 2


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
STEP = TEXT | st.integers(-9, 9)
OPERATOR = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "contains"])


@given(path=st.lists(STEP, max_size=4), operator=OPERATOR, value=JSON)
def test_what_is_written_is_read_as_it_was_meant(path: Sequence[str | int], operator: str, value: Any) -> None:
    meant = Comparison(list(path), operator, value)
    read = parse(str(meant))
    assert (read.operator, read.value) == (operator, value)
    assert [str(step) for step in read.path] == [str(step) for step in path]
    assert str(read) == str(meant) or any(isinstance(step, str) for step in path)


@given(text=st.text(), result=JSON)
def test_any_text_is_read_or_refused(text: str, result: Any) -> None:
    for measure in (text, f"result{text}", f"result.a == {text}", f"result.a {text}"):
        try:
            read = parse(measure)
        except Unreadable:
            continue
        if read.operator != "matches":
            objection = read.objection(result)
            assert objection is None or len(objection) < 3000


@given(value=JSON, other=JSON)
def test_what_a_path_finds_is_compared_as_json_is(value: Any, other: Any) -> None:
    held = {"at": [value]}
    assert Comparison(["at", 0], "==", value).objection(held) is None
    same = msgspec.json.encode(value) == msgspec.json.encode(other)
    equal = Comparison(["at", 0], "==", other).objection(held) is None
    assert equal != (Comparison(["at", 0], "!=", other).objection(held) is None)
    assert equal or not same
    assert Comparison(["at"], "contains", value).objection(held) is None


@given(one=NUMBER, other=NUMBER)
def test_numbers_have_one_order(one: float, other: float) -> None:
    signs = [sign for sign in ("<", "==", ">") if Comparison([], sign, other).objection(one) is None]
    assert len(signs) == 1
    assert (Comparison([], "<=", other).objection(one) is None) == (signs[0] in "<==")
    assert (Comparison([], ">=", other).objection(one) is None) == (signs[0] in ">==")


@pytest.mark.parametrize(("pattern", "text"), [("b+", "abbc"), ("^b", "abb"), ("ä$", "mä"), ("a.c", "a\nc")])
def test_matching_finds_what_a_search_finds(pattern: str, text: str) -> None:
    objection = Comparison([], "matches", pattern).objection(text)
    assert (objection is None) == (re.search(pattern, text) is not None)
