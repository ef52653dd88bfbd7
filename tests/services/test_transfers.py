"""Task lists in and out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger

CHECKLIST = """# Plan

- [ ] Design the schema P1 ~2h id:schema #core
- [ ] Build it blocked-by:schema @bo
  - [ ] Store
  - [x] Model
      * [ ] Deep
- [-] Declined
- [?] Odd
- [ ] Ship blocked-by:nowhere
```
- [ ] in a fence
```
1. [ ] Numbered
"""


def test_checklist_becomes_tasks(ledger: Ledger) -> None:
    report = ledger.tasks.import_(format="markdown", text=CHECKLIST, source="plan.md")
    tasks = {task.title: task for task in ledger.tasks.list()}
    assert len(report.created) == 8
    assert [(one.line, one.reason.partition(":")[0]) for one in report.refused] == [
        (9, "[?] is not a checkbox of [ ], [x], [-] or [~]"),
        (10, "depends on nowhere"),
    ]
    assert (tasks["Design the schema"].priority, tasks["Design the schema"].estimate_minutes) == (1, 120)
    assert tasks["Design the schema"].labels == ["core"]
    assert (tasks["Build it"].status, tasks["Build it"].assignee) == ("blocked", "bo")
    assert tasks["Store"].parent == tasks["Model"].parent == tasks["Build it"].id
    assert tasks["Deep"].parent == tasks["Model"].id
    assert (tasks["Model"].status, tasks["Declined"].status) == ("completed", "cancelled")


def test_import_can_be_repeated(ledger: Ledger) -> None:
    first = ledger.tasks.import_(format="markdown", text=CHECKLIST, source="plan.md")
    again = ledger.tasks.import_(format="markdown", text=CHECKLIST + "- [ ] New\n", source="plan.md")
    assert again.existing == first.created
    assert len(again.created) == 1


def test_equal_lines_are_two_tasks(ledger: Ledger) -> None:
    report = ledger.tasks.import_(format="markdown", text="- [ ] same\n- [ ] same\n", source="x.md")
    assert len(report.created) == 2


@pytest.mark.parametrize("form", ["jsonl", "csv", "markdown"])
def test_export_comes_back_the_same(ledger: Ledger, open_at: Callable[..., Ledger], form: str) -> None:
    ledger.tasks.create(title='Quote "this", then that', priority="high", labels=["a", "b"], assignee="bo")
    ledger.tasks.create(title="Ünïcödé ✓", depends_on=["T1"], parent="T1", type="qa", queue="side")
    ledger.tasks.create(title="Done", estimate_minutes=30)
    ledger.tasks.complete(3)
    exported = ledger.tasks.export(format=form)
    report = ledger.tasks.import_(format=form, text=exported.text, source="copy")
    assert (exported.tasks, len(report.created), report.refused) == (3, 3, [])

    def shape(number: int) -> tuple[object, ...]:
        task = ledger.tasks.get(number)
        parent = ledger.tasks.get(task.parent).title if task.parent else None
        return task.title, task.priority, task.labels, task.assignee, task.type, task.queue, task.status, parent

    assert [shape(number) for number in (4, 5, 6)] == [shape(number) for number in (1, 2, 3)]
    assert ledger.tasks.dependencies("T5")[-1].blocker == "T4"


@pytest.mark.parametrize(
    ("form", "text", "line"),
    [
        ("jsonl", '{"title": "ok"}\nnot json\n', 2),
        ("jsonl", '{"title": "ok"}\n[1]\n', 2),
        ("jsonl", '{"title": ""}\n{"title": "ok"}', 1),
        ("jsonl", '{"title": "x", "depends_on": 7}\n{"title": "ok"}', 1),
        ("jsonl", '{"title": "x", "status": "odd"}\n{"title": "ok"}', 1),
        ("csv", "title,priority\nok,1\nbad,9\n", 3),
        ("csv", "title\nok\na,b\n", 3),
        ("csv", "title,estimate_minutes\nok,1\nbad,soon\n", 3),
        ("csv", "title,colour\nok,\nbad,red\n", 3),
    ],
)
def test_refused_line_is_named_and_the_others_are_taken(ledger: Ledger, form: str, text: str, line: int) -> None:
    report = ledger.tasks.import_(format=form, text=text, source="x")
    assert [one.line for one in report.refused] == [line]
    assert [task.title for task in ledger.tasks.list()] == ["ok"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("jsonl", '{"title": "x", "repos": ["https://u:hunter2@host/pond"]}\n{"title": "ok"}\n'),
        ("csv", "title,repos\nx,https://u:hunter2@host/pond\nok,\n"),
        ("markdown", "- [ ] x repo:https://u:hunter2@host/pond\n- [ ] ok\n"),
    ],
)
def test_login_of_a_repository_is_reported_and_not_taken(ledger: Ledger, form: str, text: str) -> None:
    [refused] = ledger.tasks.import_(format=form, text=text, source="x").refused
    assert "https://host/pond" in refused.reason
    assert "hunter2" not in refused.reason
    assert [task.title for task in ledger.tasks.list()] == ["ok"]


def test_cycle_in_a_file_is_refused_at_its_line(ledger: Ledger) -> None:
    text = '{"id": "a", "title": "a", "depends_on": ["b"]}\n{"id": "b", "title": "b", "depends_on": ["a"]}\n'
    report = ledger.tasks.import_(format="jsonl", text=text, source="x")
    assert [one.line for one in report.refused] == [2]
    assert ledger.tasks.get(2).status == "queued"
