"""Orphans: tasks whose worker is gone, and what is left of its work. Who else takes tasks back: leases.py.

A lease that ends is normally taken back at once. Where a supervisor can look into the repositories, it promises to (a
cursor that stands at a moment), and until then the tasks that may have left something there are its own. It renews the
promise each round; when the forge does not answer it takes it back, and nothing waits.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from shoal.model.content import ContentKind
from shoal.model.dependency import DependencyKind
from shoal.model.event import Kind
from shoal.model.repository import without_login
from shoal.model.session import Branch, Outcome
from shoal.model.supervision import Rule
from shoal.model.task import NewTask, Status, Task
from shoal.services import dependencies, events, failures, tasks
from shoal.services.changes import change, require
from shoal.services.refs import get_task, lock_task
from shoal.services.transaction import Tx

PROMISE = "orphans"
CURSOR = "investigations"
INVESTIGATION = "investigate-"
PAGE = 100
SESSIONS_LOOKED_AT = 20
EVENTS_PER_LOOK = 20_000
SESSION_GRACE_MS = 300_000  # a worker that has lost its attempt still says how its session ended
TITLE_LIMIT = 400
_branches = msgspec.json.Decoder(list[Branch]).decode


class Rescue(Struct, frozen=True, kw_only=True):
    """What was left of an attempt: the URLs of its open pull requests, and what to tell about all of it.

    `opened` are those of them that were opened only now; each as an event tells it.
    """

    pull_requests: list[str] = []
    opened: list[dict[str, Any]] = []
    message: str = ""


def expired(tx: Tx, *, after: int = 0, limit: int = PAGE) -> list[Task]:
    """The next tasks whose lease is over and that may have left something in a repository."""
    return [tx.task(row) for row in tx.all("orphans.expired", now=tx.now, after=after, limit=limit)]


def held(tx: Tx, *, held_ms: int, after: int = 0, limit: int = PAGE) -> list[Task]:
    """The next tasks that somebody has had for so long."""
    return [tx.task(row) for row in tx.all("orphans.held", before=tx.now - held_ms, after=after, limit=limit)]


def branches(tx: Tx, task: int) -> list[Branch]:
    """The branches that sessions of a task worked on, as the newest one of each left it."""
    found: dict[tuple[str, str], Branch] = {}
    for (text,) in tx.all("orphans.branches", task=task, limit=SESSIONS_LOOKED_AT):
        for branch in _branches(text):
            found.setdefault((branch.repository, branch.branch), branch)
    return list(found.values())


def promise(tx: Tx, *, seconds: float) -> None:
    """Promise to look after orphans for so long; 0 takes the promise back."""
    events.take_cursor(tx, PROMISE)
    events.move_cursor(tx, PROMISE, tx.now + int(1000 * seconds))


def rescue(tx: Tx, *, task: int, attempt: int, gone: bool, left: Rescue) -> Task | None:
    """Move an orphan with an open pull request to review; without one, take it back as the end of a lease does.

    `gone` says that its process is known to be gone, whatever its lease says. None when the attempt no longer has the
    task, or its worker is back.
    """
    found = lock_task(tx, task)
    orphaned = found.status is Status.ACTIVE and found.attempt == attempt
    for one in left.opened:  # true even if the worker came back meanwhile
        tx.emit(Kind.PULL_REQUEST_OPENED, found, was=found.status.value, attempt=attempt, data=one)
    if not orphaned or (not gone and (found.leased_until or 0) >= tx.now):
        return None
    ended = f"attempt {attempt} by {found.worker} " + ("is gone" if gone else "ended without a word")
    nobody: dict[str, Any] = {"worker": None, "leased_until": None}
    if left.pull_requests:
        require(found, "rescue")
        data = _told(tx, found, f"{ended}. {left.message}") | {"pull_requests": left.pull_requests}
        return change(tx, found, Kind.TASK_ORPHANED, {"status": Status.REVIEW, **nobody}, data=data, attempt=attempt)
    if left.message:
        data = _told(tx, found, f"{ended}. {left.message}")
        tx.emit(Kind.TASK_ORPHANED, found, was=found.status.value, attempt=attempt, data=data)
    return failures.lose(tx, found, ended, told={"rule": Rule.ORPHAN.value})


def investigate(tx: Tx) -> tuple[int, bool]:
    """Make an investigation of each task that failed because its worker was gone: how many, and whether there is more.

    One per task for ever, none of investigations, none of what failed before this was first called.
    """
    after, upto, more = events.next_stretch(tx, CURSOR, limit=EVENTS_PER_LOOK)
    if upto == after:
        return 0, False
    failed = dict.fromkeys(task for (task,) in tx.all("orphans.given_up", after=after, upto=upto))
    made = sum(_investigate(tx, get_task(tx, number)) for number in failed)
    events.move_cursor(tx, CURSOR, upto)
    return made, more


def lose_sessions(tx: Tx, *, limit: int = PAGE) -> int:
    """End the sessions whose attempt is over although nobody ended them; how many."""
    rows = sorted(tx.all("orphans.lose_sessions", before=tx.now - SESSION_GRACE_MS, now=tx.now, limit=limit))
    for session, task, attempt in rows:
        found = get_task(tx, task)
        data = {"session": session, "outcome": Outcome.LOST.value, "rule": Rule.ORPHAN.value}
        tx.emit(Kind.SESSION_ENDED, found, was=found.status.value, attempt=attempt, data=data)
    return len(rows)


def _investigate(tx: Tx, failed: Task) -> bool:
    name = f"{INVESTIGATION}{failed.task_id}"
    if failed.status is not Status.FAILED or (failed.external_key or "").startswith(INVESTIGATION):
        return False
    if tx.all("tasks.find", name=name):
        return False
    new = NewTask(
        title=f"Investigate why {failed.task_id} failed: {failed.title}"[:TITLE_LIMIT],
        type="system",
        priority=1,
        queue=failed.queue,
        labels=["investigation"],
        repos=[without_login(name) for name in failed.repos],
        external_key=name,
        request_id=name,
        body=_question(failed) if tx.has_vault else None,
    )
    [(task, is_new)] = tasks.insert(tx, [new])
    if is_new:
        dependencies.depend(tx, task=task.id, on=failed.id, kind=DependencyKind.DISCOVERED_FROM)
    return is_new


def _question(failed: Task) -> str:
    return (
        f"{failed.task_id} failed: {failed.last_error}. That was its last attempt ({failed.failures} failed), and it "
        "left no pull request. Find out why its workers vanish (memory, time limits, a crash) and mend it if you can. "
        f"Then put it back to work with `shoal reopen {failed.task_id}`, or say why it should stay so.\n\n"
        f"`shoal show {failed.task_id}` tells its history.\n"
    )


def _told(tx: Tx, task: Task, message: str) -> dict[str, Any]:
    """What an event tells of an orphan; it also stands under the notes of its file."""
    data: dict[str, Any] = {"rule": Rule.ORPHAN.value, "message": message}
    if tx.has_vault and tx.vault.archived(task.task_id) is None:
        data["content"] = tx.lay_down(task.id, ContentKind.DISCOVERY, message)
    return data
