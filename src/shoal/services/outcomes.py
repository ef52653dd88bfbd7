"""How work ends: completed, failed, sent to review; and what people thought of it.

A terminal status is entered once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shoal.errors import BadInput, Refused, ShoalError, TooLarge
from shoal.model.event import Kind
from shoal.model.fields import Delay, Minutes, Name, Positive, Score, TaskRef, Text
from shoal.model.result import RESULT_DEPTH, RESULT_LIMIT, is_deep
from shoal.model.task import ClaimOutcome, Completion, Feedback, Status, Task
from shoal.services import failures, leases, seals
from shoal.services.changes import change, place, require
from shoal.services.dependencies import release_dependents
from shoal.services.leases import held, lost
from shoal.services.refs import lock_task, task_number
from shoal.services.seals import Seal
from shoal.services.transaction import Tx
from shoal.services.verb import Call, verb
from shoal.store.database import Row

_encode = msgspec.json.Encoder().encode


class CompletionOutcome(msgspec.Struct, frozen=True):
    """What became of one completion of a batch: its task's status, or why it was refused."""

    task: str
    status: Status | None = None
    error: str | None = None
    code: str | None = None


class Handover(msgspec.Struct, frozen=True):
    """A completed task and what its worker got to do next."""

    completed: Task
    next: ClaimOutcome


def _joins(given: dict[str, Any]) -> tuple[()] | None:
    return None if given["attempt"] is None else ()


def complete_each(tx: Tx, calls: list[Call]) -> Callable[[], list[Task | ShoalError]]:
    """Several completions by one statement; one that comes too late is refused by itself."""
    answers = _complete_together(tx, [Completion(**call.input) for call in calls], [call.actor for call in calls])
    return lambda: [answer if isinstance(answer, Task) else answer[1] for answer in answers()]


@verb("POST /tasks/{task}/complete", repeatable=True, joins=_joins, joined=complete_each)
def complete(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive | None = None,
    summary: Text | None = None,
    result: Annotated[Any, Meta(description="Small JSON, 64 KiB at most.")] = None,
    actual_minutes: Minutes | None = None,
    seal: Seal | None = None,
) -> Task:
    """End a task well. It is completed, or goes to review when it `requires_qa`; tasks that waited for it go on.

    A worker names its `attempt`, and has ended its agent's session before; where that had a `seal`, it names that too.
    Repeating its own completion changes nothing. Without `attempt` a person ends a task that nobody holds.
    """
    number = task_number(tx, task)
    stored = stored_result(result)
    given = {"summary": summary, "result": stored, "actual_minutes": actual_minutes}
    if attempt is None:
        return _complete_unheld(tx, number, given)
    row = tx.one("leases.complete", id=number, attempt=attempt, now=tx.now, seal=seals.hashed(seal), **given)
    if row is None:
        return _already_completed(tx, number, attempt, seal)
    return _completed(tx, tx.task(row), Status.ACTIVE)


@verb("POST /tasks/complete", repeatable=True)
def complete_many(
    tx: Tx, *, completions: Annotated[list[Completion], Meta(max_length=10_000)]
) -> list[CompletionOutcome]:
    """End many attempts in one transaction; one that lost its lease is refused by itself and harms no other."""
    outcomes = []
    for answer in _complete_together(tx, completions, [tx.actor] * len(completions))():
        if isinstance(answer, Task):
            outcomes.append(CompletionOutcome(answer.task_id, status=answer.status))
        else:
            ref, error = answer
            outcomes.append(CompletionOutcome(ref, error=error.message, code=error.code))
    return outcomes


def _hands_over(given: dict[str, Any]) -> tuple[str, str | None]:
    return given["queue"], given["type"]


def handover_each(tx: Tx, calls: list[Call]) -> Callable[[], list[Handover | ShoalError]]:
    """Several handovers within one queue: all completions by one statement, then all claims by another."""
    ended = [
        Completion(**{name: call.input[name] for name in ("task", "attempt", "summary", "result", "seal")})
        for call in calls
    ]
    completed = _complete_together(tx, ended, [call.actor for call in calls])

    def handovers() -> list[Handover | ShoalError]:
        done = completed()
        going_on = [call for call, answer in zip(calls, done, strict=True) if isinstance(answer, Task)]
        terms = {"task": None, "label": None, "limit": 1, "lease_seconds": None}
        claims = [
            Call(call.actor, terms | {name: call.input[name] for name in ("worker", "agent", "queue", "type")})
            for call in going_on
        ]
        claimed = iter(leases.claim_each(tx, claims)() if claims else [])
        return [Handover(answer, next(claimed)) if isinstance(answer, Task) else answer[1] for answer in done]

    return handovers


@verb("POST /tasks/{task}/handover", joins=_hands_over, joined=handover_each)
def handover(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    worker: Name,
    agent: Name | None = None,
    queue: Name = "default",
    type: Name | None = None,
    summary: Text | None = None,
    result: Annotated[Any, Meta(description="Small JSON, 64 KiB at most.")] = None,
    seal: Seal | None = None,
) -> Handover:
    """Complete a task and claim the next of a queue, in one transaction and one round trip."""
    done = complete(tx, task=task, attempt=attempt, summary=summary, result=result, seal=seal)
    return Handover(done, leases.claim(tx, worker=worker, agent=agent, queue=queue, type=type))


@verb("POST /tasks/{task}/fail")
def fail(
    tx: Tx,
    *,
    task: TaskRef,
    error: Annotated[Text, Meta(min_length=1)],
    attempt: Positive | None = None,
    permanent: Annotated[bool, Meta(description="Do not try again.")] = False,
    retry_after_seconds: Annotated[Delay | None, Meta(description="In place of the computed wait.")] = None,
) -> Task:
    """End an attempt badly. The task is tried again after a growing, jittered wait until its attempts are used up.

    Without `attempt` a person gives up a task that nobody holds; that is permanent.
    """
    found = lock_task(tx, task)
    if attempt is None:
        _refuse_held(found, "fail")
        require(found, "fail")
        permanent = True
    elif found.status is Status.FAILED and found.attempt == attempt:
        return found
    else:
        held(tx, found, attempt)
    run_at = None if retry_after_seconds is None else tx.now + 1000 * retry_after_seconds
    return failures.end_badly(tx, found, error, attempt=attempt, permanent=permanent, run_at=run_at)


@verb("POST /tasks/{task}/submit")
def submit(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    summary: Text | None = None,
    result: Annotated[Any, Meta(description="Small JSON, 64 KiB at most.")] = None,
    seal: Seal | None = None,
) -> Task:
    """End an attempt whose work a person must judge: the task goes to review, whether it `requires_qa` or not."""
    found = lock_task(tx, task)
    if found.status is Status.REVIEW and found.attempt == attempt and found.worker is not None:
        return found
    held(tx, found, attempt)
    _refuse_agent(tx, found, seal)
    require(found, "submit")
    fields: dict[str, Any] = {"status": Status.REVIEW, "leased_until": None}
    if summary is not None:
        fields["summary"] = summary
    if result is not None:
        stored_result(result)
        fields["result"] = result
    data = {"summary": summary} if summary else None
    return change(tx, found, Kind.TASK_SUBMITTED, fields, attempt=attempt, data=data)


@verb("POST /tasks/{task}/review")
def review(tx: Tx, *, task: TaskRef, approve: bool, notes: Text | None = None) -> Task:
    """Give the verdict on a task in review: approved it is completed, rejected it is queued again with the notes."""
    found = lock_task(tx, task)
    require(found, "approve" if approve else "reject")
    data = {"notes": notes} if notes else None
    if approve:
        fields: dict[str, Any] = {"status": Status.COMPLETED, "completed_at": tx.now}
        approved = change(tx, found, Kind.TASK_APPROVED, fields, data=data)
        release_dependents(tx, approved)
        return approved
    if not notes:
        raise BadInput("a rejection needs notes: what is to be done better", field="notes")
    fields = {"last_error": f"rejected: {notes}", "worker": None} | place(found, tx.now)
    return change(tx, found, Kind.TASK_REJECTED, fields, data=data)


@verb("POST /tasks/{task}/feedback")
def feedback(
    tx: Tx, *, task: TaskRef, quality: Score, timeliness: Score | None = None, notes: Text | None = None
) -> Task:
    """Say how good the work was; a later word replaces an earlier one, and the log keeps both."""
    found = lock_task(tx, task)
    return change(tx, found, Kind.TASK_RATED, {"feedback": Feedback(quality, timeliness, notes)})


def _complete_together(
    tx: Tx, completions: list[Completion], actors: list[str]
) -> Callable[[], list[Task | tuple[str, ShoalError]]]:
    """The task of each completion, or the ref and why it was refused, once the database has answered."""
    ends: dict[int, dict[str, Any]] = {}
    numbers: list[int | ShoalError] = []
    for one in completions:
        try:
            number = task_number(tx, one.task)
            result = stored_result(one.result)
        except ShoalError as error:
            numbers.append(error)
            continue
        numbers.append(number)
        given = {"summary": one.summary, "result": result, "actual_minutes": one.actual_minutes}
        ends.setdefault(number, {"id": number, "attempt": one.attempt, "seal": seals.hashed(one.seal), **given})
    rows = tx.later("leases.complete_many", rows=_encode(list(ends.values())).decode(), now=tx.now)

    def answers() -> list[Task | tuple[str, ShoalError]]:
        done = _all_completed(tx, rows(), numbers, actors)
        return [_answer(tx, one, number, done) for one, number in zip(completions, numbers, strict=True)]

    return answers


def _all_completed(tx: Tx, rows: list[Row], numbers: list[int | ShoalError], actors: list[str]) -> dict[int, Task]:
    """The tasks that were completed, each told of in the name of who did it."""
    who = {number: actor for number, actor in zip(numbers, actors, strict=True) if isinstance(number, int)}
    return {
        task.id: _completed(tx.acting_as(who[task.id]), task, Status.ACTIVE)
        for task in sorted(map(tx.task, rows), key=lambda task: task.id)
    }


def _answer(tx: Tx, one: Completion, number: int | ShoalError, done: dict[int, Task]) -> Task | tuple[str, ShoalError]:
    if isinstance(number, ShoalError):
        return str(one.task), number
    task = done.get(number)
    if task is not None and task.attempt == one.attempt:
        return task
    try:
        return _already_completed(tx, number, one.attempt, one.seal)
    except ShoalError as error:
        return tx.shown(number), error


def _completed(tx: Tx, done: Task, was: Status) -> Task:
    kind = Kind.TASK_COMPLETED if done.status is Status.COMPLETED else Kind.TASK_SUBMITTED
    data = {"summary": done.summary} if done.summary else None
    tx.emit(kind, done, was=was, attempt=done.attempt, data=data)
    if done.status is Status.COMPLETED:
        release_dependents(tx, done)
    return done


def _already_completed(tx: Tx, number: int, attempt: int, seal: str | None) -> Task:
    """A repeated completion by the attempt that completed the task is answered; any other is too late."""
    row = tx.one("tasks.get", id=number)
    task = None if row is None else tx.task(row)
    ended_by_it = task is not None and task.attempt == attempt and task.worker is not None
    if task is not None and task.status is Status.ACTIVE and task.attempt == attempt:
        _refuse_agent(tx, task, seal)
    if task is None or not ended_by_it or task.status not in {Status.COMPLETED, Status.REVIEW}:
        lost(tx, number, attempt)
    return task


def _complete_unheld(tx: Tx, number: int, given: dict[str, Any]) -> Task:
    found = lock_task(tx, number)
    _refuse_held(found, "complete")
    if found.status is Status.COMPLETED:
        return found
    require(found, "complete")
    status = Status.REVIEW if found.requires_qa else Status.COMPLETED
    fields = {name: value for name, value in given.items() if value is not None}
    if "result" in fields:
        fields["result"] = msgspec.json.decode(fields["result"])
    fields |= {"status": status, "completed_at": tx.now if status is Status.COMPLETED else None}
    kind = Kind.TASK_COMPLETED if status is Status.COMPLETED else Kind.TASK_SUBMITTED
    done = change(tx, found, kind, fields)
    if done.status is Status.COMPLETED:
        release_dependents(tx, done)
    return done


def _refuse_held(task: Task, verb: str) -> None:
    if task.status is Status.ACTIVE:
        raise Refused(
            f"{task.task_id} is held by {task.worker} in attempt {task.attempt}; "
            f"name the attempt to {verb} it, or `shoal release {task.task_id}` first",
            field="attempt",
        )


def _refuse_agent(tx: Tx, task: Task, seal: str | None) -> None:
    """While a session of the attempt is under way, its agent works: whoever runs it ends the session, and judges."""
    row = tx.one("sessions.running", task=task.id, attempt=task.attempt)
    if row is not None:
        raise Refused(
            f"the agent of {task.task_id} still runs, in session {row[0]}; whoever runs it ends the session and "
            f"completes the task. `shoal release {task.task_id}` takes the task from it",
            field="attempt",
        )
    seals.require(tx, task, task.attempt, seal)


def stored_result(result: Any) -> str | None:
    """A result as it is stored. Raises BadInput and TooLarge."""
    if result is None:
        return None
    if is_deep(result, RESULT_DEPTH):
        raise BadInput(f"result is nested more than {RESULT_DEPTH} levels deep", field="result")
    try:
        encoded = _encode(result)
    except (TypeError, RecursionError) as error:
        raise BadInput(f"result is not JSON: {error}", field="result") from None
    if len(encoded) > RESULT_LIMIT:
        raise TooLarge(
            f"result has {len(encoded)} bytes, the limit is {RESULT_LIMIT}; put the rest in a file", field="result"
        )
    if b"\\u0000" in encoded:
        raise BadInput("result holds a NUL character", field="result")
    return encoded.decode()
