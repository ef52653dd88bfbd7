"""Patterns of paths: what each sign means, held against a plain reading of the rules, and that none takes for ever."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInput
from shoal.model.path_pattern import fits, matches


@pytest.mark.parametrize(
    ("pattern", "path", "does"),
    [
        ("*.md", "README.md", True), ("*.md", "docs/a.md", True), ("*.md", "b.mdx", False), ("/*.md", "a.md", True),
        ("/*.md", "docs/a.md", False), ("./TODO", "TODO", True), ("./TODO", "a/TODO", False), ("TODO", "a/TODO", True),
        ("docs/", "docs/a/b.md", True), ("docs/", "x/docs/a.md", True), ("docs/", "docs", False),
        ("/docs/", "x/docs/a.md", False), ("a/docs/", "a/docs/b", True), ("a/docs/", "x/a/docs/b", False),
        ("docs/*", "docs/a.md", True), ("docs/*", "docs/a/b.md", False), ("docs/*", "x/docs/a.md", False),
        ("docs/**", "docs/a/b.md", True), ("docs/**", "docs", False), ("src/**", "srcs/a.py", False),
        ("src/**", "../src/a.py", False), ("**", "a/b", True), ("/", "a/b", True), ("*", "a/b", True),
        ("**/a.md", "a.md", True), ("**/a.md", "x/y/a.md", True), ("**/a.md", "x/ya.md", False),
        ("a/**/b", "a/b", True), ("a/**/b", "a/x/y/b", True), ("a/**/b", "a/x/yb", False), ("a**b/c", "a/b/c", False),
        ("src/*.{py,js}", "src/a.js", True), ("src/*.{py,js}", "src/a.ts", False), ("{a,b/c}.md", "x/a.md", True),
        ("{a,b/c}.md", "b/c.md", True), ("{a,b/c}.md", "x/b/c.md", False), ("{a,{b,c}}", "c", True),
        ("{a,}b", "b", True),
        ("{a}", "{a}", True), ("a,b", "a,b", True), ("}{", "}{", True), ("{a,b", "{a,b", True),
        ("[ab].md", "x/b.md", True), ("[ab].md", "c.md", False), ("[!ab].md", "c.md", True),
        ("[^ab].md", "a.md", False),
        ("[a-c]", "b", True), ("[c-a]", "b", False), ("[!c-a]", "b", True), ("[]a]", "]", True), ("[!]", "!", True),
        ("[", "[", True), ("[]", "[]", True), ("[[]id].tsx", "app/[id].tsx", True), ("x[+-9]y", "x/y", False),
        ("x[!a]y", "x/y", False), ("[*?]", "*", True), ("[*?]", "a", False), ("?.md", "ab.md", False),
        ("a.b", "aXb", False), ("a+(.py", "a+(.py", True), ("ä*", "x/äö", True), ("SRC/**", "src/a", False),
        ("src/**", "src/a\n.py", True), ("*", ".hidden", True), ("", "a", False), ("a", "a\n", False),
        ("!a", "!a", True),
    ],
)  # fmt: skip
def test_signs_mean_what_people_know_from_git(pattern: str, path: str, does: bool) -> None:
    assert matches(path, pattern) is does


def test_list_names_what_one_does_and_none_takes_out() -> None:
    assert fits("docs/a.md", ["*.txt", "*.md"])
    assert not fits("docs/old/a.md", ["!docs/old/", "*.md"])
    assert not fits("docs/a.md", [])
    assert not fits("docs/a.md", ["!old"])
    assert fits("!a", ["/!a"])


def plainly(path: str, pattern: str) -> bool:
    """The rules, read one sign after the other, trying everything."""
    if pattern.startswith("/"):
        pattern = pattern[1:]
    elif "/" not in pattern[:-1]:
        pattern = f"**/{pattern}"
    if pattern.endswith("/"):
        pattern += "**"
    return below(tuple(path.split("/")), tuple(pattern.split("/")))


def below(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**":
        if len(parts) == 1:
            return True
        return any(below(names[start:], parts[1:]) for start in range(len(names)))
    return within(names[0], parts[0]) and below(names[1:], parts[1:])


def within(name: str, part: str) -> bool:
    if not part:
        return not name
    if part[0] == "*":
        return any(within(name[start:], part[1:]) for start in range(len(name) + 1))
    if part.startswith("[ab]"):
        return name[:1] in ("a", "b") and within(name[1:], part[4:])
    return bool(name) and part[0] in (name[0], "?") and within(name[1:], part[1:])


NAMES = st.text("ab", min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
PARTS = st.sampled_from(["**", "**"]) | st.lists(
    st.sampled_from(["a", "b", "*", "?", "[ab]"]), min_size=1, max_size=5
).map("".join).filter(lambda part: part != "**")
PATTERNS = st.tuples(
    st.sampled_from(["", "/"]), st.lists(PARTS, min_size=1, max_size=5), st.sampled_from(["", "/"])
).map(lambda given: given[0] + "/".join(given[1]) + given[2])


@settings(max_examples=1500, deadline=None)
@given(path=PATHS, pattern=PATTERNS)
def test_any_pattern_says_what_the_rules_say(path: str, pattern: str) -> None:
    assert matches(path, pattern) is plainly(path, pattern)


@settings(max_examples=300, deadline=None)
@given(path=st.text(min_size=1, max_size=20), pattern=st.text("ab/*?[]{},!^-.\n", max_size=20))
def test_no_pattern_makes_it_fail(path: str, pattern: str) -> None:
    assert matches(path, pattern) in (True, False)


@settings(max_examples=200, deadline=None)
@given(path=PATHS, one=PATTERNS, other=PATTERNS)
def test_alternatives_are_as_two_patterns(path: str, one: str, other: str) -> None:
    assert matches(path, f"{{{one},{other}}}") is (matches(path, one) or matches(path, other))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**/" * 50 + "c" + "*" * 50, "a/" * 3000 + "b"),
        ("*a" * 40 + "c", "a" * 6000),
        ("**/*a*a*a/" * 20 + "c", "aaaa/" * 2000 + "b"),
        ("**/a/" * 40 + "c", "a/" * 6000 + "b"),
        ("{a,aa}" * 9 + "c", "a" * 6000),
        ("?*" * 40 + "c", "a" * 6000),
    ],
)
def test_no_pattern_takes_for_ever(pattern: str, path: str) -> None:
    before = time.process_time()
    assert not matches(path, pattern)
    assert time.process_time() - before < 1


def test_too_many_alternatives_are_refused() -> None:
    with pytest.raises(BadInput, match="has more than 1000 alternatives; write several patterns"):
        matches("a", "{a,b}" * 60)
