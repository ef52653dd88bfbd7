"""Task Master's tasks.json: tasks with subtasks, in one list or in one per tag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal.adapters.importers import reading, record
from shoal.errors import BadInput
from shoal.model.item_import import ImportedItem, Refusal, System

SYSTEM = System.TASK_MASTER
PLACES = (".taskmaster/tasks/tasks.json", "tasks/tasks.json", "tasks.json")
TAG = "master"  # what a list without a tag becomes there
SECTIONS = {"details": "Details", "testStrategy": "Test strategy", "acceptanceCriteria": "Acceptance criteria"}
OWN = frozenset({"createdAt", "updatedAt", "subtasks", "parentId", "parentTaskId", "complexityScore"})


def fits(path: Path) -> bool:
    """Whether a path looks like such a file, or a folder with one."""
    if path.is_dir():
        return any((path / place).is_file() for place in PLACES)
    return path.name == "tasks.json"


def read(path: Path) -> Iterator[ImportedItem | Refusal]:
    """The tasks of a file and their subtasks. Raises BadInput when it has none."""
    if path.is_dir():
        found = next((path / place for place in PLACES if (path / place).is_file()), None)
        if found is None:
            raise BadInput(f"{path} has no {PLACES[0]}", field="file")
        path = found
    name = record.line(path.name)
    for tag, tasks in _lists(reading.json_of(reading.read_text(path), name), name):
        tag = record.line(tag)
        for number, task in enumerate(tasks, start=1):
            yield from _task(task, tag, f"{name}: {tag[:100]}, task {number}")


def _lists(given: Any, name: str) -> Iterator[tuple[str, list[Any]]]:
    """The list of each tag."""
    if isinstance(given, list):
        yield TAG, given
        return
    tables = given if isinstance(given, dict) else {}
    found = [(tag, table["tasks"]) for tag, table in tables.items() if isinstance(table, dict) and _has_tasks(table)]
    if isinstance(tables.get("tasks"), list):
        found.insert(0, (TAG, tables["tasks"]))
    if not found:
        raise BadInput(f"{name} has no list `tasks`, nor a tag with one", field="file")
    yield from found


def _has_tasks(table: dict[str, Any]) -> bool:
    return isinstance(table.get("tasks"), list)


def _task(task: Any, tag: str, place: str) -> Iterator[ImportedItem | Refusal]:
    yield _record(task, tag, place, above=None, siblings=frozenset())
    subtasks = task.get("subtasks") if isinstance(task, dict) else None
    if not isinstance(subtasks, list):
        return
    above = record.line(task.get("id"))
    siblings = frozenset(record.line(one.get("id")) for one in subtasks if isinstance(one, dict))
    for number, one in enumerate(subtasks, start=1):
        yield _record(one, tag, f"{place}, subtask {number}", above=above, siblings=siblings)


def _record(given: Any, tag: str, place: str, *, above: str | None, siblings: frozenset[str]) -> ImportedItem | Refusal:
    if not isinstance(given, dict):
        return Refusal(place, f"it is no task but {type(given).__name__}")
    left = {key: value for key, value in given.items() if key not in OWN}
    id = record.line(left.pop("id", None))
    short = id.removeprefix(f"{above}.") if above else id
    parts = [record.text_of(left.pop("description", None))]
    parts += [f"{heading}: {_joined(said)}" for key, heading in SECTIONS.items() if (said := left.pop(key, None))]

    def name(ref: Any) -> str:
        """A task, or a subtask: a bare number within subtasks is a sibling where there is one."""
        plain = record.line(ref)
        return f"{tag}:{above}.{plain}" if above and plain in siblings else f"{tag}:{plain}" if plain else ""

    metadata = left.pop("metadata", None)
    return record.item(
        SYSTEM,
        (f"{tag}:{above}.{short}" if above else f"{tag}:{id}") if id else None,
        place=place,
        title=left.pop("title", None),
        body="\n\n".join(filter(None, parts)),
        status=left.pop("status", None),
        priority=left.pop("priority", None),
        effort=left.pop("effort", None),
        owner=left.pop("assignee", None),
        labels=[*record.names(left.pop("tags", None)), *([tag] if tag != TAG else [])],
        parent=f"{tag}:{above}" if above else None,
        blocked_by=[name(one) for one in record.names(left.pop("dependencies", None))],
        files=[one for one in record.names(left.pop("relevantFiles", None)) if isinstance(one, str)],
        rest=left | (metadata if isinstance(metadata, dict) else {}),
    )


def _joined(said: Any) -> str:
    return "\n".join(f"- {record.text_of(one)}" for one in said) if isinstance(said, list) else record.text_of(said)
