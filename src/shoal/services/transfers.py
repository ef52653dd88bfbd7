"""Task lists in and out. An import is one transaction, says why of each line that it refuses, and can be repeated."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from shoal.adapters.formats import FORMATS, Line
from shoal.errors import BadInput, NotFound, ShoalError
from shoal.model.event import Kind
from shoal.model.fields import NO_NUL, Name, Text
from shoal.model.task import NewTask, Status, Task
from shoal.services import dependencies, tasks
from shoal.services.changes import change
from shoal.services.dependencies import release_dependents
from shoal.services.refs import get_task
from shoal.services.transaction import Tx
from shoal.services.verb import bad_input, verb

FormatName = Literal["jsonl", "csv", "markdown"]
_ENDED = {"completed": Status.COMPLETED, "failed": Status.FAILED, "cancelled": Status.CANCELLED}


class RefusedLine(Struct, frozen=True):
    """A line that was not taken, or not wholly."""

    line: int
    reason: str


class ImportReport(Struct, frozen=True):
    """What an import came to: ids of new tasks, ids of those that were there already, lines refused."""

    created: list[str]
    existing: list[str]
    refused: list[RefusedLine]


class ExportPage(Struct, frozen=True):
    """A piece of an export."""

    text: str
    tasks: int


@verb("POST /tasks/import", status=201)
def import_(
    tx: Tx,
    *,
    format: FormatName,
    text: Annotated[str, Meta(max_length=8_000_000, pattern=NO_NUL, description="The file's content.")],
    source: Annotated[
        Name, Meta(description="Where it comes from; importing the same source again adds nothing twice.")
    ],
    queue: Annotated[Name | None, Meta(description="For lines that name none.")] = None,
) -> ImportReport:
    """Take a task list into the ledger, in one transaction.

    Lines refer to each other by `id`. A line that is refused is reported with its number; the others are taken.
    """
    lines = list(FORMATS[format].read(text))
    refused: list[RefusedLine] = []
    taken: dict[int, Task] = {}
    numbers: dict[str, int] = {}
    created: list[str] = []
    existing: list[str] = []
    for line in lines:
        try:
            task, is_new = _take(tx, line, source, queue, numbers)
        except ShoalError as error:
            refused.append(RefusedLine(line.number, error.message))
            continue
        (created if is_new else existing).append(task.task_id)
        if line.key is not None:
            numbers[line.key] = task.id
        if is_new:
            taken[line.number] = task
    for line in lines:
        if line.number in taken:
            refused += _wait(tx, taken[line.number], line, numbers)
    for line in lines:
        if line.number in taken and line.status in _ENDED:
            _end(tx, taken[line.number], _ENDED[line.status])
    return ImportReport(created, existing, sorted(refused, key=lambda one: one.line))


@verb("GET /tasks/export")
def export(
    tx: Tx, *, format: FormatName = "jsonl", status: Status | None = None, queue: Name | None = None
) -> ExportPage:
    """All tasks, oldest first, as one text that `import` takes again."""
    found: list[Task] = []
    cursor: str | None = None
    while True:
        page = tasks.list_(tx, status=status, queue=queue, cursor=cursor, limit=1000)
        found += page
        cursor = page.next
        if cursor is None:
            break
    found.reverse()
    return ExportPage("".join(FORMATS[format].write([(task, _keys(tx, task)) for task in found])), len(found))


def _take(tx: Tx, line: Line, source: str, queue: str | None, numbers: dict[str, int]) -> tuple[Task, bool]:
    if line.refused is not None:
        raise BadInput(line.refused)
    fields = dict(line.fields)
    summary = fields.pop("summary", None)
    if queue is not None:
        fields.setdefault("queue", queue)
    if line.status is not None and line.status not in set(Status):
        raise BadInput(f"{line.status!r} is not a status", field="status")
    if line.parent is not None:
        fields["parent"] = _resolve(tx, line.parent, numbers)
    key = line.key or str(fields.get("slug") or fields.get("external_key") or msgspec.json.encode(line.fields))
    fields["request_id"] = "import:" + hashlib.sha256(f"{source}\x00{key}".encode()).hexdigest()
    try:
        new = msgspec.convert(fields, NewTask)
    except msgspec.ValidationError as error:
        raise bad_input(error, NewTask) from None
    [(task, is_new)] = tasks.insert(tx, [new])
    if is_new and summary:
        task = change(tx, task, Kind.TASK_UPDATED, {"summary": msgspec.convert(summary, Text)})
    return task, is_new


def _wait(tx: Tx, task: Task, line: Line, numbers: dict[str, int]) -> list[RefusedLine]:
    refused = []
    for key in line.depends_on:
        try:
            dependencies.depend(tx, task=task.id, on=_resolve(tx, key, numbers))
        except ShoalError as error:
            refused.append(RefusedLine(line.number, f"depends on {key}: {error.message}"))
    return refused


def _resolve(tx: Tx, key: str, numbers: dict[str, int]) -> int:
    if key in numbers:
        return numbers[key]
    try:
        return get_task(tx, key).id
    except NotFound:
        raise NotFound(f"{key!r} is no line of this file that was taken, and no task", field="depends_on") from None


def _end(tx: Tx, task: Task, status: Status) -> None:
    found = get_task(tx, task.id)
    ended = change(tx, found, Kind.TASK_UPDATED, {"status": status, "completed_at": tx.now}, data={"imported": status})
    if status is Status.COMPLETED:
        release_dependents(tx, ended)


def _keys(tx: Tx, task: Task) -> list[str]:
    edges: list[tuple[Any, ...]] = tx.all("dependencies.edges_within", id=task.id)
    return [tx.shown(blocker) for _, blocker, kind, _ in edges if kind == "blocks"]
