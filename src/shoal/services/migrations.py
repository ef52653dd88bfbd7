"""Tasks of an older vault brought into the ledger: with their names, moments and statuses, each once."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.errors import Refused, ShoalError
from shoal.model.content import ContentKind
from shoal.model.cost import Usage
from shoal.model.event import Kind
from shoal.model.migration import Migration, OldTask, RefusedTask
from shoal.model.repository import check_repositories
from shoal.model.task import WAITING, Status, Task, priority_of, waiting_status
from shoal.services import costs, dependencies
from shoal.services.changes import add_labels, encoded
from shoal.services.refs import get_task
from shoal.services.tasks import check_name
from shoal.services.transaction import Tx
from shoal.services.verb import verb

WORKER = "before-migration"
_ENDED = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


@verb("POST /tasks/migrate", status=201)
def migrate(
    tx: Tx,
    *,
    tasks: Annotated[list[OldTask], Meta(max_length=1000)],
    dry_run: Annotated[bool, Meta(description="Only say which are there already.")] = False,
) -> Migration:
    """Take tasks of an older vault into the ledger, in one transaction.

    One whose name or number is there already is answered and not made again. What a task depends on must be in the
    ledger, or earlier in the list. An active one is active until its lease ends, and is then queued again.
    """
    created: dict[str, int] = {}
    existing: dict[str, int] = {}
    refused: list[RefusedTask] = []
    made: list[Task] = []
    spent: list[costs.Charge] = []
    for old in tasks:
        try:
            known = _known(tx, old)
            if known in created.values():
                raise Refused(f"{old.slug or old.name!r} is the slug of another file of this vault; change one of them")
            if known is not None:
                existing[old.name] = known
            else:
                check_repositories(old.repos)
            if known is not None or dry_run:
                continue
            task, problems = _bring(tx, old, created | existing)
        except ShoalError as error:
            refused.append(RefusedTask(old.name, error.message))
            continue
        refused += [RefusedTask(old.name, problem) for problem in problems]
        created[old.name] = task.id
        made.append(task)
        if old.cost_usd_micros:
            spent.append(_spent(tx, task, old.cost_usd_micros))
    if any(old.id is not None for old in tasks) and made:
        tx.all("tasks.follow_ids")
    add_labels(tx, [task for task in made if task.labels])
    costs.put(tx, spent)
    return Migration(
        created=[tx.shown(number) for number in created.values()],
        existing=[tx.shown(number) for number in existing.values()],
        refused=refused,
        map={name: tx.shown(number) for name, number in (existing | created).items()},
    )


def _known(tx: Tx, old: OldTask) -> int | None:
    """The task that this one has become before."""
    if old.id is not None:
        row = tx.one("tasks.get", id=old.id)
        return None if row is None else old.id
    rows = tx.all("tasks.find", name=old.slug or old.name)
    if len(rows) > 1:
        raise Refused(f"{old.slug or old.name!r} names several tasks")
    return int(rows[0][0]) if rows else None


def _bring(tx: Tx, old: OldTask, numbers: dict[str, int]) -> tuple[Task, list[str]]:
    blockers, parent, problems = _relations(tx, old, numbers)
    still_open = dependencies.lean_on(tx, blockers)
    row = tx.one("tasks.bring", **_row(tx, old, parent, len(still_open)))
    if row is None:
        dependencies.lean_off(tx, blockers)
        raise Refused(f"another task has its slug {old.slug or old.name!r} already")
    task = tx.task(row)
    dependencies.attach(tx, task, blockers)
    told: dict[str, Any] = {"title": task.title, "old": old.name}
    if old.text is not None:
        told["content"] = tx.lay_down(task.id, ContentKind.FILE, old.text)
    tx.emit(Kind.TASK_MIGRATED, task, data=told)
    return task, problems


def _spent(tx: Tx, task: Task, micros: int) -> costs.Charge:
    """All that a task cost before it came here, as one call; nobody knows any more which there were."""
    usage = Usage(
        request_key=f"{WORKER}:{task.task_id}",
        provider="unknown",
        model=task.model or "unknown",
        cost_usd_micros=micros,
    )
    at = task.completed_at or task.claimed_at or task.created_at
    return costs.Charge(usage, task.assignee or tx.actor, at, task=task)


def _relations(tx: Tx, old: OldTask, numbers: dict[str, int]) -> tuple[list[int], int | None, list[str]]:
    problems: list[str] = []

    def number(name: str, what: str) -> int | None:
        try:
            found = numbers[name] if name in numbers else get_task(tx, name).id
        except ShoalError:
            found = 0
        if found == 0 or found == old.id:
            problems.append(f"{what} {name!r} is no task that was taken before it")
            return None
        return found

    blockers = [found for name in old.depends_on if (found := number(name, "depends_on")) is not None]
    parent = None if old.parent is None else number(old.parent, "parent")
    return list(dict.fromkeys(blockers)), parent, problems


def _row(tx: Tx, old: OldTask, parent: int | None, blockers: int) -> dict[str, Any]:
    status = old.status
    run_at = tx.now if old.run_at is None else old.run_at
    if status in WAITING:
        status = waiting_status(blockers=blockers, hold_reason=old.hold_reason, run_at=run_at, now=tx.now)
    active = status is Status.ACTIVE
    slug = old.slug if old.id is not None else old.slug or old.name
    if slug is not None:
        check_name(tx, slug)
    created = tx.now if old.created_at is None else old.created_at
    row: dict[str, Any] = {} if old.id is None else {"id": old.id}
    return row | {
        "title": old.title,
        "type": old.type,
        "status": status.value,
        "priority": priority_of(old.priority),
        "queue": old.queue,
        "labels": encoded(list(dict.fromkeys(old.labels))),
        "parent": parent,
        "assignee": old.assignee,
        "created_by": tx.actor,
        "repos": encoded(old.repos),
        "model": old.model,
        "workflow": old.workflow,
        "estimate_minutes": old.estimate_minutes,
        "requires_qa": int(old.requires_qa),
        "run_at": run_at,
        "slug": slug,
        "discord_thread_id": old.discord_thread_id,
        "hold_reason": old.hold_reason,
        "blockers": blockers,
        "request_id": old.request_id,
        "attempt": int(active),
        "worker": WORKER if active else None,
        "leased_until": tx.now + 1000 * tx.settings.lease_seconds if active else None,
        "created_at": created,
        "now": tx.now,
        "queued_at": tx.now if status is Status.QUEUED else None,
        "claimed_at": old.claimed_at,
        "completed_at": (old.completed_at or created) if status in _ENDED else None,
    }
