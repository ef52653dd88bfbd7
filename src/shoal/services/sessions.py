"""Sessions: an agent's conversations about tasks, episode by episode, and what it may use. Their lines: transcripts.py.

Every write names the attempt, and one that lost the task gets LeaseLost. What is written, by however many at once, is
put in order by the lock on the task's row.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shoal.errors import BadInput, NotFound, Refused
from shoal.model.cost import dollars
from shoal.model.event import Kind
from shoal.model.fields import NO_NUL, Count, Limit, Name, Positive, TaskRef, Text
from shoal.model.page import Page, position
from shoal.model.prompt import hash_of
from shoal.model.session import (
    MESSAGE_LIMIT,
    Branch,
    Finished,
    Item,
    Line,
    Outcome,
    Recorded,
    Session,
    Spent,
    Started,
    check_branches,
    preview,
    session_from_row,
)
from shoal.model.task import Task
from shoal.services import costs, instructions, seals, tells, transcripts
from shoal.services.leases import held
from shoal.services.refs import get_task, lock_task
from shoal.services.seals import Seal
from shoal.services.transaction import Tx
from shoal.services.verb import verb

NEWEST = 2**63 - 1
MachinePath = Annotated[str, Meta(min_length=1, max_length=4096, pattern=NO_NUL)]
Branches = Annotated[list[Branch], Meta(max_length=50, description="Where the work stands; empty leaves it as it was.")]
_json = msgspec.json.Encoder().encode


@verb("POST /tasks/{task}/sessions", status=201)
def begin_session(
    tx: Tx,
    *,
    task: TaskRef,
    attempt: Positive,
    agent: Annotated[Name, Meta(description="Who speaks in it.")],
    kind: Annotated[Name, Meta(description="claude, codex, command …")],
    provider: Name | None = None,
    model: Name | None = None,
    workflow: Name | None = None,
    workspace: Annotated[MachinePath | None, Meta(description="The folder on the worker's machine.")] = None,
    log: Annotated[MachinePath | None, Meta(description="The whole output, a file on the worker's machine.")] = None,
    branches: Branches = [],  # noqa: B006 - never written to
    max_usd_micros: Annotated[Count | None, Meta(description="Millionths of a US dollar.")] = None,
    max_tokens: Annotated[Count | None, Meta(description="Of every kind together.")] = None,
    max_turns: Annotated[Count | None, Meta(description="Turns, or calls of the model where there are more.")] = None,
    takes_messages: Annotated[bool, Meta(description="Whether a message reaches the agent while it runs.")] = False,
    resumes: Annotated[Positive | None, Meta(description="Go on with this session of the task.")] = None,
    configuration: Annotated[
        Name | None, Meta(description="What the agent's settings make of its requests, in a word.")
    ] = None,
    seal: Seal | None = None,
) -> Session:
    """Say that an agent begins to work on a task, or with `resumes` that it goes on with a session: another episode.

    With a `seal` only who names it ends the session, and the attempt well; whoever runs an agent keeps it from that
    agent, who so cannot say itself that its work is done.

    The limits hold for the whole session, over its episodes and attempts; what is left out when it is resumed stays.
    The session's configuration is named after what is given and the stable part of the prompt: when either changes, the
    share of cached input begins anew.
    """
    check_branches(branches)
    found = lock_task(tx, task)
    held(tx, found, attempt)
    if seal is not None or branches:  # what an agent's own session names is not what its worker verified
        seals.require(tx, found, attempt, seal)
    before = None if resumes is None else _resumable(tx, resumes, found, kind)
    if seal is not None:
        _supersede(tx, found, attempt, seal, by=resumes)
    given: dict[str, Any] = {
        "attempt": attempt,
        "agent": agent,
        "provider": provider,
        "model": model,
        "workflow": workflow,
        "workspace": workspace,
        "log": log,
        "branches": _json(branches).decode() if branches else None,
        "max_usd_micros": max_usd_micros,
        "max_tokens": max_tokens,
        "max_turns": max_turns,
        "takes_messages": int(takes_messages),
        "configuration": _configuration(tx, workflow, before, configuration),
        "seal": None if seal is None else seals.hashed(seal),
    }
    if before is None:
        row = tx.one("sessions.begin", task=found.id, kind=kind, now=tx.now, **given)
        assert row is not None  # noqa: S101 - an insert gives its row
        id = int(row[0])
    else:
        id = before.id
        seals.require(tx, found, attempt, seal, session=id)
        tx.all("sessions.resume", id=id, **given)
    begun = get(tx, session=id)
    data = {"session": id, "episode": begun.episodes, "agent": agent, "kind": kind}
    _emit(tx, Kind.SESSION_STARTED, found, attempt, data | ({"model": begun.model} if begun.model else {}))
    return begun


@verb("GET /tasks/{task}/sessions")
def sessions(
    tx: Tx,
    *,
    task: TaskRef,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[Session]:
    """The sessions of a task, newest first."""
    before = NEWEST if cursor is None else position(cursor)
    rows = tx.all("sessions.of_task", task=get_task(tx, task).id, before=before, limit=limit)
    following = str(rows[-1][0]) if len(rows) == limit else None
    return Page([session_from_row(row, tx.identity.prefix) for row in rows], next=following)


@verb("POST /sessions/{session}/record")
def record(
    tx: Tx,
    *,
    session: Positive,
    attempt: Positive,
    items: Annotated[list[Item], Meta(max_length=5000, description="What was said and done, in order.")] = [],  # noqa: B006
    malformed: Annotated[int, Meta(ge=0, le=10**9, description="Lines that could not be read; they add up.")] = 0,
    heard: Annotated[
        Count | None,
        Meta(description="The newest message that the agent has been given, 0 for none; later ones come again."),
    ] = None,
) -> Recorded:
    """Report what an agent said and did since the last report; without items it is the pulse of an episode.

    An item that is known already changes nothing, so whatever may not have arrived can be sent again. The answer brings
    what people told the task meanwhile, and in `stop` why the episode must end: the agent is to be stopped then, the
    session ended, and the attempt failed for good. A worker that goes on all the same loses the task a minute later.

    Each message comes to one report of an attempt. It comes again to the next attempt, unless this one's agent went on
    after it; so it may be told twice when a worker dies, and is not lost. A worker that sends `heard` says itself what
    its agent has: what is behind that comes again with every report, even when an answer got lost.
    """
    task, found = _hold(tx, session, attempt)
    news = transcripts.add(tx, task, session=session, attempt=attempt, agent=found.agent, items=items)
    if usages := [item.usage for item in items if isinstance(item, Spent)]:
        costs.count(tx, task=task, attempt=attempt, session=found, usages=usages, at=tx.now)
    turns = _follow(tx, found, items, malformed)
    told = tells.hand_out(tx, task, found, heard=heard, went_on=news.went_on) if found.ended_at is None else []
    return Recorded(told, _stop(tx, found, turns))


@verb("POST /sessions/{session}/end", repeatable=True)
def end(
    tx: Tx,
    *,
    session: Positive,
    attempt: Positive,
    outcome: Outcome,
    error: Text | None = None,
    turns: Annotated[Count | None, Meta(description="Turns of this episode.")] = None,
    cost_usd_micros: Annotated[Count | None, Meta(description="What the agent says that the episode cost.")] = None,
    branches: Branches = [],  # noqa: B006 - never written to
    seal: Seal | None = None,
) -> Session:
    """Say how an episode of an agent ended, before the attempt itself ends; a second time changes nothing."""
    check_branches(branches)
    task, found = _hold(tx, session, attempt)
    seals.require(tx, task, attempt, seal, session=None if branches else session)
    if found.ended_at is not None:
        return found
    tx.all(
        "sessions.end",
        id=session,
        outcome=outcome.value,
        error=None if error is None else preview(error, MESSAGE_LIMIT),
        branches=_json(branches).decode() if branches else None,
        turns=turns or 0,
        now=tx.now,
    )
    ended = get(tx, session=session)
    data: dict[str, Any] = {
        "session": session,
        "episode": ended.episodes,
        "outcome": outcome.value,
        "turns": ended.turns,
    }
    if cost_usd_micros is not None:
        data["cost_usd_micros"] = cost_usd_micros
    if ended.error is not None:
        data["error"] = preview(ended.error)
    _emit(tx, Kind.SESSION_ENDED, task, attempt, data)
    return ended


@verb("GET /sessions/{session}")
def get(tx: Tx, *, session: Positive) -> Session:
    """One session. Without `outcome` its agent runs; it is `lost` when its attempt lost the task."""
    row = tx.one("sessions.get", id=session)
    if row is None:
        raise _unknown(session)
    return session_from_row(row, tx.identity.prefix)


@verb("GET /sessions/{session}/transcript")
def transcript(
    tx: Tx,
    *,
    session: Positive,
    after: Annotated[Count, Meta(description="The line behind which the page begins; 0 is the beginning.")] = 0,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before, in place of `after`.")] = None,
    limit: Limit = 100,
) -> Page[Line]:
    """What was said in a session and which tools were called, in the order of time.

    What is read from the agent's own transcript after the episode stands where it happened, not at the end.
    """
    get(tx, session=session)
    behind: dict[str, Any] = {}
    if last := after if cursor is None else position(cursor):
        row = tx.one("sessions.line", session=session, id=last)
        if row is None:
            raise BadInput(f"session {session} has no line {last}", field="after" if cursor is None else "cursor")
        behind = {"after": last, "at": row[0]}
    rows = tx.all("sessions.lines", session=session, limit=limit, **behind)
    following = str(rows[-1][0]) if len(rows) == limit else None
    return Page([transcripts.line_from_row(row) for row in rows], next=following)


def log_moved(tx: Tx, *, task: int, attempt: int, log: str) -> None:
    """Tell where the log of an attempt is now, as a path in the vault."""
    tx.all("sessions.log_moved", task=task, attempt=attempt, log=log)


def log_gone(tx: Tx, *, task: int, log: str) -> None:
    """Tell that a log in the vault has been let go of."""
    tx.all("sessions.log_gone", task=task, log=log)


def _hold(tx: Tx, id: int, attempt: int) -> tuple[Task, Session]:
    """The session and its task, locked, if the attempt holds both."""
    locked, row = tx.later("sessions.lock_task", id=id), tx.later("sessions.get", id=id)
    if not (rows := locked()):
        raise _unknown(id)
    task, found = tx.task(rows[0]), session_from_row(row()[0], tx.identity.prefix)
    held(tx, task, attempt)
    if found.attempt != attempt:
        raise Refused(
            f"session {id} is of attempt {found.attempt}; attempt {attempt} begins one of its own, "
            f"or goes on with it: begin_session(resumes={id})",
            field="session",
        )
    return task, found


def _configuration(tx: Tx, workflow: str | None, before: Session | None, given: str | None) -> str:
    """A name for what an agent's requests begin with: its prompt's stable part, and what it says of its settings."""
    named = workflow or (before.workflow if before is not None else None) or instructions.DEFAULT
    stable = instructions.stable(tx.settings, named, has_vault=tx.has_vault)
    return hash_of("\n".join([given or "", *map(str, stable)]))[:8]


def _supersede(tx: Tx, task: Task, attempt: int, seal: str, *, by: int | None) -> None:
    """End what the same worker began and never heard of: it runs one agent at a time, and asked again."""
    rows = tx.all("sessions.supersede", task=task.id, attempt=attempt, seal=seals.hashed(seal), id=by or 0, now=tx.now)
    for (session,) in rows:
        _emit(tx, Kind.SESSION_ENDED, task, attempt, {"session": session, "outcome": Outcome.LOST})


def _resumable(tx: Tx, id: int, task: Task, kind: str) -> Session:
    found = get(tx, session=id)
    if found.task != task.id:
        raise BadInput(f"session {id} is about {found.task_id}, not {task.task_id}", field="resumes")
    if found.kind != kind:
        raise BadInput(f"session {id} was held with {found.kind}; {kind} cannot go on with it", field="resumes")
    return found


def _follow(tx: Tx, session: Session, items: list[Item], malformed: int) -> int:
    """Keep what an episode says of itself; the turns of the session so far."""
    given: dict[str, Any] = {"malformed": malformed, "provider_session": None, "model": None, "turns": 0, "error": None}
    for item in items:
        if isinstance(item, Started):
            given["provider_session"] = item.provider_session or given["provider_session"]
            given["model"] = item.model or given["model"]
        elif isinstance(item, Finished):
            given["turns"] = max(given["turns"], item.turns or 0)
            given["error"] = given["error"] if item.error is None else preview(item.error)
    if not any(given.values()):
        return session.turns
    row = tx.one("sessions.follow", id=session.id, **given)
    assert row is not None  # noqa: S101 - its task is locked, and sessions are never deleted
    return int(row[0])


def _stop(tx: Tx, session: Session, turns: int) -> str | None:
    """Which limits of a session are exceeded, and by how much; kept, so that a beat can act on it."""
    limits = session.max_usd_micros, session.max_tokens, session.max_turns
    if limits == (None, None, None):
        return None
    row = tx.one("sessions.used", id=session.id)
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    calls, micros, tokens = row
    used = (
        ("max_usd", session.max_usd_micros, micros, dollars, "spent"),
        ("max_tokens", session.max_tokens, tokens, str, "used"),
        ("max_turns", session.max_turns, max(turns, calls), str, "taken"),
    )
    over = [
        f"{name} {shown(limit)} is exceeded: {shown(amount)} {word}"
        for name, limit, amount, shown, word in used
        if limit is not None and amount > limit
    ]
    if not over:
        return None
    stop = "; ".join(over)
    if stop != session.stop:
        tx.all("sessions.stop", id=session.id, stop=stop, now=tx.now)
    return stop


def _emit(tx: Tx, kind: Kind, task: Task, attempt: int, data: dict[str, Any]) -> None:
    tx.emit(kind, task, was=task.status.value, attempt=attempt, data=data)


def _unknown(id: int) -> NotFound:
    return NotFound(f"there is no session {id}; `shoal logs T42` shows those of a task", field="session")
