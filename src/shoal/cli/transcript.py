"""Commands to watch an agent at its work, and to tell it something."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import click

from shoal.cli import moments
from shoal.cli.session import Session, command
from shoal.errors import BadInput
from shoal.model import session as model
from shoal.model.event import OF_SESSIONS, Event, Kind
from shoal.model.task import FINISHED

PAGE = 500
SHOWN_ARGUMENTS = 200
NARROW = 60
FOLLOWED = OF_SESSIONS | {Kind.TASK_TOLD}
# What an agent says may hold what a terminal would obey.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class SessionLines(NamedTuple):
    """A session with all that was said in it."""

    session: model.Session
    lines: list[model.Line]


@click.command(epilog="Examples: shoal logs T42; shoal logs T42 --follow; shoal logs T42 --all --json")
@click.argument("task")
@click.option("--session", "id", type=int, help="This session, in place of the newest.")
@click.option("--all", "everything", is_flag=True, help="Every session of the task, the oldest first.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until the task is finished or Ctrl-C.")
@command
def logs(session: Session, task: str, id: int | None, everything: bool, follow: bool) -> None:
    """Show what agents said and did for a task, or follow them live.

    With --json and --follow every line is an event, as the log has it.
    """
    if id is not None and everything:
        raise click.UsageError("give --session or --all, not both")
    ledger = session.ledger
    position = ledger.stats.get().last_event if follow else 0
    found = ledger.tasks.get(task)
    chosen = _chosen(ledger, found.task_id, id, everything)
    if follow and (session.json or session.quiet):
        events = _history(ledger, found.task_id) if found.status in FINISHED else _until_finished(ledger, found.id, 0)
        _print_events(session, events, id)
        return
    told = [SessionLines(one, list(_lines(ledger, one.id))) for one in chosen]
    if not follow:
        session.answer(
            [one._asdict() for one in told], lambda: _show(found.task_id, told), ids=[one.id for one in chosen]
        )
        return
    _show(found.task_id, told)
    if found.status in FINISHED:
        _say(None, f"{found.task_id} is {found.status.value}", fg="bright_black")
        return
    known: dict[int, bool] = {}
    for part in told:
        known |= {line.id: line.tool is None or _is_over(line.tool) for line in part.lines}
    try:
        for event in _until_finished(ledger, found.id, position):
            _show_event(event, id, known)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


@click.command(epilog='Example: shoal tell T42 "use the v2 API, and leave the tests alone"')
@click.argument("task")
@click.argument("text", nargs=-1)
@click.option("--file", type=click.File(encoding="utf-8"), help="The text from this file; '-' is standard input.")
@command
def tell(session: Session, task: str, text: tuple[str, ...], file: Any) -> None:
    """Tell whoever works on a task something. A lone '-' as text is standard input."""
    from shoal.cli.contents import given_text

    message = given_text(text, file)
    if not message.strip():
        raise BadInput("the message is empty", field="text")
    told = session.ledger.tasks.tell(task, text=message)
    ways = {
        model.Delivery.LIVE: "its agent gets it now",
        model.Delivery.NEXT_TURN: "its agent hears nothing while it runs, and gets it as its next turn",
        model.Delivery.NEXT_RUN: "no agent runs now, and the next one gets it",
    }
    session.answer(told, lambda: click.echo(f"{told.task_id}: {ways[told.delivery]}"), ids=[told.id])


def _chosen(ledger: Any, task: str, id: int | None, everything: bool) -> list[model.Session]:
    if id is not None:
        one = ledger.sessions.get(id)
        if one.task_id != task:
            raise BadInput(f"session {id} is about {one.task_id}, not {task}", field="session")
        return [one]
    if not everything:
        return list(ledger.tasks.sessions(task, limit=1))
    page = ledger.tasks.sessions(task, limit=PAGE)
    found = list(page)
    while page.next is not None:
        page = ledger.tasks.sessions(task, cursor=page.next, limit=PAGE)
        found += page
    return found[::-1]


def _lines(ledger: Any, id: int) -> Iterator[model.Line]:
    page = ledger.sessions.transcript(id, limit=PAGE)
    yield from page
    while page.next is not None:
        page = ledger.sessions.transcript(id, cursor=page.next, limit=PAGE)
        yield from page


def _history(ledger: Any, task: str) -> Iterator[Event]:
    page = ledger.events.list(after=0, task=task, limit=PAGE)
    while page:
        yield from page
        page = ledger.events.list(after=page[-1].id, task=task, limit=PAGE)


def _until_finished(ledger: Any, number: int, after: int) -> Iterator[Event]:
    for event in ledger.follow(after=after, task=number):
        yield event
        # Of a task that was reopened the older end is not the end.
        if _status(event) in FINISHED and ledger.tasks.get(number).status in FINISHED:
            return


def _print_events(session: Session, events: Iterator[Event], id: int | None) -> None:
    import msgspec

    try:
        for event in events:
            if event.kind in FOLLOWED and id in (None, event.data.get("session")):
                click.echo(event.id if session.quiet else msgspec.json.encode(event).decode())
                sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _show(task: str, told: list[SessionLines]) -> None:
    if not told:
        click.echo(f"{task}: no agent has spoken about it yet")
    for part in told:
        if part is not told[0]:
            click.echo()
        _head(part.session)
        for line in part.lines:
            _show_line(line)


def _head(one: model.Session) -> None:
    with_model = f"{one.kind}, {one.model}" if one.model else one.kind
    run = f", run {one.runs}" if one.runs > 1 else ""
    state = one.outcome or "runs"
    _say(None, f"session {one.id} · {one.agent} ({with_model}) · attempt {one.attempt}{run} · {state}", bold=True)
    details = [
        ("error", one.error),
        ("stopped", one.stop),
        ("unreadable", f"{one.malformed} lines" if one.malformed else None),
        ("log", one.log),
    ]
    for name, value in details:
        if value:
            _say(None, f"  {name}: {value}", fg="bright_black")


def _show_line(line: model.Line) -> None:
    if line.tool is None:
        _show_said(line.at, line.role, line.text or "")
        return
    _show_begun(line.at, line.tool.name, line.tool.arguments)
    if _is_over(line.tool):
        _show_ended(None, "", line.tool.error, line.tool.duration_ms)


def _show_event(event: Event, id: int | None, known: dict[int, bool]) -> None:
    """What an event adds to what is shown; `known` maps the lines that are shown to whether they are whole."""
    data = event.data
    if status := _status(event):
        _say(event.at, f"{event.task_id} is {status}", fg="bright_black")
    if event.kind not in FOLLOWED or id not in (None, data.get("session")):
        return
    match event.kind:
        case Kind.SESSION_SAID if data["line"] not in known:
            _show_said(event.at, data["role"], data["text"])
        case Kind.TOOL_STARTED if data["line"] not in known:
            _show_begun(event.at, data["name"], data["arguments"])
        case Kind.TOOL_COMPLETED | Kind.TOOL_FAILED if not known.get(data["line"]):
            _show_ended(event.at, data.get("name", ""), data.get("error"), data.get("duration_ms"))
        case Kind.SESSION_STARTED:
            _say(event.at, f"session {data['session']} · {data['agent']} · run {data['run']}", bold=True)
        case Kind.SESSION_ENDED:
            error = f": {data['error']}" if "error" in data else ""
            _say(event.at, f"session {data['session']} ended · {data['outcome']}{error}", bold=True)
        case Kind.TASK_TOLD:
            _show_said(event.at, "user", f"{event.actor}: {data['text']}")
        case Kind.TASK_HEARD:
            _say(event.at, f"> {event.actor} has it", fg="bright_black")


def _show_said(at: int, role: str, text: str) -> None:
    marks: dict[str, tuple[str, dict[str, Any]]] = {
        "assistant": ("", {}),
        "reasoning": ("~ ", {"fg": "bright_black", "italic": True}),
        "user": ("> ", {"fg": "magenta"}),
        "system": ("# ", {"fg": "bright_black"}),
    }
    mark, style = marks[role]
    _say(at, mark + text, **style)


def _show_begun(at: int, name: str, arguments: str) -> None:
    shown = " ".join(arguments.split())
    shown = shown if len(shown) <= SHOWN_ARGUMENTS else f"{shown[: SHOWN_ARGUMENTS - 1]}…"
    _say(at, f"$ {name or 'a tool'} {shown}".rstrip(), fg="cyan")


def _show_ended(at: int | None, name: str, error: str | None, duration_ms: int | None) -> None:
    how = "ok" if error is None else "failed"
    parts = [f"{name} {how}".strip(), *([] if duration_ms is None else [_duration(duration_ms)])]
    text = " · ".join(parts) + ("" if error is None else f": {error}")
    _say(at, text, indented=at is None, fg="bright_black" if error is None else "red")


def _say(at: int | None, text: str, *, indented: bool = False, **style: Any) -> None:
    """A paragraph behind its time, as wide as the terminal, its further lines indented; in a pipe it is not wrapped."""
    import textwrap

    from shoal.cli import output

    width = output.columns() or 0
    clock = "" if at is None else datetime.fromtimestamp(at / 1000).astimezone().strftime("%H:%M:%S ")
    margin = " " * (9 if not 0 < width < NARROW else 2) if clock or indented else ""
    lines: list[str] = []
    indent = " " * len(clock or margin)
    for line in _CONTROL.sub("", text).expandtabs(4).rstrip().split("\n"):
        if width and len(indent) + len(line) > width:
            wrapped = textwrap.wrap(line, max(width, 20), initial_indent=indent, subsequent_indent=margin)
            lines += [part[len(margin if number else indent) :] for number, part in enumerate(wrapped)]
        else:
            lines.append(line)
        indent = margin
    first, *rest = lines or [""]
    click.echo(click.style(clock or margin, fg="bright_black") + click.style(first, **style))
    for line in rest:
        click.echo(margin + click.style(line, **style) if line else "")


def _is_over(tool: model.ToolCall) -> bool:
    return tool.result is not None or tool.error is not None


def _duration(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else moments.span(milliseconds)


def _status(event: Event) -> str | None:
    change = event.changes.get("status")
    return None if change is None else change[1]
