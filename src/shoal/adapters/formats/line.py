"""What every format speaks: a line of a file that is a task, or the reason why it is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from msgspec import Struct

from shoal.model.task import Task

# What an exported task says of itself, in the order of a CSV's columns.
EXPORTED = (
    *("id", "title", "type", "status", "priority", "queue", "labels", "parent", "depends_on", "assignee", "repos"),
    *("model", "workflow", "estimate_minutes", "deadline", "requires_qa", "max_attempts", "timeout_seconds"),
    *("slug", "external_key", "discord_thread_id", "success_criteria", "summary"),
)


class Line(Struct, frozen=True):
    """One task of a file. `key` names it within the file; `parent` and `depends_on` are such keys, or refs."""

    number: int
    fields: dict[str, Any] = {}
    key: str | None = None
    parent: str | None = None
    depends_on: list[str] = []
    status: str | None = None
    refused: str | None = None


class Format(Protocol):
    """The shape of a format's module."""

    def read(self, text: str) -> Iterator[Line]:
        """The tasks of a file, in its order."""
        ...

    def write(self, tasks: Iterable[tuple[Task, list[str]]]) -> Iterator[str]:
        """Tasks, each with the keys of what it waits for, as pieces of text."""
        ...


def exported(task: Task, depends_on: list[str]) -> dict[str, Any]:
    """What a task says of itself; empty values are left out, except the status."""
    found: dict[str, Any] = {
        name: getattr(task, name) for name in EXPORTED if name not in {"id", "parent", "depends_on"}
    }
    found["id"] = task.task_id
    found["parent"] = None if task.parent is None else f"{task.task_id.rstrip('0123456789')}{task.parent}"
    found["depends_on"] = depends_on
    return {name: found[name] for name in EXPORTED if found[name] not in (None, [], False)}
