"""What is found in markdown, with known answers."""

from __future__ import annotations

from collections.abc import ItemsView
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shoal.adapters.git.files import Note
from shoal.adapters.scanners import ticking
from shoal.adapters.scanners.decoding import decoded, is_binary
from shoal.adapters.scanners.markdown import MOST_FOUND, TooMany, declares_work, scan
from shoal.adapters.scanners.markdown_files import scan_files
from shoal.errors import Refused
from shoal.model.found import Found, Mark
from shoal.model.item import Effort, Form


def texts(text: str, *, declared: bool = False) -> list[str]:
    return [one.text for one in scan(text, declared=declared)]


def one(text: str, *, declared: bool = False) -> Found:
    (found,) = scan(text, declared=declared)
    return found


def test_boxes_of_every_kind_keep_line_mark_and_parent() -> None:
    found = scan(
        "# Pond\n\n"
        "- [ ] Drain the pond\n"
        "  as far as the stones\n"
        "  - [x] Borrow the pump\n"
        "    * [-] Buy a pump\n"
        "  + [~] Ask the neighbours\n"
        "1. [X] Count the frogs\n"
        "2) [ ] Mend the fence\n"
        "> - [ ] Order reeds\n"
        ">   - [ ] Choose the reeds\n"
    )
    assert [(one.line, one.text, one.mark.value, one.above) for one in found] == [
        (3, "Drain the pond\nas far as the stones", "open", None),
        (5, "Borrow the pump", "done", 0),
        (6, "Buy a pump", "declined", 1),
        (7, "Ask the neighbours", "declined", 0),
        (8, "Count the frogs", "done", None),
        (9, "Mend the fence", "open", None),
        (10, "Order reeds", "open", None),
        (11, "Choose the reeds", "open", 6),
    ]
    assert {one.form for one in found} == {Form.BOX}
    assert {tuple(one.heading) for one in found} == {("Pond",)}


def test_boxes_nest_as_deep_as_anybody_writes_them() -> None:
    found = scan("".join(f"{'  ' * depth}- [ ] step {depth}\n" for depth in range(40)))
    assert [one.above for one in found] == [None, *range(39)]


def test_boxes_count_without_bullets_and_far_to_the_right() -> None:
    text = "Phase 2:\n    - [ ] below a label\n      - [x] and below that\n\n[ ] without a bullet\n☑ with a sign\n"
    assert [(one.text, one.line, one.mark.value, one.above) for one in scan(text)] == [
        ("below a label", 2, "open", None),
        ("and below that", 3, "done", 0),
        ("without a bullet", 5, "open", None),
        ("with a sign", 6, "done", None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "```\n- [ ] in code\n```\n",
        "~~~md\n- [ ] in code\n\n- [ ] still\n~~~\n",
        "> ```\n> - [ ] in quoted code\n> ```\n",
        "- a list\n\n  ```\n  - [ ] in code in a list\n  ```\n",
        "An example:\n\n    - [ ] as GitHub shows it\n\nand on.\n",
        "<!--\n- [ ] hidden\n\n- [ ] too\n-->\n",
        "---\ntasks:\n- [ ] in front matter\n---\ntext\n",
        "# TODO\n\n- [Backend](#backend)\n- [Frontend](#frontend)\n",
        "- [ ]\n- [x] \n",
        "- [link](http://example.org)\n- [a] no box\n",
        "\\[ ] escaped\n",
        "# Guide\n\n## Fix a broken pump\n\n1. Open it\n2. Close it\n\n## Tasks of a pump\n\nIt pumps.\n",
        "# Results (3)\n\n- one\n- two\n",
        "# Pump\n\n## Features\n\n- pumps water\n",
        "",
    ],
)
def test_nothing_is_work_that_nobody_would_call_so(text: str) -> None:
    assert scan(text) == []


def test_lists_are_work_where_headings_say_so() -> None:
    text = (
        "# Pump\n\n- pumps water\n\n## Next steps\n\n- quieter motor\n  - with rubber feet\n1. longer hose\n\n"
        "**Files:**\n\n- motor.py\n\n### Notes\n\n- water is wet\n\n## Done\n\n- first motor\n\n"
        "## Usage\n\n- switch it on\n"
    )
    assert [(one.text, one.form.value, one.mark.value, one.heading) for one in scan(text)] == [
        ("quieter motor\n- with rubber feet", "list", "open", ["Pump", "Next steps"]),
        ("longer hose", "list", "open", ["Pump", "Next steps"]),
        ("first motor", "list", "done", ["Pump", "Done"]),
    ]


def test_file_that_is_a_list_by_its_name_needs_no_heading() -> None:
    assert texts("- quieter motor\n- longer hose\n") == []
    assert texts("- quieter motor\n- longer hose\n", declared=True) == ["quieter motor", "longer hose"]
    assert [*map(declares_work, ["TODO.md", "a/todo", "Roadmap.markdown", "docs/plans/x.md", "todos.py.md"])] == [
        True,
        True,
        True,
        False,
        True,
    ]


def test_section_with_boxes_has_them_as_its_work_and_plain_lists_as_notes() -> None:
    text = (
        "# TODO\n\n## Pump house (5)\n\n**Why:** it leaks.\n\n- it is old\n\n"
        "Phase 1: ✅ DONE (2026-01-30)\n- [x] Measure it\n\n- [ ] Build it\n"
    )
    assert [(one.text, one.heading) for one in scan(text)] == [
        ("Measure it", ["TODO", "Pump house (5)", "Phase 1"]),
        ("Build it", ["TODO", "Pump house (5)", "Phase 1"]),
    ]


def test_sections_declare_work_without_boxes() -> None:
    text = (
        "# TODO\n\n## For agents\n\nRead this first.\n\n## Fix the pump (5)\n\nIt leaks.\n\n"
        "- at the seal\n- at the hose\n\n"
        "```\n- [ ] no\n```\n\n### Details\n\nMore.\n\n## Paint it (3) ✅ DONE (2026-01-31)\n\n"
        "## Water quality\n\nHm.\n"
    )
    whole = "Fix the pump (5)\n\nIt leaks.\n\n- at the seal\n- at the hose\n\nDetails\n\nMore."
    found = scan(text)
    assert [(one.line, one.text, one.mark.value, one.effort.value, one.form.value) for one in found] == [
        (
            7,
            whole,
            "open",
            "large",
            "section",
        ),
        (22, "Paint it (3) ✅ DONE (2026-01-31)", "done", "large", "section"),
    ]
    assert texts("## Fix the pump (5)\n\nIt leaks.\n") == ["Fix the pump (5)\n\nIt leaks."]
    assert texts("# Pump\n\n## Backlog\n\n### The pump leaks\n\nAt the seal.\n") == ["The pump leaks\n\nAt the seal."]


def test_decisions_and_questions_are_no_work() -> None:
    text = (
        "- [x] Which pump? The red one\n- [ ] Decide: reeds or stones\n- [ ] Fish?\n- [ ] Ask who feeds the fish\n\n"
        "## Open questions\n\n- Who feeds the fish?\n- [x] How deep\n\n## Decisions\n\n- No fish\n\n"
        "## Rest\n\n**Decision needed:** fish or frogs\n"
    )
    assert [(one.text.split("\n")[0], one.form.value, one.mark.value, one.labels) for one in scan(text)] == [
        ("Which pump? The red one", "decision", "done", ["decision"]),
        ("Decide: reeds or stones", "question", "open", ["question"]),
        ("Fish?", "question", "open", ["question"]),
        ("Ask who feeds the fish", "box", "open", []),
        ("Who feeds the fish?", "question", "open", ["question"]),
        ("How deep", "decision", "done", ["decision"]),
        ("No fish", "decision", "done", ["decision"]),
        ("**Decision needed:** fish or frogs", "question", "open", ["question"]),
    ]


def test_what_is_written_about_an_item_is_taken_over_and_stays_in_its_text() -> None:
    text = (
        "t001.1 Mend the pump @ana #garden ~4h P1 blocked-by:t002,t003 due 2026-12-01 see #12 https://example.org/a#b"
    )
    found = one(f"- [ ] {text}\n")
    assert found.text == text
    assert (found.id, found.owner, found.labels, found.priority) == ("t001.1", "ana", ["garden"], 1)
    assert (found.effort, found.estimate_minutes, found.blocked_by) == (Effort.LARGE, 240, ["t002", "t003"])
    assert found.due_at == 1_796_083_200_000
    assert found.refs == {"issue": "#12", "url": "https://example.org/a#b"}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Mend it (1)", "effort", "medium"),
        ("Mend it (10)", "effort", "large"),
        ("Mend it (S)", "effort", "small"),
        ("Mend it ~20m", "effort", "small"),
        ("Mend it (2h)", "estimate_minutes", 120),
        ("Mend it 30m", "estimate_minutes", 30),
        ("Set the limit to 30m", "estimate_minutes", None),
        ("Reset after a while (no beat for 2min → queued)", "estimate_minutes", None),
        ("Mend it (Phase 4)", "effort", "unknown"),
        ("Mend it in 2026 (2026)", "effort", "unknown"),
        ("Mend it !high", "priority", 1),
        ("Mend it (critical)", "priority", 0),
        ("🔴 Mend it", "priority", 0),
        ("Mend it 🔽", "priority", 3),
        ("(A) Mend it", "priority", 0),
        ("Mend the P2P network", "priority", None),
        ("Mend it @due(2026-12-01)", "due_at", 1_796_083_200_000),
        ("Mend it 📅 2026-12-01", "due_at", 1_796_083_200_000),
        ("Mend it due 2026-02-31", "due_at", None),
        ("**T-12**: mend it", "id", "T-12"),
        ("mend it id:pump", "id", "pump"),
        ("SHA-256 for files", "id", None),
        ("S3 buckets", "id", None),
        ("mend it blocked-by: Buy a hose, Find the leak #garden", "blocked_by", ["Buy a hose", "Find the leak"]),
        ("mend `@property` and @types/node for ana@example.org", "owner", None),
        ("paint it #ff0000 #red", "labels", ["red"]),
        ("look at `#12` and PR #7", "refs", {"pull request": "#7"}),
        ("look at acme/pump#7", "refs", {"issue": "acme/pump#7"}),
    ],
)
def test_fields_as_people_write_them(text: str, name: str, value: object) -> None:
    assert getattr(one(f"- [ ] {text}\n"), name) == value


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("Mend it ✅ DONE (2026-01-30)", Mark.DONE),
        ("Mend it — done 2026-01-30", Mark.DONE),
        ("[DONE] mend it", Mark.DONE),
        ("Mend it (wontfix)", Mark.DECLINED),
        ("~~Mend it~~", Mark.DECLINED),
        ("Replace ✅ by a sign", Mark.OPEN),
        ("Things to get done", Mark.OPEN),
        ("Say `DONE`", Mark.OPEN),
    ],
)
def test_words_that_say_that_it_is_done(text: str, mark: Mark) -> None:
    assert one(f"- [ ] {text}\n").mark is mark


def test_headings_give_priorities_and_lose_their_state() -> None:
    found = scan("# TODO\n\n## P1 ✅ DONE\n\n- [ ] Mend it\n- [ ] Paint it P3\n")
    assert [(one.heading, one.priority) for one in found] == [(["TODO", "P1"], 1), (["TODO", "P1"], 3)]


def test_encodings_break_nothing() -> None:
    text = "# Teich — é\n\n- [ ] Pumpe prüfen → “heute” ✅x\n"
    twice = _as_cp1252(text)
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), twice.encode()):
        assert not is_binary(data)
        assert [one.text for one in scan(decoded(data))] == ["Pumpe prüfen → “heute” ✅x"]
        assert [one.heading for one in scan(decoded(data))] == [["Teich — é"]]
    assert [one.line for one in scan(decoded(b"a\r\n\r\n- [ ] one\r\n- [ ] t\xfcwo\r- [ ] three"))] == [3, 4, 5]
    assert decoded("“CAFÉ”, cliché…”, VIÊT–NAM".encode()) == "“CAFÉ”, cliché…”, VIÊT–NAM"
    assert is_binary(b"- [ ] one\0")


def _as_cp1252(text: str) -> str:
    """As an editor shows UTF-8 that it takes for cp1252."""
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in text.encode())


PIECES = (
    "- [ ] ;- [x] ;* ;1. ;> ;  ;    ;# ;## TODO;```;~~~;<!-- ;-->;---;\n;\n\n;\t;(5);P1;@a;#b;~4h;"
    "✅ DONE;Decide: ;?;[;]"
    ";(;blocked-by:;2026-12-01;due ;#12;`;**;~~;|;\r\n;\r;\0;☐ ;https://a.b/(;Fix ;\u2028;\x85;â€”;  \n"
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES.split(";")) | st.text(max_size=8), max_size=60).map("".join), st.booleans())
@example("-\n  - [ ] x\n\n  [ ] y\n", False)
def test_never_fails_and_stays_within_the_file(text: str, declared: bool) -> None:
    found = scan(text, declared=declared)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    for place, one in enumerate(found):
        assert 1 <= one.line <= lines
        assert one.above is None or one.above < place
    assert [one.line for one in found] == sorted(one.line for one in found)
    assert msgspec.convert(msgspec.to_builtins(found), list[Found]) == found


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_become_text_with_as_many_lines(data: bytes) -> None:
    text = decoded(data)
    if not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        assert text.count("\n") == data.count(b"\n")
    scan(text)


@pytest.mark.parametrize(
    "text",
    [
        "- [ ] a" + " " * 100_000 + "b",
        "- [ ] (blocked by " + "1" * 30_000,
        "- [ ] x DONE " + "abcdef12" * 200 + "z",
        "- [ ] " + "[a" * 50_000,
        "> " * 3000 + "- [ ] x",
        "- [ ] " + "`a``b" * 20_000,
        "[ ] a" + "\na" * 100_000,
        "a" + "\na" * 100_000,
        "# \n" * 60_000,
    ],
    ids=["gap", "digits", "hex", "brackets", "quotes", "ticks", "lines of a box", "lines", "headings"],
)
@pytest.mark.timeout(20)
def test_hostile_lines_take_no_long_time(text: str) -> None:
    scan(text)


def test_file_with_too_much_to_do_is_refused_whole(tmp_path: Path) -> None:
    lines = "- [ ] Mend it\n" * MOST_FOUND
    assert len(scan(lines)) == MOST_FOUND
    with pytest.raises(TooMany):
        scan(lines + "- [ ] Paint it\n")
    (tmp_path / "TODO.md").write_text(lines + "- [ ] Paint it\n")
    why = "has more than 20,000 things to do; divide it"
    assert list(scan_files(tmp_path, ["TODO.md"], {}, max_bytes=10**6)) == [Note("TODO.md", why)]
    assert ticking.tick(tmp_path, "TODO.md", {"W1": (1, "Mend it")}, 10**6) == ([], [Note("TODO.md", why)])


def test_box_is_ticked_and_no_other_byte_changed(tmp_path: Path) -> None:
    file = tmp_path / "TODO.md"
    before = b"# Pump \xff\r\n\r\n> - [ ] Mend it\r\n-  [x] Paint it\r\n\t* [ ] Sell it"
    file.write_bytes(before)
    file.chmod(0o640)
    ticked, notes = ticking.tick(tmp_path, "TODO.md", {"W1": (3, "Mend it"), "W2": (4, "Paint it")}, 10_000)
    assert (ticked, notes) == (["W1"], [])
    assert file.read_bytes() == before.replace(b"[ ] Mend", b"[x] Mend")
    assert file.stat().st_mode & 0o777 == 0o640
    ticked, notes = ticking.tick(tmp_path, "TODO.md", {"W3": (5, "Buy it"), "W4": (99, "Sell it")}, 10_000)
    assert ticked == []
    assert [note.why for note in notes] == [
        "line 5 is not W3 any more; scan again",
        "line 99 is not W4 any more; scan again",
    ]
    file.write_bytes("\ufeff- [ ] Teich\n".encode("utf-16-le"))
    assert ticking.tick(tmp_path, "TODO.md", {"W1": (1, "Teich")}, 10_000)[0] == ["W1"]
    assert file.read_bytes() == "\ufeff- [x] Teich\n".encode("utf-16-le")
    assert [one.name for one in tmp_path.iterdir()] == ["TODO.md"]


def test_file_that_is_saved_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "TODO.md"
    file.write_text("- [ ] Mend it\n")

    class Saving(dict[str, tuple[int, str]]):
        """Items during whose ticking somebody saves the file: they are asked for after it was read."""

        def items(self) -> ItemsView[str, tuple[int, str]]:
            file.write_text("- [ ] Mend it\n- [ ] Paint it\n")
            return super().items()

    with pytest.raises(Refused, match=r"TODO\.md was changed meanwhile; try again"):
        ticking.tick(tmp_path, "TODO.md", Saving(W1=(1, "Mend it")), 10_000)
    assert file.read_text() == "- [ ] Mend it\n- [ ] Paint it\n"
    assert list(tmp_path.iterdir()) == [file]
