"""Commands to watch an agent at its work, and to tell it something."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import click

from shoal.cli import moments, turning_points
from shoal.cli.following import status, until_finished
from shoal.cli.session import Session, command
from shoal.errors import BadInput
from shoal.model import session as model
from shoal.model.event import OF_SESSIONS, Event, Kind
from shoal.model.task import FINISHED, Status, Task

PAGE = 500
SHOWN_ARGUMENTS = 200
NARROW = 60
FOLLOWED = OF_SESSIONS | turning_points.KINDS | {Kind.TASK_TOLD}
OF_TASK = turning_points.KINDS | {Kind.TASK_TOLD}
# What an agent says may hold what a terminal would obey.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class SessionLines(NamedTuple):
    """A session with all that was said in it."""

    session: model.Session
    lines: list[model.Line]


class Between(NamedTuple):
    """What happened to a task around its sessions: by session, and behind them all, or without any."""

    sessions: dict[int, list[Event]]
    rest: list[Event]


@click.command(epilog="Examples: shoal logs T42; shoal logs T42 --follow; shoal logs T42 --all --json")
@click.argument("task")
@click.option("--session", "id", type=int, help="This session, in place of the newest.")
@click.option("--all", "everything", is_flag=True, help="Every session of the task, the oldest first.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until the task is finished or Ctrl-C.")
@command
def logs(session: Session, task: str, id: int | None, everything: bool, follow: bool) -> None:
    """Show what agents said and did for a task, or follow them live.

    Between it stands why the work went on or was done again: what does not hold, who gave up, whose lease ended.

    With --json and --follow every line is an event, as the log has it.
    """
    if id is not None and everything:
        raise click.UsageError("give --session or --all, not both")
    ledger = session.ledger
    position = ledger.stats.get().last_event if follow else 0
    found = ledger.tasks.get(task)
    chosen = _chosen(ledger, found.task_id, id, everything)
    if follow and (session.json or session.quiet):
        events = _history(ledger, found.task_id) if found.status in FINISHED else until_finished(session, found.id, 0)
        _print_events(session, events, id)
        return
    told = [SessionLines(one, list(_lines(ledger, one.id))) for one in chosen]
    if not follow:
        session.answer(
            [one._asdict() for one in told],
            lambda: _show(found, told, _between(ledger, found.task_id)),
            ids=[one.id for one in chosen],
        )
        return
    _show(found, told, _between(ledger, found.task_id, upto=position))
    if found.status in FINISHED:
        _say(None, f"{found.task_id} is {found.status.value}", fg="bright_black")
        return
    known: dict[int, bool] = {}
    asked: set[int] = set()
    for part in told:
        known |= {line.id: line.tool is None or _is_over(line.tool) for line in part.lines}
    try:
        for event in until_finished(session, found.id, position):
            _show_event(event, id, known, asked)
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
        model.Delivery.NEXT_EPISODE: "no agent runs now, and the next one gets it",
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


def _history(ledger: Any, task: str, *, steps: bool = True) -> Iterator[Event]:
    page = ledger.events.list(after=0, task=task, steps=steps, limit=PAGE)
    while page:
        yield from page
        page = ledger.events.list(after=page[-1].id, task=task, steps=steps, limit=PAGE)


def _between(ledger: Any, task: str, *, upto: int | None = None) -> Between:
    """A claim belongs to the session that follows it, all else to the one before."""
    found = Between({}, [])
    current: int | None = None
    for event in _history(ledger, task, steps=False):
        if upto is not None and event.id > upto:
            break
        if event.kind == Kind.SESSION_STARTED:
            current = event.data["session"]
            found.sessions.setdefault(current, []).extend(found.rest)
            found.rest.clear()
        if event.kind in turning_points.KINDS | {Kind.SESSION_STARTED, Kind.SESSION_ENDED}:
            waits = bool(found.rest) or current is None or event.kind == Kind.TASK_CLAIMED
            (found.rest if waits or current is None else found.sessions[current]).append(event)
    return found


def _print_events(session: Session, events: Iterator[Event], id: int | None) -> None:
    import msgspec

    try:
        for event in events:
            if event.kind in FOLLOWED and (event.kind in OF_TASK or id in (None, event.data.get("session"))):
                click.echo(event.id if session.quiet else msgspec.json.encode(event).decode())
                sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _show(task: Task, told: list[SessionLines], between: Between) -> None:
    if not told:
        click.echo(f"{task.task_id}: no agent has spoken about it yet")
    for part in told:
        if part is not told[0]:
            click.echo()
        newest = part.session.id == max(between.sessions, default=0)
        held = task.status is Status.ACTIVE and task.attempt == part.session.attempt
        _head(part.session, goes_on=newest and held)
        events = between.sessions.get(part.session.id, [])
        if len(told) == 1 and (why := _why(between, part.session.id)):
            events = [why, *events]
        both: list[Event | model.Line] = [*events, *part.lines]
        for one in sorted(both, key=lambda one: one.at):
            if isinstance(one, model.Line):
                _show_line(one)
            else:
                _show_between(one, part.session)
    if not told or told[-1].session.id == max(between.sessions, default=0):
        for event in between.rest:
            _show_turning_point(event)


def _why(between: Between, session: int) -> Event | None:
    """What the attempt of the session before came to, where that is why this one was begun."""
    before = [events[-1] for id, events in sorted(between.sessions.items()) if id < session and events]
    return before[-1] if before and turning_points.is_why(before[-1]) else None


def _show_between(event: Event, session: model.Session) -> None:
    """The bounds of the whole session are in its head; those of its episodes are told where it has several."""
    if event.kind in turning_points.KINDS:
        _show_turning_point(event)
    elif event.kind == Kind.SESSION_STARTED:
        if event.data["episode"] > 1:
            _show_began(event)
    elif event.data.get("episode", session.episodes) < session.episodes:
        _show_ended_episode(event)


def _show_turning_point(event: Event) -> None:
    _say(event.at, turning_points.line(event), **turning_points.style(event))


def _head(one: model.Session, *, goes_on: bool) -> None:
    with_model = f"{one.kind}, {one.model}" if one.model else one.kind
    episode = f", episode {one.episodes}" if one.episodes > 1 else ""
    state = str(one.outcome or "runs")
    if one.outcome and goes_on:
        state = f"episode {one.episodes} {state}, the attempt goes on"
    _say(None, f"session {one.id} · {one.agent} ({with_model}) · attempt {one.attempt}{episode} · {state}", bold=True)
    details = [
        ("error", one.error),
        ("stopped", one.stop),
        ("unreadable", f"{one.malformed} lines" if one.malformed else None),
        ("log", one.log if one.log is None or one.log.startswith("/") else f"{one.log} in the vault"),
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


def _show_event(event: Event, id: int | None, known: dict[int, bool], asked: set[int]) -> None:
    """What an event adds to what is shown; `known` maps the lines that are shown to whether they are whole.

    `asked` are the messages of people that are shown already.
    """
    data = event.data
    if event.kind in turning_points.KINDS:
        _show_turning_point(event)
        return
    if became := status(event):
        _say(event.at, f"{event.task_id} is {became}", fg="bright_black")
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
            _show_began(event)
        case Kind.SESSION_ENDED:
            _show_ended_episode(event)
        case Kind.TASK_TOLD:
            asked.add(data["told"])
            _show_said(event.at, "user", f"{event.actor}: {data['text']}")
        case Kind.TASK_HEARD:
            if data["told"] not in asked:
                _show_said(event.at, "user", f"{data['by']}: {data['text']}")
            _say(event.at, f"> {event.actor} has it", fg="bright_black")


def _show_began(event: Event) -> None:
    data = event.data
    goes_on = " goes on" if data["episode"] > 1 else ""
    _say(event.at, f"session {data['session']}{goes_on} · {data['agent']} · episode {data['episode']}", bold=True)


def _show_ended_episode(event: Event) -> None:
    """Of an episode alone: whether its session goes on is known only when the work was checked."""
    data = event.data
    what = (
        f"episode {data['episode']} of session {data['session']}" if "episode" in data else f"session {data['session']}"
    )
    error = f": {turning_points.shortened(data['error'])}" if "error" in data else ""
    _say(event.at, f"{what} ended · {data['outcome']}{error}", bold=True)


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
