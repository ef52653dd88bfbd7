"""Verdicts by agents: work that was submitted gets a QA task, and what that concludes decides. Only where the setting
`qa_tasks` says so; a person may give the verdict at any time before.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shoal.model.dependency import DependencyKind
from shoal.model.event import Kind
from shoal.model.repository import without_login
from shoal.model.session import Branch
from shoal.model.task import Criterion, NewTask, Status, Task
from shoal.services import dependencies, events, orphans, outcomes, tasks
from shoal.services.changes import change
from shoal.services.refs import get_task
from shoal.services.transaction import Tx

CURSOR = "qa"
TYPE = "qa"
EVENTS_PER_LOOK = 20_000
TITLE_LIMIT = 400
VERDICTS = {"approve": True, "reject": False}
_OF = re.compile(r"qa-(\D+\d+)-(\d+)")


class QaResult(msgspec.Struct, frozen=True):
    """What a QA task's result must say."""

    verdict: str
    notes: str = ""


def follow(tx: Tx) -> tuple[list[str], bool]:
    """Make a QA task for each work submitted since the last look, and take the verdicts of those that are done.

    Once per submission for ever; what was submitted before this was first called is left to people. What was done, a
    line each, and whether there is more to look at.
    """
    if not tx.settings.qa_tasks:
        return [], False
    after, upto, more = events.next_stretch(tx, CURSOR, limit=EVENTS_PER_LOOK)
    if upto == after:
        return [], False
    done = []
    for number, kind in tx.all("qa.events", after=after, upto=upto):
        found = get_task(tx, number)
        if kind == Kind.TASK_SUBMITTED:
            done += _request(tx, found)
        else:
            done += _conclude(tx, found)
    events.move_cursor(tx, CURSOR, upto)
    return done, more


def _request(tx: Tx, submitted: Task) -> list[str]:
    name = f"qa-{submitted.task_id}-{submitted.attempt}"
    if submitted.status is not Status.REVIEW or submitted.type == TYPE or tx.all("tasks.find", name=name):
        return []
    new = NewTask(
        title=f"Review {submitted.task_id}: {submitted.title}"[:TITLE_LIMIT],
        type=TYPE,
        priority=submitted.priority,
        queue=submitted.queue,
        repos=[without_login(name) for name in submitted.repos],
        labels=["qa"],
        external_key=name,
        request_id=name,
        success_criteria=[Criterion("the result has a verdict", 'result.verdict matches "^(approve|reject)$"')],
        body=_question(tx, submitted) if tx.has_vault else None,
    )
    [(task, is_new)] = tasks.insert(tx, [new])
    if is_new:
        dependencies.depend(tx, task=task.id, on=submitted.id, kind=DependencyKind.RELATED)
    return [f"{submitted.task_id}: {task.task_id} made to review it"] if is_new else []


def _conclude(tx: Tx, done: Task) -> list[str]:
    """Give the verdict of a QA task, if the work still awaits one."""
    of = _OF.fullmatch(done.external_key or "")
    if of is None:
        return []
    found = get_task(tx, of[1])
    if found.status is not Status.REVIEW or found.attempt != int(of[2]):
        return []
    try:
        conclusion = msgspec.convert(done.result, QaResult)
        approve = VERDICTS[conclusion.verdict]
    except (msgspec.ValidationError, KeyError):
        message = f"{done.task_id} is done and gave no verdict; `shoal review {found.task_id}` gives one"
        change(tx, found, Kind.TASK_COMMENTED, {}, data={"message": message})
        return [f"{found.task_id}: {message}"]
    notes = conclusion.notes or done.summary or f"{done.task_id} says so"
    acting = tx.acting_as(done.assignee or tx.actor)
    outcomes.review(acting, task=found.id, approve=approve, notes=notes)
    return [f"{found.task_id}: {'approved' if approve else 'rejected'} by {done.task_id}"]


def _question(tx: Tx, submitted: Task) -> str:
    branches: list[Branch] = orphans.branches(tx, submitted.id)
    where = "".join(f"- {one.repository}: `git diff {one.base}...{one.branch}`\n" for one in branches if one.commits)
    told: list[Any] = [
        f"Judge the work on {submitted.task_id}. `shoal show {submitted.task_id}` and `shoal body {submitted.task_id}` "
        "say what was asked for and what came of it.\n",
        f"\nIts commits, in the same repository:\n\n{where}" if where else "",
        '\nWrite the verdict into $SHOAL_RESULT_FILE: `{"verdict": "approve"}`, or `{"verdict": "reject", '
        '"notes": "…"}` with what is to be done better. Change nothing.\n',
    ]
    return "".join(told)
