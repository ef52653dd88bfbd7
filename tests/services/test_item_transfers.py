"""The backlog out and in again: nothing is lost, nothing comes twice."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from shoal import Ledger

KEPT = [
    *("text", "text_hash", "project", "source_file", "source_line", "heading", "form", "status", "accepted", "title"),
    *("summary", "severity", "effort", "risk", "priority", "sort_order", "tier", "type", "labels", "owner", "due_at"),
    *("refs", "files", "blocked_by", "children"),
]


def fill(ledger: Ledger) -> None:
    ledger.items.create(
        text="Fix ünicode 文字\nand more",
        project="web",
        source_file="TODO.md",
        source_line=3,
        heading=["Bugs"],
        title="Fix it",
        summary="s",
        severity="warning",
        effort="small",
        risk="low",
        priority=1,
        tier="safe_always",
        type="swe",
        labels=["a", "b"],
        owner="ana",
        due_at=7,
        refs={"jira": "WEB-1"},
        files=["a.py"],
        accepted=True,
    )
    ledger.items.create(text="=cmd()", parent=1, project="web")
    ledger.items.create(text="same", source_file="TODO.md")
    ledger.items.create(text="same", source_file="TODO.md")
    ledger.items.depend(2, on=3)
    ledger.items.done(3)
    ledger.items.reject(4)


def fields(ledger: Ledger) -> list[dict[str, Any]]:
    found = [msgspec.to_builtins(ledger.items.get(one.id)) for one in ledger.items.list()]
    return [{name: one[name] for name in KEPT} for one in found]


def test_export_comes_back_whole_and_only_once(ledger: Ledger) -> None:
    fill(ledger)
    text = ledger.items.export().text
    again = ledger.items.import_(text=text)
    assert (again.created, again.existing, again.refused) == ([], ["W1", "W2", "W3", "W4"], [])
    before = fields(ledger)
    moved = text.replace('"project":"web"', '"project":"web2"').replace('"default"', '"default2"')
    came = ledger.items.import_(text=moved)
    assert came.created == ["W5", "W6", "W7", "W8"]
    news, olds = fields(ledger)[:4], before
    for new, old in zip(news, olds, strict=True):
        different = {name for name in KEPT if new[name] != old[name]}
        assert different <= {"project", "blocked_by", "children"}
    assert ledger.items.get(6).blocked_by == ["W7"]
    assert ledger.items.get(5).children == ["W6"]
    assert ledger.items.get(5).origin == "import"
    assert ledger.items.import_(text=moved).created == []


def test_item_is_known_by_its_name_elsewhere(ledger: Ledger) -> None:
    ledger.items.create(text="old words", refs={"jira": "WEB_1", "x": "y"})
    line = '{"text": "other words", "refs": {"jira": "WEB_1"}}\n{"text": "more", "refs": {"jira": "WEBa1"}}\n'
    came = ledger.items.import_(text=line)
    assert (came.existing, came.created) == (["W1"], ["W2"])


def test_two_equal_lines_are_two_items(ledger: Ledger) -> None:
    text = '{"text": "a"}\n{"text": "a"}\n\n{"text": "a", "source_file": "x.md"}\n'
    assert ledger.items.import_(text=text).created == ["W1", "W2", "W3"]
    assert ledger.items.import_(text=text).existing == ["W1", "W2", "W3"]


def test_lines_that_are_refused_are_told_of_and_others_taken(ledger: Ledger) -> None:
    text = '{"text": "a"}\nnonsense\n[1]\n{"text": ""}\n{"text": "b", "blocked_by": ["W9"], "parent": "W8"}\n'
    came = ledger.items.import_(text=text, project="p")
    assert came.created == ["W1", "W2"]
    assert [(one.line, one.reason.split(":")[0]) for one in came.refused] == [
        *(
            (2, "it is not JSON"),
            (3, "a line must be a JSON object"),
            (4, "text"),
            (5, "below W8"),
            (5, "waits for W9"),
        ),
    ]
    assert ledger.items.get(1).project == "p"


def test_csv_opens_in_a_spreadsheet_and_runs_nothing_there(ledger: Ledger) -> None:
    fill(ledger)
    came = ledger.items.export(format="csv")
    rows = list(csv.DictReader(io.StringIO(came.text)))
    assert (len(rows), came.items) == (4, 4)
    assert rows[0]["text"] == "Fix ünicode 文字\nand more"
    assert (rows[0]["labels"], rows[0]["accepted"], rows[0]["refs"]) == ("a, b", "yes", "jira=WEB-1")
    assert rows[1]["text"] == "'=cmd()"


def test_markdown_shows_what_comes_first(ledger: Ledger) -> None:
    fill(ledger)
    assert ledger.items.export(format="markdown").text == (
        "# Backlog\n"
        "\n## Accepted (1)\n\n- [ ] **W1 P1** Fix it (TODO.md:3)\n"
        "\n## New (1)\n\n- [ ] **W2** =cmd()\n"
        "\n## Done (1)\n\n- [x] **W3** same (TODO.md:1)\n"
        "\n## Rejected (1)\n\n- [-] **W4** same (TODO.md:1)\n"
    )
    assert ledger.items.export(format="markdown", open=True, project="default").text == "# Backlog\n"


def test_stats_count_by_several_sorts(ledger: Ledger) -> None:
    empty = ledger.items.stats()
    assert (empty.total, empty.by_status, empty.oldest_new_at) == (0, {}, None)
    fill(ledger)
    found = ledger.items.stats()
    assert (found.total, found.open) == (4, 2)
    assert found.by_status == {"done": 1, "new": 1, "triaged": 1, "wontfix": 1}
    assert (found.by_project, found.by_priority) == ({"web": 2}, {"P1": 1, "none": 1})
    assert ledger.items.stats(project="other").total == 0
