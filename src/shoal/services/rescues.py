"""Work that its attempt could not push, out of a home that goes: the ledger tells of it, the vault has it.

An attempt may have lost its task by then: what it did must not be lost with it.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any

from msgspec import Meta

from shoal.adapters.vault.layout import Layout
from shoal.errors import BadInput, NotFound
from shoal.model.content import RESCUE_LIMIT, ContentKind, Rescue, RescuedFile
from shoal.model.event import Kind, event_from_row
from shoal.model.fields import Name, Positive, TaskRef, Text
from shoal.model.session import Branch
from shoal.services.refs import get_task, lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

LISTED = 100
FileName = Annotated[
    str,
    Meta(min_length=1, max_length=120, pattern=r"^\w[\w.-]*(?![\s\S])", description="Letters, digits, . _ and -"),
]


@verb("POST /tasks/{task}/rescues", status=201, repeatable=True)
def rescue(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    repository: Name,
    reason: Annotated[Text, Meta(description="Why it could not be pushed.")],
    name: Annotated[FileName | None, Meta(description="web.bundle, web.patch; what stands before it is added.")] = None,
    data: Annotated[
        Annotated[bytes, Meta(max_length=RESCUE_LIMIT)] | None,
        Meta(description="The file, 5 MB at most; null when it is larger."),
    ] = None,
    branches: Annotated[list[Branch], Meta(max_length=50)] = [],  # noqa: B006 - never written to
) -> Rescue:
    """Bring work that could not be pushed to the vault, beside the task's shared context, and tell of it.

    Without data, or without a vault, it is told that the work is lost with its home. The attempt need not have the
    task any more. The same work is told of once.
    """
    found = lock_task(tx, task)
    if attempt > found.attempt:
        raise BadInput(f"{found.task_id} has had {found.attempt} attempts, not {attempt}", field="attempt")
    told: dict[str, Any] = {"repository": repository, "reason": reason}
    told["branches"] = [{"branch": one.branch, "head": one.head, "commits": one.commits} for one in branches]
    file = None if name is None or data is None else f"{found.task_id}.{attempt}.{name}"
    heads = [one.head for one in branches]
    for known in rescues(tx, task=found.id):
        known_heads = [one.head for one in known.branches]
        if (known.attempt, known.repository, known.file, known_heads) == (attempt, repository, file, heads):
            return known
    if file is None or data is None:
        told["missing"] = f"it is larger than {RESCUE_LIMIT:,} bytes"
    elif not tx.has_vault:
        told["missing"] = "there is no vault to keep it in"
    else:
        path = Layout.of(tx.settings).rescue_file(file)
        told |= {"file": file, "path": str(path), "bytes": len(data)}
        told["content"] = tx.lay_down(found.id, ContentKind.RESCUED, b64encode(data).decode(), key=file)
    tx.emit(Kind.TASK_RESCUED, found, was=found.status.value, attempt=attempt, data=told)
    return _rescue(found.task_id, attempt, tx.now, told)


@verb("GET /tasks/{task}/rescues")
def rescues(tx: Tx, *, task: TaskRef) -> list[Rescue]:
    """What attempts could not push, oldest first; the newest hundred."""
    rows = tx.all("events.rescues", task=get_task(tx, task).id, limit=LISTED)
    events = [event_from_row(row, tx.identity.prefix) for row in reversed(rows)]
    return [_rescue(str(one.task_id), one.attempt or 0, one.at, one.data) for one in events]


@verb("GET /tasks/{task}/rescues/{file}", reads_vault=True)
def rescued_file(tx: Tx, *, task: TaskRef, file: FileName) -> RescuedFile:
    """The bundle or patch of a rescue: `git fetch FILE BRANCH`, `git apply FILE`."""
    found = get_task(tx, task)
    if not file.startswith(f"{found.task_id}."):
        raise NotFound(f"{found.task_id} has no file {file}", field="file")
    return RescuedFile(file, tx.vault.rescued(file))


def _rescue(task_id: str, attempt: int, at: int, told: dict[str, Any]) -> Rescue:
    branches = [Branch(told["repository"], one["branch"], "", one["head"], one["commits"]) for one in told["branches"]]
    return Rescue(
        task_id=task_id,
        attempt=attempt,
        at=at,
        repository=told["repository"],
        reason=told["reason"],
        branches=branches,
        file=told.get("file"),
        path=told.get("path"),
        bytes=told.get("bytes", 0),
        missing=told.get("missing"),
    )
