"""Front matter: what is changed, and that nothing else is."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapters.vault.front_matter import Bare, FrontMatter, Unreadable, Value

FILE = """---
# Shoal writes some of these
id: T42
name: "Fix: thé | thing"   # why ✓
tags: [a, b ]
created: 2026-02-15
empty:   # nothing yet
'quoted key' : 'it''s'
text: |
  two
  lines

repos:
  - x
  - w   # second
nul: ~
anchor: &x foo
alias: *x
nested: {deep: [1, 2], other: {}}
last: 1
---

# Title

---
id: not this one
---
"""


def changed(text: str, **values: Value) -> str:
    return FrontMatter(text).changed(values)


def test_values_are_text_lists_or_nothing() -> None:
    values = FrontMatter(FILE).values
    assert values["id"] == "T42"
    assert values["name"] == "Fix: thé | thing"
    assert values["tags"] == ["a", "b"]
    assert values["created"] == "2026-02-15"
    assert values["empty"] is None
    assert values["nul"] is None
    assert values["quoted key"] == "it's"
    assert values["text"] == "two\nlines\n"
    assert values["repos"] == ["x", "w"]
    assert "nested" not in values
    assert FrontMatter(FILE).body.startswith("\n# Title\n")


@pytest.mark.parametrize(
    ("values", "before", "after"),
    [
        ({"id": "T43"}, "id: T42\n", "id: T43\n"),
        ({"name": 'a "b"'}, 'name: "Fix: thé | thing"   # why ✓', 'name: "a \\"b\\""   # why ✓'),
        ({"quoted key": "isn't"}, "'it''s'", "'isn''t'"),
        ({"tags": ["a", "c, d"]}, "[a, b ]", '[a, "c, d" ]'),
        ({"tags": []}, "[a, b ]", "[]"),
        ({"tags": None}, "tags: [a, b ]", "tags:"),
        ({"repos": ["z"]}, "  - x\n  - w   # second", "  - z   # second"),
        ({"repos": ["x", "w", "z: 1"]}, "  - w   # second", '  - w   # second\n  - "z: 1"'),
        ({"repos": ["x", "v"]}, "  - w   # second", "  - v   # second"),
        ({"repos": ["x"]}, "\n  - w   # second", "   # second"),
        ({"tags": ["a", "b", "c"]}, "[a, b ]", "[a, b, c ]"),
        ({"tags": ["a"]}, "[a, b ]", "[a ]"),
        ({"repos": None}, "repos:\n  - x\n  - w   # second", "repos:   # second"),
        ({"repos": "one"}, "repos:\n  - x\n  - w   # second", "repos: one   # second"),
        ({"empty": "now"}, "empty:   # nothing yet", "empty: now   # nothing yet"),
        ({"text": "short"}, "text: |\n  two\n  lines\n", "text: short\n"),
        ({"text": None}, "text: |\n  two\n  lines\n", "text:\n"),
        ({"nul": Bare("5")}, "nul: ~", "nul: 5"),
        ({"created": None}, "created: 2026-02-15", "created:"),
        ({"id": "2026-01-01"}, "id: T42", 'id: "2026-01-01"'),
        ({"id": "yes"}, "id: T42", 'id: "yes"'),
        ({"id": "a # b"}, "id: T42", 'id: "a # b"'),
        ({"id": "two\nlines"}, "id: T42", 'id: "two\\nlines"'),
        ({"new": "x", "list": ["a"]}, "last: 1\n", "last: 1\nnew: x\nlist: [a]\n"),
        ({"nested": None}, "nested: {deep: [1, 2], other: {}}", "nested:"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_value_changes(values: dict[str, Value], before: str, after: str, newline: str) -> None:
    text, before, after = (part.replace("\n", newline) for part in (FILE, before, after))
    assert text.count(before) == 1
    assert FrontMatter(text).changed(values) == text.replace(before, after)


def test_alias_is_not_guessed_at() -> None:
    with pytest.raises(Unreadable, match="line 18: alias"):
        changed(FILE, alias="y")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("---\nid: T1\n", "no later line closes"),
        ("---\nid: [1\n---\n", "line 3"),
        ("---\nid: 1\nid: 2\n---\n", "line 3: id stands there twice"),
        ("---\n- a\n---\n", "keys with values"),
        ("---\njust text\n---\n", "keys with values"),
        ("---\n? [a]\n: b\n---\n", "a key that is not text"),
        ("---\nid: \x01\n---\n", "not YAML"),
        ("---\nid: \udc80\n---\n", "not UTF-8"),
        ("---\na: " + "[" * 5000 + "]" * 5000 + "\n---\n", "nested too deeply"),
        ("---\n" + "- " * 5000 + "\n---\n", "nested too deeply"),
        ("---\na: " + "x" * 40_000 + "\n---\n", "too long"),
    ],
)
def test_what_cannot_be_read_is_said_so(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        FrontMatter(text)


@pytest.mark.parametrize("text", ["", "no front matter\n", "\ufeff# Title\n", "text\r\nmore"])
def test_file_without_front_matter_gets_some(text: str) -> None:
    new = changed(text, id="T1", empty=None)
    assert FrontMatter(new).values == {"id": "T1", "empty": None}
    assert FrontMatter(new).body == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    "text", ["---\n---\nbody", "---\n# only a comment\n---\n", "---\n{}\n---\n", "---\n{a: 1}\n---\n"]
)
def test_key_is_added_wherever_there_is_room(text: str) -> None:
    new = changed(text, id="T1", tags=["x, y"])
    assert FrontMatter(new).values["id"] == "T1"
    assert FrontMatter(new).values["tags"] == ["x, y"]
    assert FrontMatter(new).body == FrontMatter(text).body


texts = st.text(st.characters(codec="utf-8"), max_size=30)
values_ = st.one_of(st.none(), texts, st.lists(texts, max_size=4))
names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda name: name not in {"y", "n", "on", "no"})


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A file in which each key is written in one of the ways that people use."""
    keys = draw(st.lists(names, unique=True, max_size=6))
    lines = []
    for key in keys:
        value = draw(st.one_of(st.none(), st.from_regex(r"[a-zA-Z][a-zA-Z ]{0,8}[a-z]", fullmatch=True)))
        comment = draw(st.sampled_from(["", "   # why", " #"]))
        match draw(st.integers(0, 7)) if value is not None else -1:
            case -1:
                lines.append(f"{key}:{draw(st.sampled_from(['', ' ', ' ~', ' null']))}{comment}")
            case 0:
                lines.append(f'{key}: "{value}"{comment}')
            case 1:
                lines.append(f"{key} :  '{value}'{comment}")
            case 2:
                lines.append(f"{key}: [{value}, b ]{comment}")
            case 3:
                lines += [f"{key}:{comment}", f"  - {value}", "  # between", f"  - 'b'{comment}"]
            case 4:
                lines += [f"{key}: |", f"  {value}", "", f"  {value}"]
            case 5:
                lines += [f"{key}: >-", f"  {value}", ""]
            case 6:
                lines += [f"{key}: {value}", f"  {value}{comment}"]
            case _:
                lines.append(f"{key}: {value}{comment}")
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["# a comment", "", "   ", f"x{len(lines)}: {{deep: [1, 2]}}"])))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    body = draw(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
    return newline.join(["---", *lines, draw(st.sampled_from(["---", "---  ", "..."])), ""]) + body, keys


@given(file=files(), changes=st.dictionaries(names, values_, max_size=4), picks=st.lists(values_, max_size=6))
def test_any_change_is_read_back_and_touches_no_other_key(
    file: tuple[str, list[str]], changes: dict[str, Value], picks: list[Value]
) -> None:
    text, keys = file
    before = FrontMatter(text)
    changes = changes | dict(zip(keys, picks, strict=False))
    after = FrontMatter(before.changed(changes))
    expected = {**before.values, **changes}
    found = dict(after.values)
    for key, value in expected.items():
        # An empty list stands as nothing where there was a list in lines.
        assert found.pop(key) == value or (value == [] and after.values[key] in (None, []))
    assert not found
    assert after.body == before.body
    assert yaml.safe_load(after.text[after._start : after._end].replace("\x85", " ")) is not None or not expected
    assert before.changed({}) == text


@given(file=files(), data=st.data())
def test_lines_of_other_keys_stay_byte_for_byte(file: tuple[str, list[str]], data: st.DataObject) -> None:
    text, keys = file
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    before = FrontMatter(text)
    new = before.changed({key: data.draw(values_)})
    start = before._start + before._keys[key].end_mark.index
    following = [one.start_mark.index for one in before._keys.values() if one.start_mark.index > start - before._start]
    end = before._start + min(following) if following else before._end
    assert new.startswith(text[:start])
    assert new.endswith(text[end:])
