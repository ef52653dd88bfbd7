"""Content of tasks: bodies, results, shared context, notes, discoveries, archives. It goes through the ledger into the
vault: who may write and that it was written is known here, the text is only there.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shoal.errors import BadInput, NotFound, Refused, TooLarge, WrongStatus
from shoal.model.content import Body, ContentKind, Context, Entry, Facts, Key, Notes, ProgressLine, Written
from shoal.model.event import Kind
from shoal.model.fields import Markdown, Name, Positive, TaskRef, Text
from shoal.model.result import is_deep
from shoal.model.task import FINISHED, Task
from shoal.services import costs, events, said
from shoal.services.leases import held
from shoal.services.refs import get_task, lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

ARCHIVED = "archived"  # a cursor that stands at a completed_at, not at an event
VALUE_LIMIT = 256 * 1024
CONTEXT_LIMIT = 1024 * 1024
VALUE_DEPTH = 50
Given = Annotated[Markdown, Meta(min_length=1)]
_encode = msgspec.json.Encoder().encode


@verb("GET /tasks/{task}/body", reads_vault=True)
def body(tx: Tx, *, task: TaskRef) -> Body:
    """The body of a task's file, as markdown; of a task without a file the sections that it would have."""
    found = get_task(tx, task)
    told = tx.vault.body(found)
    if told.path is None:
        _refuse_archived(tx, found)
    return told


@verb("PUT /tasks/{task}/body", repeatable=True, reads_vault=True)
def set_body(
    tx: Tx,
    *,
    task: TaskRef,
    text: Markdown,
    version: Annotated[
        Name | None, Meta(description="The version that this one replaces; refused when there is a newer one.")
    ] = None,
    attempt: Positive | None = None,
) -> Written:
    """Write the body of a task. The front matter is not touched.

    With a `version` the text takes the place of all that stood there. Without one, what others wrote under `## Notes`
    and `## Result` stays, unless the text has these headings itself.
    """
    found = _writable(tx, task, attempt)
    now = tx.vault.body(found).version
    if version not in (None, now):
        raise Refused(
            f"the body of {found.task_id} was changed meanwhile (version {now}); read it again and bring in both",
            field="version",
        )
    # What somebody writes until this is in the file is not overwritten.
    whole = version is not None
    kind = ContentKind.BODY
    return _write(tx, found, Kind.TASK_WRITTEN, kind, text, attempt=attempt, base=now, whole=whole)


@verb("POST /tasks/{task}/result", status=201)
def result(
    tx: Tx,
    *,
    task: TaskRef,
    text: Given,
    pull_requests: Annotated[list[Name], Meta(max_length=50, description="URLs; they are linked.")] = [],  # noqa: B006
    attempt: Positive | None = None,
    report: said.Report | None = None,
    again: said.Again = False,
) -> Written:
    """Add to the result of a task: it stands under `## Result` of its file. A worker names its attempt."""
    found = _writable(tx, task, attempt)
    links = "".join(f"\n- {_link(url)}" for url in pull_requests)
    if said.before(tx, found.id, Kind.TASK_REPORTED, report, again=again):
        return Written(found.task_id, ContentKind.RESULT)
    told = ({"pull_requests": pull_requests} if pull_requests else {}) | said.told(report)
    text = f"{text.rstrip()}\n{links}" if links else text
    return _write(tx, found, Kind.TASK_REPORTED, ContentKind.RESULT, text, attempt=attempt, told=told)


@verb("POST /tasks/{task}/context", reads_vault=True)
def share(
    tx: Tx,
    *,
    task: TaskRef,
    key: Key,
    value: Annotated[Any, Meta(description="JSON, 256 KiB at most.")] = None,
    attempt: Positive | None = None,
) -> Written:
    """Set a key of the context that the participants of a task share. Other keys stay as they are."""
    found = _writable(tx, task, attempt)
    size = _check_value(value) + len(_encode(tx.vault.context(found.task_id).values))
    if size > CONTEXT_LIMIT:
        raise TooLarge(
            f"the context of {found.task_id} would have {size} bytes, the limit is {CONTEXT_LIMIT}; "
            "share the path of a file instead",
            field="value",
        )
    return _write(
        tx, found, Kind.TASK_SHARED, ContentKind.SHARED, "", attempt=attempt, told={"key": key}, key=key, value=value
    )


@verb("GET /tasks/{task}/context", reads_vault=True)
def context(tx: Tx, *, task: TaskRef) -> Context:
    """What the participants of a task share."""
    found = get_task(tx, task)
    return tx.vault.context(found.task_id)


@verb("POST /tasks/{task}/notes", status=201)
def note(tx: Tx, *, task: TaskRef, text: Given) -> Written:
    """Write something down about a task, for yourself: only you get it back."""
    found = lock_task(tx, task)
    return _write(tx, found, Kind.TASK_NOTED, ContentKind.NOTE, text)


@verb("GET /tasks/{task}/notes", reads_vault=True)
def notes(tx: Tx, *, task: TaskRef) -> Notes:
    """Your own notes on a task. Those of others are not given out."""
    found = get_task(tx, task)
    return Notes(found.task_id, tx.actor, tx.vault.notes(found.task_id, tx.actor))


@verb("GET /tasks/{task}/progress", reads_vault=True)
def progress_log(tx: Tx, *, task: TaskRef) -> list[ProgressLine]:
    """Every progress report of a task, oldest first."""
    found = get_task(tx, task)
    return tx.vault.progress(found.task_id)


@verb("POST /tasks/{task}/discover", status=201)
def discover(
    tx: Tx,
    *,
    task: TaskRef,
    text: Annotated[Text, Meta(min_length=1)],
    attempt: Positive | None = None,
) -> Written:
    """Tell every participant of a task what you found out; it also stands under `## Notes` of its file."""
    found = _writable(tx, task, attempt)
    return _write(
        tx, found, Kind.TASK_DISCOVERED, ContentKind.DISCOVERY, text, attempt=attempt, told={"discovery": text}
    )


@verb("POST /tasks/{task}/archive")
def archive(tx: Tx, *, task: TaskRef) -> Written:
    """Pack the files of a finished task into one archive; `restore` brings them back."""
    found = lock_task(tx, task)
    if found.status not in FINISHED:
        raise WrongStatus(f"{found.task_id} is {found.status.value}; only finished tasks are archived", field="task")
    return _write(tx, found, Kind.TASK_ARCHIVED, ContentKind.ARCHIVE, "")


@verb("POST /tasks/{task}/restore", reads_vault=True)
def restore(tx: Tx, *, task: TaskRef) -> Written:
    """Bring the files of an archived task back."""
    found = lock_task(tx, task)
    if tx.vault.archived(found.task_id) is None:
        raise NotFound(f"{found.task_id} has no archive; its files are where they always were", field="task")
    return _write(tx, found, Kind.TASK_RESTORED, ContentKind.RESTORE, "")


def due_for_archive(tx: Tx, *, finished_before: int, limit: int) -> list[Task]:
    """The next finished tasks, oldest first, that have not come up here yet; reopened ones come up again."""
    rows = tx.all("tasks.finished_between", after=events.take_cursor(tx, ARCHIVED), before=finished_before, limit=limit)
    tasks = [tx.task(row) for row in rows]
    if tasks:
        events.move_cursor(tx, ARCHIVED, tasks[-1].completed_at or 0)
    return tasks


def facts(tx: Tx, tasks: list[Task]) -> list[Facts]:
    """What the files of these tasks show."""
    blockers = tx.many("dependencies.blockers_of", [{"id": task.id} for task in tasks])
    spent = costs.of_tasks(tx, tasks)
    return [
        Facts(
            task,
            depends_on=[tx.shown(blocker) for (blocker,) in rows],
            parent=None if task.parent is None else tx.shown(task.parent),
            cost_usd_micros=cost,
        )
        for task, rows, cost in zip(tasks, blockers, spent, strict=True)
    ]


def committed(tx: Tx, entries: list[Entry]) -> list[Entry]:
    """Those of these entries whose transactions were committed: their tokens stand in the log."""
    return [one for one in entries if tx.one("events.of_content", task=one.task, token=f'%"content":"{one.token}"%')]


def is_superseded(tx: Tx, entry: Entry) -> bool:
    """Whether a later transaction wrote the same: it must not be overwritten by what waited longer."""
    after = tx.one("events.of_content", task=entry.task, token=f'%"content":"{entry.token}"%')
    if after is None or entry.what not in (ContentKind.BODY, ContentKind.SHARED):
        return False
    kind, key = (
        (Kind.TASK_WRITTEN, "%") if entry.what is ContentKind.BODY else (Kind.TASK_SHARED, f'%"key":"{entry.key}"%')
    )
    return tx.one("events.later", task=entry.task, after=after[0], kind=kind.value, data=key) is not None


def _write(
    tx: Tx,
    task: Task,
    kind: Kind,
    what: ContentKind,
    text: str,
    *,
    attempt: int | None = None,
    told: dict[str, Any] | None = None,
    **more: Any,
) -> Written:
    if what is not ContentKind.RESTORE:
        _refuse_archived(tx, task)
    token = tx.lay_down(task.id, what, text, attempt=attempt, **more)
    tx.emit(kind, task, was=task.status.value, attempt=attempt, data={**(told or {}), "content": token})
    return Written(task.task_id, what)


def _refuse_archived(tx: Tx, task: Task) -> None:
    if tx.vault.archived(task.task_id) is not None:
        raise Refused(
            f"the files of {task.task_id} are archived; bring them back: shoal archive {task.task_id} --restore"
        )


def _writable(tx: Tx, task: str | int, attempt: int | None) -> Task:
    """The task, if this attempt may write: its own, or nobody's in particular."""
    found = lock_task(tx, task)
    if attempt is not None:
        held(tx, found, attempt)
    return found


def _check_value(value: Any) -> int:
    """The bytes of a value that may be shared."""
    if is_deep(value, VALUE_DEPTH):
        raise BadInput(f"value is nested more than {VALUE_DEPTH} levels deep", field="value")
    try:
        encoded = _encode(value)
    except (TypeError, RecursionError, UnicodeEncodeError) as error:
        raise BadInput(f"value is not JSON: {error}", field="value") from None
    if len(encoded) > VALUE_LIMIT:
        raise TooLarge(f"value has {len(encoded)} bytes, the limit is {VALUE_LIMIT}; put it into a file", field="value")
    return len(encoded)


def _link(url: str) -> str:
    if url.startswith(("https://", "http://")) and not set(url) & set(" <>()[]\"'`\\|"):
        name = url.removeprefix("https://").removeprefix("http://")
        parts = name.split("/")
        short = f"{parts[1]}/{parts[2]}#{parts[4]}" if len(parts) == 5 and parts[3] == "pull" else name
        return f"[{short}]({url})"
    raise BadInput(f"{url!r} is not the URL of a pull request", field="pull_requests")
