"""Work items are known again whatever people do to their files: measured over histories with known answers."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.model.found import Found, FoundFile
from shoal.services.matching.assignment import assign
from shoal.services.matching.pairs import KnownItem, Matching, Place, match
from tests.services.histories import KINDS, Document, Follower, follow

ENOUGH = 0.98
# A line of which nobody can say whether it was reworded or replaced, as the edits are made up without regard to sense.
KINDS_ENOUGH = {"reword": 0.95, "replace": 0.95}


def allowed(total: int, enough: float = ENOUGH) -> float:
    """How many of so many may be mistaken; one always, as of a few lines one is more than two in a hundred."""
    return max(1.0, (1 - enough) * total)


def file(*lines: str, path: str = "TODO.md", heading: Sequence[str] = ("Plan",)) -> FoundFile:
    found = [Found(line=number, text=line, heading=list(heading)) for number, line in enumerate(lines, start=1)]
    return FoundFile(path=path, hash="0" * 64, found=found)


def known(*files: FoundFile, gone: Sequence[str] = ()) -> list[KnownItem]:
    """The items of files, numbered from 1."""
    numbers = itertools.count(1)
    items = [
        KnownItem(
            id=next(numbers), path=one.path, place=place, line=found.line, text=found.text, heading=tuple(found.heading)
        )
        for one in files
        for place, found in enumerate(one.found)
    ]
    return items + [
        KnownItem(id=next(numbers), path="TODO.md", place=0, line=1, text=text, seen=False) for text in gone
    ]


def ids(matching: Matching, path: str = "TODO.md") -> dict[int, int]:
    return {pair.at.place: pair.item for pair in matching.pairs if pair.at.path == path}


def why(matching: Matching, item: int) -> str:
    return next(pair.why for pair in matching.pairs if pair.item == item)


def test_unchanged_file_matches_line_by_line() -> None:
    lines = file("Fix the login", "Write tests", "Write tests", "Update the docs")
    matching = match(known(lines), [lines])
    assert ids(matching) == {0: 1, 1: 2, 2: 3, 3: 4}
    assert (matching.new, matching.unseen) == ([], [])
    assert not any(pair.moved for pair in matching.pairs)


def test_moved_and_reworded_items_say_by_what_they_are_known() -> None:
    before = file("Fix the login page", "Rotate the session secret", "Write the guide for admins", "Drop the old queue")
    after = file(
        *("A new first thing", "Rotate the session secret", "Write the long guide for admins", "Drop the old queue"),
        "Fix the login page",
    )
    matching = match(known(before), [after])
    assert ids(matching) == {1: 2, 2: 3, 3: 4, 4: 1}
    assert matching.new == [Place("TODO.md", 0)]
    assert why(matching, 1) == "same text, 4 lines further down, under the same heading"
    assert why(matching, 3).startswith("reworded (")
    assert [pair.item for pair in matching.pairs if pair.moved] == [1]


def test_same_text_in_two_files_is_two_items() -> None:
    both = [file("Fix the login"), file("Fix the login", path="docs/plans/x.md")]
    matching = match(known(*both), both)
    assert {(pair.item, pair.at.path) for pair in matching.pairs} == {(1, "TODO.md"), (2, "docs/plans/x.md")}
    matching = match(known(both[0]), both)
    assert (ids(matching), matching.new) == ({0: 1}, [Place("docs/plans/x.md", 0)])
    matching = match(known(both[0]), both[1:])
    assert why(matching, 1) == "same text, moved from TODO.md to docs/plans/x.md, under the same heading"


def test_equal_lines_are_kept_apart_by_their_neighbours() -> None:
    before = file("Login", "Write tests", "Logout", "Write tests", "Upload", "Write tests")
    after = file("Upload", "Write tests", "Login", "Write tests", "Logout", "Write tests")
    assert ids(match(known(before), [after])) == {0: 5, 1: 6, 2: 1, 3: 2, 4: 3, 5: 4}
    fewer = file("Login", "Write tests", "Logout", "Upload", "Write tests")
    matching = match(known(before), [fewer])
    assert (ids(matching), matching.unseen) == ({0: 1, 1: 2, 2: 3, 3: 5, 4: 6}, [4])


def test_id_of_its_own_decides_when_the_text_is_another() -> None:
    item = KnownItem(id=1, path="TODO.md", place=0, line=1, text="Fix the login", heading=("Plan",), called="t001.1")
    here = Found(line=9, text="Sessions end when they should", heading=["Plan"], id="t001.1")
    other = Found(line=3, text="Fix the login", heading=["Plan"], id="t009")
    matching = match([item], [FoundFile(path="TODO.md", hash="0" * 64, found=[other, here])])
    assert ids(matching) == {1: 1}
    assert "the same id t001.1" in why(matching, 1)


def test_renamed_file_keeps_its_items_with_git_and_without() -> None:
    lines = ("Fix the login", "Write tests", "Update the docs", "Write tests")
    for renamed in ({"docs/todo.md": "TODO.md"}, {}):
        matching = match(known(file(*lines)), [file(*lines, path="docs/todo.md")], renamed)
        assert ids(matching, "docs/todo.md") == {0: 1, 1: 2, 2: 3, 3: 4}
        assert why(matching, 1).startswith("same text, in the renamed file docs/todo.md, formerly TODO.md")


def test_better_half_of_a_split_item_keeps_the_identity() -> None:
    before = file("Something else", "Rotate the session secret every week and warn the admins", "The end")
    after = file("Something else", "Rotate the session secret every week", "Warn the admins", "The end")
    matching = match(known(before), [after])
    assert ids(matching) == {0: 1, 1: 2, 3: 3}
    assert matching.split == {Place("TODO.md", 2): 2}


def test_what_was_gone_comes_back_only_with_its_words() -> None:
    gone = "Rotate the session secret every week"
    assert ids(match(known(gone=[gone]), [file(gone)])) == {0: 1}
    assert ids(match(known(gone=[gone]), [file("Rotate the session secret for admins")])) == {}


def test_another_line_in_the_same_place_is_another_item() -> None:
    matching = match(known(file("a b c", "Fix the login", "d e f")), [file("a b c", "Buy new chairs", "d e f")])
    assert (matching.new, matching.unseen) == ([Place("TODO.md", 1)], [2])


def test_other_work_in_the_frame_of_a_line_is_another_item() -> None:
    names = ("parser", "lexer v2", "cache", "mail client", "login")
    before = file(*(f"Write tests for the {name}" for name in names))
    after = file(*(f"Write tests for the {name}" for name in ("parser", "billing", "cache", "mail client", "login")))
    matching = match(known(before), [after])
    assert (ids(matching), matching.new, matching.unseen) == ({0: 1, 2: 3, 3: 4, 4: 5}, [Place("TODO.md", 1)], [2])
    reworded = file(*(f"Write more tests for the {name}" for name in names))
    assert ids(match(known(before), [reworded])) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32),
    st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5), min_size=1, max_size=12),
)
def test_identities_survive_any_history(seed: int, versions: list[list[str]]) -> None:
    document = Document(seed, items=40)
    follower = Follower(document)
    follower.look()
    wrong: list[str] = []
    for edits in versions:
        for kind in edits:
            document.edit(kind)
        wrong += follower.look()
    # A line that is wrong by itself drags none with it: every version is judged by the one before.
    assert follower.all["all"] - follower.right["all"] <= allowed(follower.all["all"]), wrong
    for matched in (follower.last.pairs,):
        assert len({pair.item for pair in matched}) == len({pair.at for pair in matched}) == len(matched)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"insert", "delete", "restore"}))
def test_each_kind_of_edit_keeps_identities(kind: str) -> None:
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in (3, 4):
        follower, told = follow(Document(seed, items=80), [kind, "delete", "insert"], versions=60, edits=3)
        right, total, wrong = right + follower.right, total + follower.all, wrong + told
    assert total[kind] > 0
    assert total[kind] - right[kind] <= allowed(total[kind], KINDS_ENOUGH.get(kind, ENOUGH)), wrong
    assert right["untouched"] >= 0.999 * total["untouched"]


def test_long_history_of_a_large_file_keeps_identities() -> None:
    """300 items, 200 versions, up to six edits between two of them; those that stay are who they were at first."""
    follower, wrong = follow(Document(6, items=300, files=1), KINDS, versions=200, edits=6)
    rates = {kind: round(follower.right[kind] / total, 4) for kind, total in sorted(follower.all.items())}
    right, total = follower.lasting()
    print(f"{right} of {total} lasting; by kind of edit: {rates}")
    assert right >= ENOUGH * total, wrong
    assert rates["all"] >= 0.999, rates
    assert rates["new"] >= ENOUGH, rates  # other work in the place of a line among them


def test_edited_file_of_2700_items_matches_at_once() -> None:
    document = Document(1, items=2700, files=1)
    follower = Follower(document)
    follower.look()
    for _ in range(60):
        document.edit(document.random.choice(KINDS))
    files, _ = document.found()
    start = time.perf_counter()
    match(follower.known, files, document.renamed)
    seconds = time.perf_counter() - start
    print(f"{seconds:.3f} s")
    assert seconds < 3  # 0.1 s when the machine has nothing else to do


@pytest.mark.parametrize("lines", [["Write tests"] * 400, [f"Do {n % 7} {n % 11} {n % 5}" for n in range(1500)]])
def test_many_lines_that_are_alike_take_no_forever(lines: list[str]) -> None:
    before, after = file(*lines), file("Something new", *lines[5:], "Write tests")
    start = time.perf_counter()
    matching = match(known(before), [after])
    assert time.perf_counter() - start < 10
    assert len(matching.pairs) >= len(lines) - 5


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.integers(1, 9), max_size=14))
def test_assignment_has_the_greatest_sum(gains: dict[tuple[int, int], int]) -> None:
    def best(rows: list[int], taken: frozenset[int]) -> int:
        if not rows:
            return 0
        first, rest = rows[0], rows[1:]
        alone = best(rest, taken)
        given = [
            gains[first, column] + best(rest, taken | {column})
            for row, column in gains
            if row == first and column not in taken
        ]
        return max([alone, *given])

    chosen = assign({pair: float(gain) for pair, gain in gains.items()})
    assert len(set(chosen.values())) == len(chosen)
    assert sum(gains[pair] for pair in chosen.items()) == best(sorted({row for row, _ in gains}), frozenset())
