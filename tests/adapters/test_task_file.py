"""A task's file: read in every way that people write it, changed only where the ledger says something else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shoal.adapters.vault import sections as page_sections
from shoal.adapters.vault import task_file
from shoal.model.content import Facts
from shoal.model.task import Criterion, Status, Task, task_from_row

MOMENT = 1_771_149_600_123  # 2026-02-15T10:00:00.123Z


def task(**fields: Any) -> Task:
    names = Task.__struct_fields__
    row = dict.fromkeys(names, None)
    blank = {"id": 42, "title": "Mend it", "type": "swe", "status": "queued", "priority": 2, "queue": "default"}
    blank |= {"created_by": "ana", "requires_qa": 0, "max_attempts": 3, "run_at": 0, "attempt": 0, "failures": 0}
    blank |= {"releases": 0, "blockers": 0, "dependents": 0, "created_at": MOMENT, "updated_at": MOMENT}
    made = task_from_row(tuple((row | blank)[name] for name in names if name != "task_id"), "T")
    return msgspec.structs.replace(made, **fields)


def facts(depends_on: list[str] | None = None, **fields: Any) -> Facts:
    return Facts(task(**fields), depends_on=depends_on or [])


def test_new_file_says_what_the_ledger_says_and_has_the_sections() -> None:
    criteria = [Criterion("Tests pass", "make test"), Criterion("Docs\nwritten")]
    text = task_file.written(
        facts(["T1"], repos=["a/b"], labels=["x"], success_criteria=criteria, estimate_minutes=90, requires_qa=True)
    )
    assert (
        text
        == """---
id: T42
name: Mend it
type: swe
status: queued
priority: P2
created: 2026-02-15T10:00:00Z
estimate: 90
repos: [a/b]
tags: [x]
requires_qa: true
depends_on: [T1]
---

# Mend it

## Objective

## Acceptance criteria

- [ ] Tests pass (make test)
- [ ] Docs written

## Notes

## Result
"""
    )
    assert (
        task_file.updated(text, facts(["T1"], repos=["a/b"], labels=["x"], estimate_minutes=90, requires_qa=True))
        == text
    )


OLD = """---
id: t42
name:   'Mend it'
status: queued # by hand
priority: normal
created: 2026-02-15 10:00
assigned_to:
estimate_minutes: 1.5h
repo: a/b
requires_qa: no
depends_on: ["[[010-tasks/active/T1.md|first]]"]
mine: [kept,  as is ]
---
body
"""


def test_file_that_says_the_same_in_other_words_is_not_touched() -> None:
    same = facts(["T1"], estimate_minutes=90, repos=["a/b"])
    assert task_file.updated(OLD, same).replace("type: swe\n", "") == OLD


@pytest.mark.parametrize(
    ("fields", "before", "after"),
    [
        ({"status": Status.ACTIVE}, "status: queued # by hand", "status: active # by hand"),
        ({"priority": 0}, "priority: normal", "priority: critical"),
        ({"title": "It's mended"}, "name:   'Mend it'", "name:   'It''s mended'"),
        ({"assignee": "claude-1"}, "assigned_to:\n", "assigned_to: claude-1\n"),
        ({"estimate_minutes": None}, "estimate_minutes: 1.5h", "estimate_minutes:"),
        ({"estimate_minutes": 0}, "estimate_minutes: 1.5h", "estimate_minutes: 0"),
        ({"repos": ["a/b", "c/d"]}, "repo: a/b", "repo: [a/b, c/d]"),
        ({"repos": []}, "repo: a/b", "repo:"),
        ({"requires_qa": True}, "requires_qa: no", "requires_qa: true"),
        ({"created_at": MOMENT + 60_000}, "2026-02-15 10:00\n", "2026-02-15T10:01:00Z\n"),
    ],
)
def test_only_what_differs_is_written(fields: dict[str, Any], before: str, after: str) -> None:
    told = facts(["T1"], **({"estimate_minutes": 90, "repos": ["a/b"]} | fields))
    assert task_file.updated(OLD, told).replace("type: swe\n", "") == OLD.replace(before, after)


def test_what_the_file_says_is_read_by_the_newest_names() -> None:
    assert task_file.read(OLD) == {
        "id": "T42",
        "name": "Mend it",
        "status": "queued",
        "priority": 2,
        "created": MOMENT - 123,
        "assigned_to": None,
        "estimate": 90,
        "repos": ["a/b"],
        "requires_qa": False,
        "depends_on": ["T1"],
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "## Result\n\n- done\n"),
        ("text", "text\n\n## Result\n\n- done\n"),
        ("# T\n\n## Result\n", "# T\n\n## Result\n\n- done\n"),
        ("## Result\n\nfirst\n\n## Notes\n", "## Result\n\nfirst\n\n- done\n\n## Notes\n"),
        ("## result ##\n### sub\nx\n# Next\n", "## result ##\n### sub\nx\n\n- done\n\n# Next\n"),
        ("```\n## Result\n```\n", "```\n## Result\n```\n\n## Result\n\n- done\n"),
        ("## Result\r\n\r\nfirst", "## Result\r\n\r\nfirst\r\n\r\n- done\r\n"),
    ],
)
def test_addition_stands_at_the_end_of_its_section(body: str, expected: str) -> None:
    assert page_sections.appended(body, "Result", "- done\n") == expected
