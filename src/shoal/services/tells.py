"""What people tell whoever works on a task, and that it gets there: to one episode at a time, until an agent has it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shoal.errors import WrongStatus
from shoal.model.event import Kind
from shoal.model.fields import TaskRef
from shoal.model.session import Delivery, MessageText, Session, Told, preview, session_from_row
from shoal.model.task import FINISHED, Status, Task
from shoal.services import transcripts
from shoal.services.refs import lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb
from shoal.store.database import Row


@verb("POST /tasks/{task}/tell", status=201)
def tell(tx: Tx, *, task: TaskRef, text: Annotated[MessageText, Meta(min_length=1)]) -> Told:
    """Tell whoever works on a task something. `delivery` says how it gets there:

    `live` to the agent that runs, within seconds; `next_turn` to the same one when it has ended what it is at, because
    it hears nothing meanwhile; `next_episode` to whoever runs next, because nobody does now. Messages come in order.
    One that its agent may not have had, because the worker died, comes to the next attempt again.
    """
    found = lock_task(tx, task)
    if found.status in FINISHED:
        raise WrongStatus(
            f"{found.task_id} is {found.status.value}, nobody works on it; "
            f"`shoal reopen {found.task_id}` puts it back to work",
            field="task",
        )
    running = _running(tx, found)
    delivery = Delivery.NEXT_EPISODE
    if running is not None:
        delivery = Delivery.LIVE if running.takes_messages else Delivery.NEXT_TURN
    row = tx.one("tells.add", task=found.id, now=tx.now, actor=tx.actor, text=text, delivery=delivery.value)
    assert row is not None  # noqa: S101 - an insert gives its row
    told = _told(tx, row)
    data = {"told": told.id, "text": preview(text), "delivery": delivery.value}
    if running is not None:
        data |= {"session": running.id, "agent": running.agent}
    tx.emit(Kind.TASK_TOLD, found, was=found.status.value, attempt=running.attempt if running else None, data=data)
    return told


def hand_out(tx: Tx, task: Task, session: Session, *, heard: int | None, went_on: bool) -> list[Told]:
    """What an episode is to be told now; the task must be locked, and held by the session's attempt.

    What was handed out before counts as heard up to `heard`; where the worker doesn't say, when the agent went on.
    """
    attempt = session.attempt
    if heard is not None:
        tx.all("tells.heard_upto", task=task.id, attempt=attempt, heard=heard, now=tx.now)
    elif went_on:
        tx.all(
            "tells.went_on",
            task=task.id,
            attempt=attempt,
            session=session.id,
            episode=session.episodes,
            takes_messages=int(session.takes_messages),
            now=tx.now,
        )
    rows = tx.all(
        "tells.hand_out", task=task.id, attempt=attempt, session=session.id, episode=session.episodes, now=tx.now
    )
    handed = sorted((_told(tx, row) for row in rows), key=lambda told: told.id)
    for told in handed:
        data = {"told": told.id, "session": session.id, "by": told.actor, "text": preview(told.text)}
        tx.emit(Kind.TASK_HEARD, task, was=task.status.value, attempt=attempt, data=data, actor=session.agent)
    if handed:
        texts = {transcripts.heard_key(told): f"{told.actor}: {told.text}" for told in handed}
        transcripts.add_heard(tx, session=session.id, attempt=attempt, texts=texts)
    if heard is None:
        return handed
    return [_told(tx, row) for row in tx.all("tells.unheard", task=task.id, attempt=attempt, heard=heard)]


def _running(tx: Tx, task: Task) -> Session | None:
    if task.status is not Status.ACTIVE:
        return None
    row = tx.one("sessions.running", task=task.id, attempt=task.attempt)
    return None if row is None else session_from_row(row, tx.identity.prefix)


def _told(tx: Tx, row: Row) -> Told:
    id, task, actor, text, at, delivery, delivered_at = row
    return Told(id, tx.shown(task), actor, text, at, Delivery(delivery), delivered_at)
