"""Supervision: attempts that take too long, and tasks to which nothing happens. Whose worker is gone: orphans.py.

Here is only what the ledger knows. What must be asked outside (is there an open pull request?) is asked between
transactions, by daemon/supervisor.py; so everything that acts looks again whether its attempt still has the task.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from shoal.clock import DAY_MS, HOUR_MS, MINUTE_MS
from shoal.model.event import Kind
from shoal.model.fields import Limit
from shoal.model.supervision import Action, Due, Rule
from shoal.model.task import Status, Task
from shoal.services import events, failures, orphans
from shoal.services.refs import lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb
from shoal.settings import Settings
from shoal.store.database import Row

QUEUED_CURSOR = "stale-queued"  # a cursor that stands at a task's number
QUEUED_PER_LOOK = 1000
PAGE = 500


class Overdue(Struct, frozen=True):
    """An attempt that has reached the time of its warning, `warn_at`; when it was warned of, and when it is ended."""

    task: Task
    began_at: int
    warn_at: int
    fail_at: int
    warned_at: int | None

    def action(self, now: int, settings: Settings) -> Action | None:
        """`warn`, `fail`, or None while it has been warned of and its time is not over.

        However late somebody looks, the warning comes first, and the end a round of supervision after it.
        """
        if self.warned_at is None:
            return Action.WARN
        over = max(self.fail_at, self.warned_at + 1000 * settings.supervise_seconds)
        return Action.FAIL if now >= over else None


@verb("GET /supervision")
def get(tx: Tx, *, limit: Limit = 100) -> list[Due]:
    """What supervision would do in its next round, were there no pull requests to look at; it does it in `shoal serve`.

    An attempt with an open pull request is neither warned of nor failed, and one whose worker is gone then goes to
    review.
    """
    due = []
    for one in overdue(tx, limit=limit):
        if (action := one.action(tx.now, tx.settings)) is not None:
            since = one.warn_at if action is Action.WARN else one.fail_at
            due.append(_due(one.task, Rule.TIMEOUT, action, since, _overtime(tx, one)))
    for task in orphans.expired(tx, limit=limit):
        message = f"the lease of {task.worker} is over; what it pushed is looked for"
        due.append(_due(task, Rule.ORPHAN, Action.TAKE_BACK, task.leased_until or tx.now, message))
    row = tx.one("events.cursor", name=QUEUED_CURSOR)
    for found, _, since in [*_stale_queued(tx, int(row[0]) if row else 0), *_stale_active(tx)]:
        due.append(_due(found, Rule.STALE, Action.REPORT, since, _idle(tx, found, since)))
    return due[:limit]


def limits_ms(settings: Settings, estimate_minutes: int | None) -> tuple[int, int]:
    """How long an attempt may take until it is warned of, and until it is failed.

    The end would come first where a short estimate doubles sooner than the warning falls due, or where the settings say
    so; it is put off then, to `warn_minutes` after the warning.
    """
    if estimate_minutes is None:
        warn, fail = settings.warn_unestimated_minutes * MINUTE_MS, settings.fail_unestimated_minutes * MINUTE_MS
    else:
        warn = (estimate_minutes + settings.warn_minutes) * MINUTE_MS
        fail = int(estimate_minutes * settings.fail_factor * MINUTE_MS)
    return warn, fail if fail > warn else warn + settings.warn_minutes * MINUTE_MS


def overdue(tx: Tx, *, after: int = 0, limit: int = PAGE) -> list[Overdue]:
    """The next attempts that have taken longer than was thought, in the order of their tasks' numbers."""
    settings = tx.settings
    rows = tx.all(
        "supervision.overdue",
        after=after,
        now=tx.now,
        limit=limit,
        unestimated_ms=limits_ms(settings, None)[0],
        beyond_ms=limits_ms(settings, 0)[0],
    )
    return [_overdue(tx, tx.task(row[1:]), row[0]) for row in rows]


def act_on_overdue(tx: Tx, *, task: int, attempt: int) -> Action | None:
    """Warn of an attempt, or end it, if it is time: which of the two was done.

    To fail ends the lease, so that its worker hears at the next beat that it has lost the task and stops its run.
    """
    found = lock_task(tx, task)
    if found.status is not Status.ACTIVE or found.attempt != attempt:
        return None
    row = tx.one("supervision.said", task=task, attempt=attempt, rule=Rule.TIMEOUT.value)
    one = _overdue(tx, found, None if row is None else row[0])
    if tx.now < one.warn_at:
        return None
    action = one.action(tx.now, tx.settings)
    told: dict[str, Any] = {"rule": Rule.TIMEOUT.value, "message": _overtime(tx, one)}
    if action is Action.WARN:
        _say(tx, found, Rule.TIMEOUT, happened_at=0)
        told["fails_at"] = max(one.fail_at, tx.now + 1000 * tx.settings.supervise_seconds)
        tx.emit(Kind.TASK_WARNED, found, was=found.status.value, attempt=attempt, data=told)
    elif action is Action.FAIL:
        failures.end_badly(tx, found, _overtime(tx, one), attempt=attempt, told=told)
    return action


def report_stale(tx: Tx) -> list[str]:
    """Report the tasks to which nothing has happened for too long, each once until something does; which ones.

    Of the queued ones a stretch is looked at each time, and it begins again at the end of the queue.
    """
    position = events.take_cursor(tx, QUEUED_CURSOR)
    row = tx.one("supervision.queued_to", after=position, scanned=QUEUED_PER_LOOK)
    scanned, reached = (0, None) if row is None else row
    queued = _stale_queued(tx, position)
    if len(queued) < PAGE:
        events.move_cursor(tx, QUEUED_CURSOR, reached if scanned == QUEUED_PER_LOOK else 0)
    reported = []
    for seen, happened_at, since in [*queued, *_stale_active(tx)]:
        found = lock_task(tx, seen.id)
        if (found.status, found.attempt) != (seen.status, seen.attempt):
            continue
        if _say(tx, found, Rule.STALE, happened_at=happened_at):
            data = {"rule": Rule.STALE.value, "since": since, "message": _idle(tx, found, since)}
            tx.emit(Kind.TASK_STALE, found, was=found.status.value, attempt=found.attempt or None, data=data)
            reported.append(found.task_id)
    return reported


def _overdue(tx: Tx, task: Task, warned_at: int | None) -> Overdue:
    began_at = task.started_at or task.claimed_at or tx.now
    warn, fail = limits_ms(tx.settings, task.estimate_minutes)
    return Overdue(task, began_at, began_at + warn, began_at + fail, warned_at)


def _stale_queued(tx: Tx, position: int) -> list[tuple[Task, int, int]]:
    before = tx.now - tx.settings.stale_queued_days * DAY_MS
    rows = tx.all("supervision.stale_queued", after=position, scanned=QUEUED_PER_LOOK, before=before, limit=PAGE)
    return _with_tasks(tx, rows)


def _stale_active(tx: Tx) -> list[tuple[Task, int, int]]:
    before = tx.now - tx.settings.stale_active_hours * HOUR_MS
    return _with_tasks(tx, tx.all("supervision.stale_active", before=before, limit=PAGE))


def _with_tasks(tx: Tx, rows: list[Row]) -> list[tuple[Task, int, int]]:
    """Each task, when something last happened to it, and since when it has been waited for."""
    found = tx.many("tasks.get", [{"id": id} for id, *_ in rows])
    return [(tx.task(task[0]), happened, since) for task, (_, since, happened) in zip(found, rows, strict=True)]


def _say(tx: Tx, task: Task, rule: Rule, *, happened_at: int) -> bool:
    """Whether the rule may speak of the task now; it does so once, and again after something happened."""
    given = {"task": task.id, "attempt": task.attempt, "rule": rule.value}
    return tx.one("supervision.say", now=tx.now, happened_at=happened_at, **given) is not None


def _overtime(tx: Tx, one: Overdue) -> str:
    ran, allowed = ((until - one.began_at) // MINUTE_MS for until in (tx.now, one.fail_at))
    estimate = one.task.estimate_minutes
    thought = "it has no estimate" if estimate is None else f"{estimate} min were thought enough"
    return f"attempt {one.task.attempt} runs for {ran} min, {thought}; it may take {allowed} min"


def _idle(tx: Tx, task: Task, since: int) -> str:
    hours = (tx.now - since) // HOUR_MS
    if task.status is Status.QUEUED:
        return f"queued for {hours // 24} days and not claimed"
    return f"active, and nothing has been heard of it for {hours} hours"


def _due(task: Task, rule: Rule, action: Action, since: int, message: str) -> Due:
    return Due(task.task_id, task.title, task.attempt, rule, action, since, message)
