"""A markdown checklist: `- [ ] Title P1 #label @assignee ~2h id:name blocked-by:name,name`.

Nesting is parenthood, `[x]` is completed, `[-]` and `[~]` are cancelled. Whatever is no checkbox is left alone, and so
is everything in fenced code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from shoal.adapters.formats.line import Line
from shoal.model.task import Task

_BOX = re.compile(r"^(?P<indent>[ \t]*)(?:[-*+]|\d+[.)])[ \t]+\[(?P<mark>.)\][ \t]+(?P<text>.*\S)[ \t]*$")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})")
_PRIORITY = re.compile(r"^\(?([Pp][0-3])\)?$")
_ESTIMATE = re.compile(r"^~(\d+(?:\.\d+)?)(m|min|h|d)$")
_NAMED = re.compile(r"^(id|blocked-by|type|queue|repo|model|workflow):(\S+)$")
_MINUTES = {"m": 1, "min": 1, "h": 60, "d": 480}
_STATUS = {" ": None, "x": "completed", "X": "completed", "-": "cancelled", "~": "cancelled"}


def read(text: str) -> Iterator[Line]:
    """The tasks of a file, in its order."""
    above: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if opening := _FENCE.match(line):
            if fence is None:
                fence = opening[1][0]
            elif opening[1][0] == fence:
                fence = None
            continue
        box = None if fence else _BOX.match(line)
        if box is None:
            continue
        depth = len(box["indent"].expandtabs(4))
        while above and above[-1][0] >= depth:
            above.pop()
        parent = above[-1][1] if above else None
        found = _line(number, box["mark"], box["text"], parent)
        path = f"{parent or ''}/{found.key or found.fields.get('title', number)}"
        seen[path] = seen.get(path, 0) + 1
        key = found.key or f"{path}#{seen[path]}"
        above.append((depth, key))
        yield Line(number, found.fields, key, parent, found.depends_on, found.status, found.refused)


def write(tasks: Iterable[tuple[Task, list[str]]]) -> Iterator[str]:
    """A checklist, children below their parents."""
    found = list(tasks)
    numbers = {task.id for task, _ in found}
    below: dict[int | None, list[tuple[Task, list[str]]]] = {}
    for task, depends_on in found:
        below.setdefault(task.parent if task.parent in numbers else None, []).append((task, depends_on))
    # A stack, not recursion: nesting has no limit.
    pending = [(0, *one) for one in reversed(below.get(None, []))]
    while pending:
        depth, task, depends_on = pending.pop()
        yield f"{'  ' * depth}- [{_mark(task)}] {_text(task, depends_on)}\n"
        pending.extend((depth + 1, *one) for one in reversed(below.get(task.id, [])))


def _line(number: int, mark: str, text: str, parent: str | None) -> Line:
    if mark not in _STATUS:
        return Line(number, refused=f"[{mark}] is not a checkbox of [ ], [x], [-] or [~]", parent=parent)
    fields: dict[str, Any] = {}
    words: list[str] = []
    key: str | None = None
    depends_on: list[str] = []
    for word in text.split():
        if priority := _PRIORITY.match(word):
            fields["priority"] = priority[1].upper()
        elif estimate := _ESTIMATE.match(word):
            fields["estimate_minutes"] = round(float(estimate[1]) * _MINUTES[estimate[2]])
        elif named := _NAMED.match(word):
            if named[1] == "id":
                key = named[2]
            elif named[1] == "blocked-by":
                depends_on += [one for one in named[2].split(",") if one]
            elif named[1] == "repo":
                fields.setdefault("repos", []).append(named[2])
            else:
                fields[named[1]] = named[2]
        elif word.startswith("#") and len(word) > 1 and not word[1].isdigit():
            fields.setdefault("labels", []).append(word[1:])
        elif word.startswith("@") and len(word) > 1:
            fields["assignee"] = word[1:]
        else:
            words.append(word)
    fields["title"] = " ".join(words)
    return Line(number, fields, key, parent, depends_on, _STATUS[mark])


def _mark(task: Task) -> str:
    return {"completed": "x", "cancelled": "-"}.get(task.status, " ")


def _text(task: Task, depends_on: list[str]) -> str:
    words = [task.title]
    if task.priority != 2:
        words.append(f"P{task.priority}")
    words += [f"#{label}" for label in task.labels if " " not in label]
    if task.assignee and " " not in task.assignee:
        words.append(f"@{task.assignee}")
    if task.estimate_minutes:
        words.append(f"~{task.estimate_minutes}m")
    for name, value, default in (("type", task.type, "swe"), ("queue", task.queue, "default")):
        if value != default and " " not in value:
            words.append(f"{name}:{value}")
    words.append(f"id:{task.task_id}")
    if depends_on:
        words.append(f"blocked-by:{','.join(depends_on)}")
    return " ".join(words)
