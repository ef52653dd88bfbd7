"""The sections of a prompt about one task: each with its limit, and with the command that shows what was left out.

Which of them a prompt has, and what else it is made of: prompts.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from shoal.adapters.vault import sections as page_sections
from shoal.model.content import Rescue
from shoal.model.event import Event, Kind, event_from_row
from shoal.model.prompt import LIMITS, Failure, Section, ToolResult, cut, one_line
from shoal.model.search import Term
from shoal.model.session import Branch, Told
from shoal.model.task import Task
from shoal.services import instructions, memory, rescues, tasks
from shoal.services.refs import get_task
from shoal.services.transaction import Tx

HISTORY, COMMENTS, DEPENDENCIES, BRANCHES, MESSAGES, RESCUES = 5, 10, 20, 20, 100, 5
ENDINGS = {
    Kind.TASK_RETRIED: "failed",
    Kind.TASK_FAILED: "failed for good",
    Kind.TASK_EXPIRED: "ended without a word",
    Kind.TASK_RELEASED: "was given back",
    Kind.TASK_REJECTED: "was rejected in review",
    Kind.TASK_REOPENED: "was put back to work",
}


class Place(Struct, frozen=True):
    """A session, as far as a prompt needs it."""

    id: int
    workspace: str | None
    branches: list[Branch]


class Texts(Struct, frozen=True):
    """What the vault has about a task, for one agent. `trouble` is why the shared context cannot be read."""

    body: str = ""
    notes: str = ""
    context: dict[str, Any] = {}
    trouble: str | None = None


def tool_results(results: list[ToolResult]) -> list[Section]:
    """What tools answered, each in a message of its own."""
    share = LIMITS["tool_result"] // max(1, len(results))
    return [
        Section(
            "tool_result",
            cut(one.result if one.error is None else f"error: {one.error}\n{one.result}", share, more="run it again"),
            {"id": one.tool_call_id, "name": one.name},
        )
        for one in results
    ]


def task_state(tx: Tx, task: Task, agent: str | None) -> Section:
    """The task's state; what it asks for stands in its body."""
    parent = None if task.parent is None else get_task(tx, task.parent)
    fields: list[tuple[str, Any]] = [
        ("title", task.title),
        ("type", task.type),
        ("status", task.status.value),
        ("priority", f"P{task.priority}"),
        ("labels", ", ".join(task.labels)),
        ("part of", parent and f"{parent.task_id}, {parent.title}"),
        ("repositories", ", ".join(task.repos)),
        ("estimate", task.estimate_minutes is not None and f"{task.estimate_minutes} minutes"),
        ("attempt", task.attempt and f"{task.attempt}; {task.failures} of {task.max_attempts} have failed"),
        ("you are", agent),
        ("participants", ", ".join(one.agent for one in task.participants)),
        ("asked for by", task.created_by),
        ("a person approves it", "yes" if task.requires_qa else None),
    ]
    lines = [f"{name}: {one_line(str(value), 1000)}" for name, value in fields if value]
    if task.success_criteria:
        lines.append("success criteria:")
        for number, one in enumerate(task.success_criteria, start=1):
            checked = f" [checked by: {one_line(one.measurable, 2000)}]" if one.measurable else ""
            lines.append(f"  {number}. {one_line(one.criterion, 2000)}{checked}")
    text = cut("\n".join(lines), LIMITS["task"], more=f"shoal show {task.task_id}")
    return Section("task", text, {"id": task.task_id})


def body(tx: Tx, task: Task, texts: Texts) -> list[Section]:
    """What people wrote about the task; notes and results stand in sections of their own."""
    if not tx.has_vault:
        return []
    text = page_sections.without_sections(texts.body, "Notes", "Result")
    return _some("body", cut(text, LIMITS["body"], more=f"shoal body {task.task_id}"))


def dependencies(tx: Tx, task: Task) -> list[Section]:
    """What the task waited for, with what came of it."""
    numbers = blockers(tx, task)
    share = LIMITS["dependencies"] // max(1, min(len(numbers), DEPENDENCIES))
    lines = []
    for one in tasks.by_numbers(tx, numbers[:DEPENDENCIES]):
        summary = f": {one.summary}" if one.summary else ""
        lines.append(one_line(f"{one.task_id} {one.status.value}, {one.title}{summary}", share))
    if len(numbers) > DEPENDENCIES:
        lines.append(f"[{len(numbers) - DEPENDENCIES} more: shoal dep list {task.task_id}]")
    return _some("dependencies", "\n".join(lines))


def blockers(tx: Tx, task: Task) -> list[int]:
    """The numbers of the tasks that one depends on."""
    return [row[0] for row in tx.all("dependencies.blockers_of", id=task.id)]


def history(history: list[Event]) -> list[Section]:
    """How earlier attempts ended, oldest first."""
    share = LIMITS["history"] // HISTORY
    lines = []
    for event in reversed(history):
        why = event.data.get("error") or event.data.get("notes") or event.data.get("reason")
        why = why or (event.changes.get("last_error") or [None, None])[1]
        who = "the task" if event.attempt is None else f"attempt {event.attempt}"
        text = f"{who} {ENDINGS[Kind(event.kind)]}{f': {why}' if why else ''}"
        lines.append(cut(text, share, more=f"shoal show {event.task_id}", keep="beginning"))
    return _some("history", "\n".join(lines))


def results(task: Task, texts: Texts) -> list[Section]:
    """What stands under ## Result already."""
    text = page_sections.section(texts.body, "Result")
    return _some("results", cut(text, LIMITS["results"], more=f"shoal body {task.task_id}", keep="end"))


def shared_context(task: Task, texts: Texts) -> list[Section]:
    """What the participants share, by key; keys that are too large are named only."""
    if texts.trouble is not None:
        return [Section("context", f"It cannot be read: {texts.trouble}")]
    lines, left, gone = [], LIMITS["context"], []
    for key in sorted(texts.context):
        line = f"{key}: {instructions.canonical(texts.context[key])}"
        if len(line) > left:
            gone.append(key)
        else:
            lines.append(line)
            left -= len(line) + 1
    if gone:
        lines.append(f"[left out: {one_line(', '.join(gone), 500)}; all of it: shoal context {task.task_id}]")
    return _some("context", "\n".join(lines))


def notes(tx: Tx, task: Task, texts: Texts) -> list[Section]:
    """The agent's own notes, and what stands under ## Notes for everyone: never another agent's own."""
    found = []
    for whose, text, more in (
        ("everyone", page_sections.section(texts.body, "Notes"), f"shoal body {task.task_id}"),
        (tx.actor, texts.notes, f"shoal note {task.task_id}"),
    ):
        if text := cut(text, LIMITS["notes"] // 2, more=more, keep="end"):
            found.append(Section("notes", text, {"of": whose}))
    return [one for one in found if one.text.strip()]


def comments(tx: Tx, task: Task) -> list[Section]:
    """The newest comments, of people and agents, each with its author."""
    rows = tx.all("prompts.comments", task=task.id, limit=COMMENTS)
    events = [event_from_row(row, tx.identity.prefix) for row in reversed(rows)]
    said = [(one.actor, str(one.data["message"])) for one in events if "message" in one.data]
    share = LIMITS["comment"] // max(1, len(said))
    more = f"shoal events --task {task.task_id}"
    return [Section("comment", cut(text, share, more=more), {"from": actor}) for actor, text in said]


def recalled(tx: Tx, task: Task, query: list[Term]) -> list[Section]:
    """What memory has to say."""
    found = memory.recall(tx, task, query, known=set(blockers(tx, task)))
    lines = []
    for name, those in (("related tasks", found.tasks), ("notes", found.notes), ("lessons", found.lessons)):
        if those:
            lines += [f"{name}:", *(f"- {one}" for one in those)]
    return _some("memory", cut("\n".join(lines), LIMITS["memory"], more="shoal search WORDS"))


def workspace(tx: Tx, task: Task, place: Place | None) -> Section:
    """Where the work is done, on which branches, and what earlier attempts could not push to them."""
    lines = []
    if place is not None and place.workspace:
        lines.append(f"folder: {one_line(place.workspace, 500)}")
    for one in place.branches[:BRANCHES] if place is not None else []:
        since = f", {one.commits} commits since {one.base[:12]}" if one.commits else f", begun at {one.base[:12]}"
        lines.append(f"{one_line(one.repository, 200)}: branch {one_line(one.branch, 200)}{since}")
    if not lines and task.repos:
        lines.append("Your working folder is a checkout; the branch of this task is checked out in it.")
    lines += [_rescued(one) for one in rescues.rescues(tx, task=task.id)[-RESCUES:]]
    return Section("workspace", cut("\n".join(lines), LIMITS["workspace"], more="git branch") or "An empty folder.")


def workspace_notes(noted: list[str]) -> list[Section]:
    """What happened to the working folder: what was found in it, brought to it, or could not be done."""
    share = LIMITS["workspace_notes"] // max(1, len(noted)) - 3
    text = "\n".join(f"- {one_line(one, max(20, share))}" for one in noted)
    return _some("workspace_notes", cut(text, LIMITS["workspace_notes"], more="the worker's log"))


def _rescued(one: Rescue) -> str:
    where = f"it is in the vault as {one.path}" if one.path else f"it is lost, {one.missing}"
    names = ", ".join(branch.branch for branch in one.branches)
    why = one_line(one.reason, 200)
    return f"attempt {one.attempt} could not push its work on {one.repository} ({one_line(names, 200)}): {why}; {where}"


def messages(told: list[Told]) -> list[Section]:
    """What people told whoever works on the task."""
    shown = told[-MESSAGES:]
    share = LIMITS["message"] // max(1, len(shown))
    sections = []
    if len(told) > len(shown):
        more = f"shoal events --task {told[0].task_id}"
        left = f"{len(told) - len(shown)} earlier messages are left out; all of them: {more}"
        sections.append(Section("message", left, {"from": "shoal"}))
    for one in shown:
        text = cut(one.text, share, more=f"shoal events --task {one.task_id}")
        sections.append(Section("message", text, {"id": str(one.id), "from": one.actor}))
    return sections


def failed(failures: list[Failure]) -> list[Section]:
    """The demands that the work did not meet."""
    share = LIMITS["failure"] // max(1, len(failures)) // 2
    found = []
    for number, one in enumerate(failures, start=1):
        what = one_line(one.criterion, min(2000, share))
        why = cut(one.reason, share, more="run it yourself", keep="end")
        found.append(Section("failure", f"{what}\n{why}", {"number": str(number)}))
    return found


def things(results: list[ToolResult], told: list[Told], failures: list[Failure]) -> str:
    """What came, counted."""
    counted = (("tool result", len(results)), ("message", len(told)), ("failure", len(failures)))
    named = [f"{number} {name}{'' if number == 1 else 's'}" for name, number in counted if number]
    return ", ".join(named) or "nothing new but the state of the task"


def time(tx: Tx, task: Task) -> Section:
    """The only section that knows the clock."""
    lines = [f"now: {_moment(tx.now)}"]
    began = task.started_at or task.claimed_at
    if began is not None and task.attempt:
        lines.append(f"attempt began: {_moment(began)}")
    if task.timeout_seconds is not None:
        lines.append(f"an attempt may take: {task.timeout_seconds} seconds")
    if task.deadline is not None:
        lines.append(f"deadline: {_moment(task.deadline)}")
    return Section("time", "\n".join(lines))


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _some(name: str, text: str) -> list[Section]:
    """A section, if there is anything in it."""
    return [Section(name, text)] if text.strip() else []
