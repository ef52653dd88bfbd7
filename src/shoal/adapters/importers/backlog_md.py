"""Backlog.md: a folder `backlog` with a markdown file per task; completed and archived ones have their own folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal.adapters.importers import reading, record
from shoal.errors import BadInput
from shoal.model.item_import import ImportedItem, Refusal, System

SYSTEM = System.BACKLOG_MD
ROOTS = ("backlog", ".backlog", "")
# What a task's folder says of it, whatever its own status; "" for what it says itself.
FOLDERS = {
    "tasks": "",
    "drafts": "draft",
    "completed": "done",
    "archive/tasks": "archived",
    "archive/drafts": "archived",
}
LARGEST = 1024 * 1024
OWN = frozenset({"created_date", "updated_date", "subtasks", "ordinal", "onstatuschange", "completed_date"})
_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_MARKS = re.compile(r"^[ \t]*<!-- *(?:AC|DOD|SECTION|COMMENTS?)[^>\n]*-->[ \t]*\n?", re.MULTILINE)


def fits(path: Path) -> bool:
    """Whether a path looks like such a folder, or holds one."""
    root = _root(path)
    return root is not None and (any((root / "tasks").glob("*.md")) or (root / "config.yml").is_file())


def read(path: Path) -> Iterator[ImportedItem | Refusal]:
    """The tasks of a folder, or of the one `backlog` in it. Raises BadInput when there is none."""
    root = _root(path)
    if root is None:
        raise BadInput(f"{path} has no folder backlog/tasks, as Backlog.md has it", field="file")
    last = _last_status(root)
    for folder, says in FOLDERS.items():
        for file in sorted((root / folder).glob("*.md")):
            place = record.line(file.relative_to(root).as_posix())
            if file.stem.casefold() == "readme":
                continue
            if file.is_symlink():
                yield Refusal(place, "it is a link, and not followed")
                continue
            try:
                yield _task(reading.read_text(file, limit=LARGEST), place, says, last)
            except BadInput as error:
                yield Refusal(place, error.message)


def _root(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    return next((path / name for name in ROOTS if (path / name / "tasks").is_dir()), None)


def _last_status(root: Path) -> str:
    """The last status of its board is that of finished tasks."""
    try:
        given = reading.yaml_of(reading.read_text(root / "config.yml", limit=LARGEST), "config.yml")
    except BadInput:
        return "done"
    statuses = given.get("statuses") if isinstance(given, dict) else None
    return record.line(statuses[-1]).casefold() if isinstance(statuses, list) and statuses else "done"


def _task(text: str, place: str, says: str, last: str) -> ImportedItem | Refusal:
    matter = _MATTER.match(text)
    if matter is None:
        return Refusal(place, "it has no front matter")
    given = reading.yaml_of(matter[1], "its front matter")
    if not isinstance(given, dict):
        return Refusal(place, "its front matter is no table")
    left = {key: value for key, value in given.items() if record.line(key).casefold() not in OWN}

    def pop(*names: str) -> Any:
        found = [left.pop(name, None) for name in names]
        return next((one for one in found if one not in (None, "", [])), None)

    status = record.line(pop("status"))
    ended = "done" if status.casefold() == last or record.state_of(status)[0] == "done" else None
    owners = record.names(pop("assignee", "assignees"))
    labels = [*record.names(pop("labels")), *(["draft"] if says == "draft" else [])]
    return record.item(
        SYSTEM,
        _id(pop("id")),
        place=place,
        title=pop("title"),
        body=_MARKS.sub("", text[matter.end() :]),
        status="done" if says == "done" else ended or ("declined" if says == "archived" else status),
        priority=pop("priority"),
        type=pop("type"),
        labels=labels,
        owner=owners[0] if owners else None,
        due_at=pop("due_date", "due"),
        closed_at=given.get("completed_date") or given.get("updated_date"),
        parent=_id(pop("parent_task_id", "parent")),
        blocked_by=[_id(one) for one in record.names(pop("dependencies", "depends_on"))],
        files=record.names(pop("files", "modified_files", "modifiedFiles")),
        rest=({"assignees": owners[1:]} if owners[1:] else {}) | left,
    )


def _id(given: Any) -> str:
    """An id as it is compared: TASK-1 is task-1, and a bare 1 too."""
    plain = record.line(given).casefold()
    return f"task-{plain}" if re.fullmatch(r"\d+(\.\d+)*", plain) else plain
