"""What an agent is told about a task: one builder for a first episode, a continuation, and several things at once.

The order and the tags are model/prompt.py's, the words that are always the same instructions.py's, memory memory.py's.
This module gathers what the ledger and the vault know, within limits, and says what it leaves out.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shoal.adapters.vault import sections as page_sections
from shoal.errors import NotFound, VaultError
from shoal.model.event import Event, Kind, event_from_row
from shoal.model.fields import Name, Positive, TaskRef, Text
from shoal.model.prompt import (
    LIMITS,
    Cause,
    Failure,
    Prompt,
    PromptContext,
    Section,
    ToolResult,
    Turn,
    Way,
    build,
    cut,
    hash_of,
    measure,
)
from shoal.model.session import Told, branches_from_text
from shoal.model.task import Status, Task
from shoal.services import instructions, memory, transcripts
from shoal.services import prompt_sections as sections
from shoal.services.prompt_sections import Before, Texts
from shoal.services.refs import get_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

LINES_READ = 400  # of a conversation, the newest
BLOCK = 50  # so many lines are left out at once: what is kept begins the same for a while
CAUSES = {
    Kind.TASK_REJECTED: Cause.REJECTION,
    Kind.TASK_EXPIRED: Cause.CRASH,
    Kind.TASK_RELEASED: Cause.INTERRUPT,
}


@verb("POST /tasks/{task}/prompt", writes=False, repeatable=True, reads_vault=True)
def prompt(
    tx: Tx,
    *,
    task: TaskRef,
    agent: Annotated[Name | None, Meta(description="The agent that is told, as the settings name it.")] = None,
    workflow: Annotated[Name | None, Meta(description="The workflow; the task's own when left out.")] = None,
    way: Annotated[
        Way | None,
        Meta(description="When left out, what the next episode is: first, or after an attempt a continuation."),
    ] = None,
    cause: Annotated[
        Cause | None, Meta(description="What a continuation comes after; found out when left out.")
    ] = None,
    session: Annotated[
        Positive | None,
        Meta(description="The session that goes on; when left out, the newest unless it is a first episode."),
    ] = None,
    tool_results: Annotated[list[ToolResult], Meta(max_length=200)] = [],  # noqa: B006 - never written to
    told: Annotated[
        list[Told] | None, Meta(description="Messages to pass on; what waits in the ledger when left out.")
    ] = None,
    failures: Annotated[list[Failure], Meta(max_length=200)] = [],  # noqa: B006
    workspace_notes: Annotated[
        list[Text], Meta(max_length=200, description="What happened to the working folder, as its worker knows it.")
    ] = [],  # noqa: B006
) -> Prompt:
    """What an agent would be told about a task; nothing is changed, and no message counts as delivered.

    The messages stand in the one order: stable system text, conversation, tool results, dynamic context. Private notes
    are those of who asks.
    """
    found = get_task(tx, task)
    named = workflow or found.workflow or instructions.DEFAULT
    way = way or _next_way(tx, found, session)
    before = _before(tx, found, session, way)
    texts = _texts(tx, found)
    history = _history(tx, found)
    if way is not Way.CONTINUATION:
        cause = None
    elif cause is None:
        cause = _cause(history, failures)
    if cause is Cause.REJECTION and not failures and history and history[0].kind == Kind.TASK_REJECTED:
        failures = [Failure("the review", str(history[0].data.get("notes", "")))]
    if told is None:
        told = _waiting(tx, found)
    conversation, answered = _conversation(tx, before, told)
    results = _new(tool_results, answered)
    query = memory.derive_query(title=found.title, objective=_objective(texts.body), message=_human(tx, found, told))
    things = sections.things(results, told, failures)
    stable = instructions.stable(tx.settings, named, has_vault=tx.has_vault)
    dynamic = [
        sections.task_state(tx, found, agent),
        *sections.body(tx, found, texts),
        *sections.dependencies(tx, found),
        *sections.history(history),
        *sections.results(found, texts),
        *sections.shared_context(found, texts),
        *sections.notes(tx, found, texts),
        *sections.comments(tx, found),
        *sections.recalled(tx, found, query),
        sections.workspace(tx, found, before),
        *sections.workspace_notes(workspace_notes),
        *sections.messages(told),
        *sections.failed(failures),
        Section("next", instructions.next_step(way, cause, things=things, again=bool(history))),
        sections.time(tx, found),
    ]
    context = PromptContext(stable, conversation, sections.tool_results(results), dynamic)
    messages = build(context)
    return Prompt(
        task_id=found.task_id,
        way=way,
        cause=cause,
        agent=agent,
        workflow=named,
        messages=messages,
        sizes=measure(context),
        stable_hash=hash_of(messages[0].text),
        query=[" ".join(term.words) for term in query],
        warnings=_warnings(tx, agent, named),
    )


def _next_way(tx: Tx, task: Task, session: int | None) -> Way:
    """A continuation for a task that has had an attempt; one whose first attempt has not begun to speak has not."""
    attempts = task.attempt - (task.status is Status.ACTIVE)
    begun = session is not None or attempts > 0 or tx.one("prompts.latest_session", task=task.id) is not None
    return Way.CONTINUATION if begun else Way.FIRST


def _before(tx: Tx, task: Task, session: int | None, way: Way) -> Before | None:
    if session is not None:
        row = tx.one("prompts.session", id=session)
        if row is None or row[1] != task.id:
            raise NotFound(f"{task.task_id} has no session {session}; `shoal show {task.task_id}`", field="session")
    elif way is Way.FIRST:
        return None
    else:
        row = tx.one("prompts.latest_session", task=task.id)
    return None if row is None else Before(row[0], row[2], branches_from_text(row[3]))


def _texts(tx: Tx, task: Task) -> Texts:
    if not tx.has_vault:
        return Texts()
    body = tx.vault.body(task)
    text = "" if body.path is None else body.text
    notes = tx.vault.notes(task.task_id, tx.actor)
    try:
        return Texts(text, notes, tx.vault.context(task.task_id).values)
    except VaultError as error:
        return Texts(text, notes, trouble=error.message)


def _history(tx: Tx, task: Task) -> list[Event]:
    """How the attempts before this one ended, newest first."""
    rows = tx.all("prompts.history", task=task.id, limit=sections.HISTORY)
    return [event_from_row(row, tx.identity.prefix) for row in rows]


def _cause(history: list[Event], failures: list[Failure]) -> Cause:
    if failures:
        return Cause.VERIFICATION
    if not history:
        return Cause.INTERRUPT
    return CAUSES.get(Kind(history[0].kind), Cause.FAILURE)


def _waiting(tx: Tx, task: Task) -> list[Told]:
    rows = tx.all("prompts.waiting", task=task.id, limit=sections.MESSAGES)
    return [Told(id, task.task_id, actor, text, at, delivery) for id, actor, text, at, delivery in rows]


def _human(tx: Tx, task: Task, told: list[Told]) -> str:
    """The newest message of a person: among those to be passed on, else what the ledger has."""
    mine = [one for one in told if not memory.is_agent(tx, task, one.actor)]
    newest = max(mine, key=lambda one: (one.at, one.id), default=None)
    return newest.text if newest is not None else memory.newest_human_message(tx, task)


def _objective(body: str) -> str:
    """The first paragraph under ## Objective."""
    text = page_sections.section(body, "Objective").replace("\r\n", "\n").strip()
    return text.partition("\n\n")[0]


def _conversation(tx: Tx, before: Before | None, told: list[Told]) -> tuple[list[Turn], set[str]]:
    """What was said in a session, oldest first, and the tool calls that have been answered in it.

    What people `told` is left out: it is passed on now, in the dynamic block.
    When it is too long its oldest lines go, by whole blocks, so that it begins the same until another block must go.
    """
    if before is None:
        return [], set()
    counted = tx.one("prompts.count_lines", session=before.id)
    total = int(counted[0]) if counted else 0
    first = max(0, -(-(total - LINES_READ) // BLOCK) * BLOCK)
    rows = tx.all("prompts.newest_lines", session=before.id, limit=max(1, total - first))[::-1]
    passed_on = {transcripts.heard_key(one) for one in told}
    turns = [_turn(row) for row in rows if not (row[1] == "user" and row[2] in passed_on)]
    lengths = [len(str(turn.section)) for turn in turns]
    dropped = 0
    while sum(lengths[dropped:]) > LIMITS["conversation"] and dropped + BLOCK < len(turns):
        dropped += BLOCK
    while sum(lengths[dropped:]) > LIMITS["conversation"]:
        dropped += 1
    answered = {row[2] for row in rows if row[1] == "tool" and (row[6] is not None or row[7] is not None)}
    if first + dropped:
        left = f"{first + dropped:,} earlier lines of this conversation (session {before.id}) are left out."
        return [Turn("user", Section("left_out", left)), *turns[dropped:]], answered
    return turns, answered


def _turn(row: tuple[Any, ...]) -> Turn:
    _, role, key, text, name, arguments, result, error = row
    if role != "tool":
        said = cut(text or "", LIMITS["said"], more="its log")
        return Turn(role, Section("said", said, {"by": "you" if role == "assistant" else role}))
    lines = [arguments or "", f"error: {error}" if error is not None else result or ""]
    told = cut("\n".join(line for line in lines if line), LIMITS["said"], more="its log")
    return Turn("tool", Section("called", told, {"id": key, "name": name or ""}))


def _new(results: list[ToolResult], answered: set[str]) -> list[ToolResult]:
    """Each result once, and none that stands in the conversation already."""
    once: dict[str, ToolResult] = {}
    for one in results:
        once.setdefault(one.tool_call_id, one)
    return [one for key, one in once.items() if key not in answered]


def _warnings(tx: Tx, agent: str | None, workflow: str) -> list[str]:
    warnings = []
    if agent is not None and agent not in tx.settings.agents:
        warnings.append(f"no agent {agent!r} is configured here ([agents.NAME] in shoal.toml)")
    if workflow != instructions.DEFAULT and workflow not in tx.settings.workflows:
        warnings.append(f"no workflow {workflow!r} is configured here; it adds no instructions")
    if not tx.has_vault:
        warnings.append("this ledger has no vault: body, context and notes are missing")
    return warnings
