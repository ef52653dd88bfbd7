"""The shared context's YAML: what is set comes back, and every line of another key stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from shoal.adapters.vault import context_file
from shoal.errors import VaultError

KEYS = st.text("abcxyz012._-", min_size=1, max_size=12)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=8,
)


def set_(text: str | None, key: str, value: Any) -> str:
    return context_file.updated("T1", text, key=key, value=value, at="2026-01-01T00:00:00.000Z", by="ana")


@example([("00", {"\x85": None})])
@given(st.lists(st.tuples(KEYS, VALUES), max_size=8))
def test_what_was_set_last_comes_back(changes: list[tuple[str, Any]]) -> None:
    text: str | None = None
    expected: dict[str, Any] = {}
    for key, value in changes:
        text = set_(text, key, value)
        expected[key] = value
    assert context_file.read("T1", text).values == expected


@given(st.dictionaries(KEYS, VALUES, min_size=2, max_size=6), VALUES, st.data())
def test_lines_of_other_keys_stay(values: dict[str, Any], new: Any, data: st.DataObject) -> None:
    text: str | None = None
    for key, value in values.items():
        text = set_(text, key, value)
    assert text is not None
    chosen = data.draw(st.sampled_from(sorted(values)))
    changed = set_(text, chosen, new)
    blocks, after = blocks_of(text), blocks_of(changed)
    assert {key: block for key, block in blocks.items() if key != chosen} == {
        key: block for key, block in after.items() if key != chosen
    }
    assert list(blocks) == list(after)


def blocks_of(text: str) -> dict[str, str]:
    """The lines of each shared key."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    [inner] = [value for key, value in root.value if key.value == "context"]
    starts = [(key.value, key.start_mark.index - key.start_mark.column) for key, _ in inner.value]
    ends = [start for _, start in starts[1:]] + [len(text)]
    return {key: text[start:end] for (key, start), end in zip(starts, ends, strict=True)}


HAND_WRITTEN = """# about this task
task_id: "T1"   # quoted
extra: {flow: [1,2]}

context:
    # four spaces here
    first: 'one'  # why

    second:
        - a
        -   b   # odd
    third: |
        text

        more

# the end
tail: x
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_file_written_by_hand_keeps_its_manner(newline: str) -> None:
    text = set_(HAND_WRITTEN.replace("\n", newline), "second", {"k": "v"})
    expected = HAND_WRITTEN.replace("    second:\n        - a\n        -   b   # odd\n", "    second:\n      k: v\n")
    expected += "updated_at: 2026-01-01T00:00:00.000Z\nupdated_by: ana\n"
    assert text == expected.replace("\n", newline)
    text = set_(text, "new", [1])
    assert (
        f"    third: |{newline}        text{newline}{newline}        more{newline}    new:{newline}    - 1{newline}"
        in text
    )
    assert context_file.read("T1", text).values == {
        "first": "one",
        "second": {"k": "v"},
        "third": "text\n\nmore\n",
        "new": [1],
    }


@pytest.mark.parametrize(
    "start", ["", "context:\n", "context: {}  # none yet\n", "context: ~\nmore: 1\n", "task_id: T1", "# only\n"]
)
def test_key_goes_into_a_file_that_has_none(start: str) -> None:
    text = set_(start, "key", {"a": [1]})
    assert context_file.read("T1", text).values == {"key": {"a": [1]}}
    assert all(comment in text for comment in ("# none yet", "# only") if comment in start)


@pytest.mark.parametrize(
    "broken",
    [
        "context: [a",
        "- a\n",
        "context: text\n",
        "context: {a: 1}\n",
        "a: 1\na: &x [*x]\ncontext:\n\t- a\n",
        "{" * 60_000,
    ],
)
def test_file_that_cannot_be_changed_line_by_line_is_refused(broken: str) -> None:
    with pytest.raises(VaultError):
        set_(broken, "key", 1)
