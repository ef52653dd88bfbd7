"""People and agents around a task: who joined, and what they said."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shoal.model.event import Kind
from shoal.model.fields import Name, TaskRef, Text
from shoal.model.task import Participant, Task
from shoal.services import said
from shoal.services.changes import change
from shoal.services.refs import lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb


@verb("POST /tasks/{task}/join")
def join(tx: Tx, *, task: TaskRef, agent: Name | None = None, role: Name | None = None) -> Task:
    """Take part in a task and hear of its events; joining again changes the role."""
    found = lock_task(tx, task)
    name = agent or tx.actor
    mine = next((one for one in found.participants if one.agent == name), None)
    if mine is not None and mine.role == role:
        return found
    joined = Participant(name, role, mine.joined_at if mine else tx.now)
    others = [one for one in found.participants if one.agent != name]
    if mine is None:
        tx.all("participants.add", agent=name, task_id=found.id)
    return change(tx, found, Kind.TASK_JOINED, {"participants": [*others, joined]}, data={"agent": name, "role": role})


@verb("POST /tasks/{task}/leave")
def leave(tx: Tx, *, task: TaskRef, agent: Name | None = None) -> Task:
    """Take part no longer; leaving twice changes nothing."""
    found = lock_task(tx, task)
    name = agent or tx.actor
    others = [one for one in found.participants if one.agent != name]
    if len(others) == len(found.participants):
        return found
    tx.all("participants.remove", agent=name, task_id=found.id)
    return change(tx, found, Kind.TASK_LEFT, {"participants": others}, data={"agent": name})


@verb("POST /tasks/{task}/comments")
def comment(
    tx: Tx,
    *,
    task: TaskRef,
    message: Annotated[Text, Meta(min_length=1)],
    report: said.Report | None = None,
    again: said.Again = False,
) -> Task:
    """Say something about a task; it stands in the log and reaches everyone concerned."""
    found = lock_task(tx, task)
    if said.before(tx, found.id, Kind.TASK_COMMENTED, report, again=again):
        return found
    return change(tx, found, Kind.TASK_COMMENTED, {}, data={"message": message} | said.told(report))
