"""Other tools' backlogs, read as they write them: what is taken over, what is kept aside, what is refused and where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from shoal.adapters.importers import backlog_md, backlogs, beads, github_issues, queue_yaml, record, task_master
from shoal.adapters.importers.backlogs import BACKLOGS, guess
from shoal.errors import BadInput
from shoal.model.item_import import ImportedItem, Refusal

QUEUE = """\
items:
  - id: sup-001
    title: Fix stale port refs
    text: |
      The docs say 8080.

      It is 7465.
    status: pending
    priority: 3
    effort: medium
    type: docs
    model: opus
    retries: {max: 3, wait: [1, 2]}
    blocked_by: sup-002
    files: [docs/a.md, docs/b.md]
    due: 2026-12-01
  - id: sup-002
    text: "Only a text\\nof two lines"
    status: in_progress
    priority: 0.7
  - just a string
  - title: nobody called it anything
  - id: sup-003
    title: Done long ago
    status: completed
    completed_at: 2026-01-02T03:04:05Z
"""
BEADS: list[dict[str, Any]] = [
    {
        "_type": "issue",
        "id": "bd-a1",
        "title": "Login fails",
        "description": "With 500.",
        "design": "Ask first.",
        "acceptance_criteria": "No 500.",
        "status": "in_progress",
        "priority": 4,
        "issue_type": "bug",
        "assignee": "ana",
        "estimated_minutes": 90,
        "labels": ["ui", "auth"],
        "external_ref": "gh-9",
        "created_at": "2026-01-01T00:00:00Z",
        "dependencies": [
            {"issue_id": "bd-a1", "depends_on_id": "bd-a2", "type": "blocks", "created_at": "2026-01-01T00:00:00Z"},
            {"issue_id": "bd-a1", "depends_on_id": "bd-e", "type": "parent-child"},
            {"issue_id": "bd-a1", "depends_on_id": "bd-a3", "type": "discovered-from"},
        ],
        "comments": [{"id": 1, "issue_id": "bd-a1", "author": "bo", "text": "Me too."}],
    },
    {"id": "bd-a2", "title": "Sessions", "status": "closed", "priority": 0, "closed_at": "2026-02-03T04:05:06.7Z"},
    {"id": "bd-a3", "title": "Gone", "status": "tombstone", "priority": 2, "issue_type": "task"},
    {"_type": "memory", "id": "m1", "title": "no issue"},
]
TASK = """\
---
id: TASK-7.1
title: Add paste
status: To Do
assignee: ['@ana', '@bo']
created_date: '2026-07-26 14:30'
labels: [web-ui]
dependencies: [task-3, '4']
priority: high
milestone: v1.0
parent_task_id: task-7
---

## Description

<!-- SECTION:DESCRIPTION:BEGIN -->
People paste.
<!-- SECTION:DESCRIPTION:END -->

## Acceptance Criteria
<!-- AC:BEGIN -->
- [ ] #1 Pasting works
<!-- AC:END -->
"""
TASKS: dict[str, Any] = {
    "tasks": [
        {"id": 1, "title": "Set up", "status": "done", "priority": "high", "dependencies": [], "description": "All."},
        {
            "id": 2,
            "title": "Build",
            "status": "in-progress",
            "priority": "medium",
            "dependencies": [1, "1.1"],
            "details": "Like so.",
            "testStrategy": "Run it.",
            "metadata": {"sprint": "Q1"},
            "subtasks": [
                {"id": 1, "title": "Log in", "status": "pending", "dependencies": []},
                {"id": 2, "title": "Database", "status": "cancelled", "dependencies": [1, 7, "2.1"]},
            ],
        },
        "nonsense",
    ]
}
ISSUE: dict[str, Any] = {
    "number": 12,
    "title": "Crash",
    "body": "It crashes.\r\n\r\nBlocked by #3 and acme/api#4\r\n",
    "state": "open",
    "html_url": "https://github.com/acme/web/issues/12",
    "url": "https://api.github.com/repos/acme/web/issues/12",
    "labels": [{"name": "Bug"}, {"name": "priority: high"}],
    "assignees": [{"login": "ana"}, {"login": "bo"}],
    "milestone": {"title": "v1", "due_on": "2026-12-01T08:00:00Z"},
    "parent_issue_url": "https://api.github.com/repos/acme/web/issues/5",
}


def items(found: list[ImportedItem | Refusal]) -> list[ImportedItem]:
    return [one for one in found if isinstance(one, ImportedItem)]


def refusals(found: list[ImportedItem | Refusal]) -> list[str]:
    return [f"{one.place}: {one.reason}" for one in found if isinstance(one, Refusal)]


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_queue_yaml(tmp_path: Path) -> None:
    found = list(queue_yaml.read(written(tmp_path / "queue.yaml", QUEUE)))
    first, second, third = items(found)
    assert (first.ref.id, first.place, first.title) == ("sup-001", "queue.yaml:2", "Fix stale port refs")
    assert first.text == "Fix stale port refs\n\nThe docs say 8080.\n\nIt is 7465."
    assert first.refs == {"queue-yaml.model": "opus", "queue-yaml.retries": '{"max":3,"wait":[1,2]}'}
    assert (first.status, first.priority, first.effort, first.type) == ("open", 3, "medium", "docs")
    assert ([one.id for one in first.blocked_by], first.files) == (["sup-002"], ["docs/a.md", "docs/b.md"])
    assert first.due_at == 1_796_083_200_000
    assert (second.title, second.text) == ("Only a text", "Only a text\n\nof two lines")
    assert (second.labels, second.priority) == (["in-progress"], None)
    assert second.note == "its priority '0.7' is none of P0 to P3, and was left out"
    assert (third.status, third.done_at) == ("done", 1_767_323_045_000)
    assert refusals(found) == ["queue.yaml:21: it is no item but str", "queue.yaml:22: it has no id"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "queue.yaml, line 2 is no YAML"),
        ("just text", "is no list of items"),
        ("a: 1\nb: 2", "has no list of items: it has none of items, queue"),
        ("items: [&a {id: 1}, *a]", "has aliases"),
        ("[" * 5000, "is nested too deeply|is no YAML"),
    ],
)
def test_what_is_no_queue_is_told(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path / "queue.yaml", text + "\n")
    with pytest.raises(BadInput, match=words):
        list(queue_yaml.read(path))


def test_queue_by_ids_and_one_that_is_empty(tmp_path: Path) -> None:
    path = written(tmp_path / "queue.yaml", "a-1: {title: One}\na-2: {title: Two, status: wontfix}\n")
    assert [(one.ref.id, one.status) for one in items(list(queue_yaml.read(path)))] == [
        ("a-1", "open"),
        ("a-2", "declined"),
    ]
    assert list(queue_yaml.read(written(path, "items: []\n"))) == []
    assert list(queue_yaml.read(written(path, ""))) == []


def test_beads(tmp_path: Path) -> None:
    lines = [json.dumps(one) for one in BEADS] + ["{broken", "", "[1]"]
    found = list(beads.read(written(tmp_path / ".beads/issues.jsonl", "\n".join(lines)).parent.parent))
    first, second, third = items(found)
    assert (first.ref.system, first.ref.id, first.place) == ("beads", "bd-a1", "issues.jsonl:1")
    assert first.text == (
        "Login fails\n\nWith 500.\n\nDesign: Ask first.\n\nAcceptance criteria: No 500.\n\nComment of bo: Me too."
    )
    assert (first.status, first.priority, first.effort, first.type) == ("open", 3, "medium", "bug")
    assert (first.owner, first.labels) == ("ana", ["ui", "auth", "in-progress"])
    assert ([one.id for one in first.blocked_by], first.parent and first.parent.id) == (["bd-a2"], "bd-e")
    assert first.refs == {"beads.discovered-from": "bd-a3", "beads.external_ref": "gh-9"}
    assert (second.status, second.done_at, third.status) == ("done", 1_770_091_506_700, "declined")
    assert [one.partition(" at ")[0][:50] for one in refusals(found)] == [
        "issues.jsonl:4: it is no issue but memory",
        "issues.jsonl:5: it is no JSON: Expecting property ",
        "issues.jsonl:7: it is no issue but list",
    ]
    as_list = list(beads.read(written(tmp_path / "list.json", BEADS)))
    assert [one.ref.id for one in items(as_list)] == ["bd-a1", "bd-a2", "bd-a3"]


def test_backlog_md(tmp_path: Path) -> None:
    root = tmp_path / "backlog"
    written(root / "tasks/task-7.1 - Add-paste.md", TASK)
    written(root / "tasks/task-8 - Broken.md", "---\nid: [\n---\n")
    written(root / "tasks/readme.md", "# Tasks\n")
    written(root / "tasks/task-10 - No.md", "no front matter\n")
    written(root / "completed/task-1 - One.md", "---\nid: task-1\ntitle: One\nstatus: Review\n---\n")
    written(root / "archive/tasks/task-2 - Two.md", "---\nid: task-2\ntitle: Two\nstatus: To Do\n---\n")
    written(root / "archive/tasks/task-3 - Three.md", "---\nid: task-3\ntitle: Three\nstatus: Shipped!\n---\n")
    written(root / "config.yml", "statuses: [To Do, Shipped!]\n")
    (root / "tasks/task-9 - Link.md").symlink_to(root / "completed/task-1 - One.md")
    found = list(backlog_md.read(tmp_path))
    first, *others = items(found)
    assert (first.ref.id, first.place) == ("task-7.1", "tasks/task-7.1 - Add-paste.md")
    assert first.text == (
        "Add paste\n\n## Description\n\nPeople paste.\n\n## Acceptance Criteria\n- [ ] #1 Pasting works"
    )
    assert (first.priority, first.owner, first.labels) == (1, "ana", ["web-ui"])
    assert ([one.id for one in first.blocked_by], first.parent and first.parent.id) == (["task-3", "task-4"], "task-7")
    assert first.refs == {"backlog-md.milestone": "v1.0", "backlog-md.assignees": "@bo"}
    assert [(one.ref.id, one.status) for one in others] == [
        ("task-1", "done"),
        ("task-2", "declined"),
        ("task-3", "done"),
    ]
    assert [one[:60] for one in refusals(found)] == [
        "tasks/task-10 - No.md: it has no front matter",
        "tasks/task-8 - Broken.md: its front matter, line 2 is no YAM",
        "tasks/task-9 - Link.md: it is a link, and not followed",
    ]


@pytest.mark.parametrize("tagged", [False, True])
def test_task_master(tmp_path: Path, tagged: bool) -> None:
    other = {"tasks": [{"id": 1, "title": "Try", "status": "review", "dependencies": []}], "metadata": {}}
    content = {"master": TASKS, "feature-x": other} if tagged else TASKS
    found = list(task_master.read(written(tmp_path / ".taskmaster/tasks/tasks.json", content).parents[2]))
    assert [one.ref.id for one in items(found)] == [
        *("master:1", "master:2", "master:2.1", "master:2.2"),
        *(["feature-x:1"] if tagged else []),
    ]
    first, second, third, fourth, *more = items(found)
    assert (first.status, first.priority) == ("done", 1)
    assert second.text == "Build\n\nDetails: Like so.\n\nTest strategy: Run it."
    assert ([one.id for one in second.blocked_by], second.labels) == (["master:1", "master:1.1"], ["in-progress"])
    assert second.refs == {"task-master.sprint": "Q1"}
    assert third.parent == fourth.parent == second.ref
    assert [one.id for one in fourth.blocked_by] == ["master:2.1", "master:7"]
    assert fourth.status == "declined"
    assert [one.labels for one in more] == ([["feature-x", "review"]] if tagged else [])
    assert refusals(found) == ["tasks.json: master, task 3: it is no task but str"]


def test_github_issues(tmp_path: Path) -> None:
    pull = {"number": 13, "title": "PR", "pull_request": {}, "html_url": "https://github.com/acme/web/pull/13"}
    of_gh = {
        "number": 14,
        "title": "Old",
        "body": "",
        "state": "CLOSED",
        "stateReason": "NOT_PLANNED",
        "labels": [{"name": "P0"}],
        "url": "https://github.com/acme/web/issues/14",
    }
    without = {"number": 15, "title": "Where?"}
    found = list(github_issues.read(written(tmp_path / "issues.json", [ISSUE, pull, of_gh, without, 3])))
    first, second = items(found)
    assert (first.ref.id, first.place, first.text) == (
        *("acme/web#12", "issues.json: issue 12", "Crash\n\nIt crashes.\n\nBlocked by #3 and acme/api#4"),
    )
    assert (first.priority, first.type, first.owner, first.labels) == (1, "bug", "ana", ["Bug", "priority: high"])
    assert [one.id for one in first.blocked_by] == ["acme/web#3", "acme/api#4"]
    assert (first.parent and first.parent.id, first.due_at) == ("acme/web#5", 1_796_112_000_000)
    assert first.refs == {
        "github.url": "https://github.com/acme/web/issues/12",
        "github.milestone": "v1",
        "github.assignees": "bo",
    }
    assert (second.ref.id, second.status, second.priority) == ("acme/web#14", "declined", 0)
    assert [one.partition(", and")[0] for one in refusals(found)] == [
        "issues.json: issue 15: it says no url",
        "issues.json: issue 5: it is no issue but int",
    ]


def test_format_is_guessed_where_it_is_clear(tmp_path: Path) -> None:
    written(tmp_path / "a/.beads/issues.jsonl", "")
    written(tmp_path / "b/backlog/tasks/task-1 - A.md", TASK)
    written(tmp_path / "c/.taskmaster/tasks/tasks.json", TASKS)
    assert guess(tmp_path / "a") == "beads"
    assert guess(tmp_path / "a/.beads") == "beads"
    assert guess(tmp_path / "b") == "backlog-md"
    assert guess(tmp_path / "b/backlog") == "backlog-md"
    assert guess(tmp_path / "c") == "task-master"
    assert guess(written(tmp_path / "export.jsonl", json.dumps(BEADS[0]))) == "beads"
    assert guess(written(tmp_path / "issues.json", [ISSUE])) == "github"
    assert guess(written(tmp_path / "todos/queue.yaml", QUEUE)) == "queue-yaml"
    with pytest.raises(BadInput, match=r"cannot tell what .* is; say it by --from queue-yaml, beads"):
        guess(written(tmp_path / "something.txt", "x"))
    written(tmp_path / "a/.taskmaster/tasks/tasks.json", TASKS)
    with pytest.raises(BadInput, match="may be beads or task-master; say it by --from beads, task-master"):
        guess(tmp_path / "a")
    with pytest.raises(BadInput, match="there is no "):
        guess(tmp_path / "nowhere")


@pytest.mark.parametrize("system", sorted(BACKLOGS))
def test_other_files_are_refused_and_never_a_surprise(tmp_path: Path, system: str) -> None:
    for content in (
        "",
        "\x00\x01\x02",
        "[[[[",
        '{"a": 1}',
        "- - - a",
        "null",
        "[" * 100_000,
        "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"),
    ):
        path = tmp_path / "file"
        path.write_text(content, encoding="latin-1", errors="replace")
        try:
            found = list(BACKLOGS[system].read(path))
        except BadInput:
            continue
        assert items(found) == []


def test_text_that_is_too_long_is_cut_and_told() -> None:
    found = record.item(
        "beads", "a", place="x:1", title="t\x00\n u" + "i" * 600, body="b" * 5000, labels=["", " a\n", "a"]
    )
    assert isinstance(found, ImportedItem)
    assert (len(found.title), len(found.text), found.labels) == (500, 4000, ["a"])
    assert "was cut from" in (found.note or "")


@pytest.mark.parametrize(
    ("given", "effort", "minutes"),
    [
        *(("2h", "medium", 120), ("~15m", "small", 15), (45, "medium", 45), ("3 days", "large", 1440)),
        *(("XL", "large", None), ("?", "unknown", None), (0.2, "unknown", None), (True, "unknown", None)),
        *((float("nan"), "unknown", None), (float("inf"), "large", 5_256_000), (10**400, "large", 5_256_000)),
    ],
)
@pytest.mark.parametrize("field", ["effort", "estimate"])
def test_efforts(given: Any, effort: str, minutes: int | None, field: str) -> None:
    found = record.item("beads", "a", place="x:1", title="t", **{field: given})
    assert isinstance(found, ImportedItem)
    assert (found.effort, found.estimate_minutes) == (effort, minutes)


def test_size_and_time_are_both_taken() -> None:
    found = record.item("beads", "a", place="x:1", title="t", effort="L", estimate="90m")
    assert isinstance(found, ImportedItem)
    assert (found.effort, found.estimate_minutes) == ("large", 90)


LINE = {"id": "a", "text": "a", "status": "new", "labels": [], "priority": 1, "parent": "b", "blocked_by": ["c"]}
LINE |= {"files": ["d"], "refs": {"e": "f"}, "due_at": 1, "estimate_minutes": 1, "title": "a", "accepted": True}
HOSTILE: list[Any] = [
    *(None, True, "", "\x00", "\ud83d", "\ud83d\x00\n", "x" * 5000, 10**400, -1, 1e308, float("nan"), float("inf")),
    *(
        [],
        {},
        [[]],
        {"": {}},
        [None],
        ["\ud83d", 10**400],
        {"\ud83d": ["\x00" * 300]},
        [{"id": [1]}, {"name": 10**400}],
    ),
    *([-1e400], {"id": {}, "name": [], "text": 10**400, "depends_on_id": "\ud83d", "type": []}),
]


def _hostile_rows(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The row with each of its values as each of these, and with one more."""
    yield from (row | {key: value} for key in [*row, "\ud83d\x00", ""] for value in HOSTILE)


def _deep(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("system", sorted(BACKLOGS))
def test_whatever_stands_in_a_row_it_is_an_item_or_refused(tmp_path: Path, system: str) -> None:
    rows = {"beads": BEADS[0], "github": ISSUE, "task-master": TASKS["tasks"][1], "shoal": LINE}
    path, content = tmp_path / "file.json", ""
    if system in rows:
        hostile = list(_hostile_rows(rows[system]))
        content = json.dumps({"tasks": hostile} if system == "task-master" else hostile)
        if system == "shoal":
            content = "\n".join(map(json.dumps, hostile))
    elif system == "queue-yaml":
        row = {"id": 1, "title": "t", **dict.fromkeys(("text", "status", "priority", "effort", "labels", "due", "x"))}
        content = "\n".join("- " + json.dumps(one).replace("ud83d", "u2028") for one in _hostile_rows(row))
    else:
        for number, one in enumerate(_hostile_rows(yaml.safe_load(TASK.split("---")[1]))):
            written(path / f"backlog/tasks/task-{number}.md", f"---\n{json.dumps(one, default=str)}\n---\n")
    if content:
        path.write_text(content)
    found = list(backlogs.read(path, system))
    assert found
    assert msgspec.json.decode(msgspec.json.encode(items(found)), type=list[ImportedItem]) == items(found)
    assert msgspec.json.encode(refusals(found))


@pytest.mark.parametrize("depth", [31, 200, 500, 900, 980, 100_000])
@pytest.mark.parametrize("system", sorted(set(BACKLOGS) - {"backlog-md"}))
def test_what_is_nested_too_deeply_is_refused(tmp_path: Path, system: str, depth: int) -> None:
    path = tmp_path / "file"
    for content in (
        _deep(depth),
        f'[{{"id": 1, "title": {_deep(depth)}}}]',
        f'{{"tasks": [{{"title": {_deep(depth)}}}]}}',
    ):
        path.write_text(content)
        try:
            found = list(backlogs.read(path, system))
        except BadInput:
            continue
        assert items(found) == []
    assert refusals(list(github_issues.issues([{"title": json.loads(_deep(400))}], "api")))


@pytest.mark.parametrize(
    "value",
    ["!!int ''", "!!bool x", "!!timestamp x", "!!float ''", "!!omap x", "0x" + "f" * 9999, "1" + ":1" * 99_999, ".inf"],
)
def test_odd_values_of_yaml_are_refused_or_read(tmp_path: Path, value: str) -> None:
    queue = written(tmp_path / "queue.yaml", f"- {{id: a, title: t, priority: {value}}}\n")
    task = f"---\nid: 1\ntitle: t\npriority: {value}\n---\n"
    root = written(tmp_path / "backlog/tasks/task-1.md", task).parents[2]
    assert len(list(backlog_md.read(root))) == 1
    if len(value) < 1000:
        assert len(list(queue_yaml.read(queue))) == 1
    else:
        with pytest.raises(BadInput, match="put it in quotes"):
            list(queue_yaml.read(queue))


def test_long_texts_take_no_long_time(tmp_path: Path) -> None:
    body = "\n" * 200_000 + "blocked by " + "a" * 200_000
    list(github_issues.read(written(tmp_path / "issues.json", [ISSUE | {"body": body}])))
    marks = "<!-- AC" * 100_000
    task = written(tmp_path / "backlog/tasks/task-1.md", f"---\nid: 1\ntitle: t\n---\n{marks}\n" + "<!-- AC\n" * 30_000)
    list(backlog_md.read(task.parents[2]))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 5000), tmp_path):
        with pytest.raises(BadInput):
            guess(path)
        with pytest.raises(BadInput):
            list(backlogs.read(path, "beads"))
