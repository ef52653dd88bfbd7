"""Commands that make, read and change tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from shoal.cli.costs import told as spent
from shoal.cli.moments import MOMENT, shown, span
from shoal.cli.session import Session, command, given

PAGE = 1000
MOMENTS = frozenset({"deadline", "leased_until"})
FILTERS = [
    click.option("-s", "--status", help="queued, scheduled, blocked, active, review, completed, failed, cancelled."),
    click.option("-t", "--type", help="Only this type."),
    click.option("--queue", help="Only this queue."),
    click.option("-l", "--label", help="Only with this label."),
    click.option("-a", "--assignee", help="Only of this assignee."),
    click.option("--parent", help="Only below this task."),
    click.option("--text", help="Only with this in the title."),
]


def with_fields(function: Any) -> Any:
    """The options that add and edit share."""
    options = [
        click.option("-t", "--type", help="swe, research, qa, system, or your own."),
        click.option("-p", "--priority", help="P0-P3, or urgent, high, normal, low."),
        click.option("--queue", help="The queue that it is claimed from."),
        click.option("-l", "--label", "labels", multiple=True, help="A label; may be repeated."),
        click.option("-a", "--assignee", help="Who is meant to do it."),
        click.option("--parent", help="The task that it is part of."),
        click.option("--repo", "repos", multiple=True, help="A repository, owner/name; may be repeated."),
        click.option("--model", help="The model to use."),
        click.option("--workflow", help="The workflow to use."),
        click.option("--estimate", "estimate_minutes", type=int, help="Minutes that it should take."),
        click.option("--deadline", type=MOMENT, help="When it should be done: 2026-12-24, 3d."),
        click.option("--at", "run_at", type=MOMENT, help="Not before this time: 2026-12-24T18:00, 90m."),
        click.option("--requires-qa/--no-requires-qa", default=None, help="Whether someone must approve it."),
        click.option("--max-attempts", type=int, help="Attempts before it is given up (3)."),
        click.option("--timeout", "timeout_seconds", type=int, help="Seconds that one attempt may take."),
        click.option("--slug", help="A name for it, unique."),
        click.option("--external-key", help="Its name elsewhere, unique."),
        click.option(
            "--criterion",
            "criteria",
            multiple=True,
            help="What must hold at the end, 'TEXT' or 'TEXT => CHECK'; may be repeated. A check is a command: "
            "'tests pass => make test'; a comparison with the result: 'enough tests => result.tests.passed >= 10'; "
            "or for a person: 'it looks well => manual'.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in given(**options).items()}
    if criteria := fields.pop("criteria", None):
        fields["success_criteria"] = [_criterion(text) for text in criteria]
    return fields


def _criterion(text: str) -> dict[str, Any]:
    criterion, arrow, measurable = text.partition(" => ")
    return {"criterion": criterion, "measurable": measurable} if arrow else {"criterion": criterion}


@click.command(epilog="Example: shoal add 'Fix the login' -p high -l web --depends-on T7")
@click.argument("title", nargs=-1, required=True)
@with_fields
@click.option("-d", "--depends-on", multiple=True, help="A task that must complete first; may be repeated.")
@click.option("--hold", "hold_reason", help="Keep it from being claimed, for this reason.")
@click.option("--unique-key", help="Answer with the live task that has this key, if there is one.")
@click.option("--request-id", help="The same id again makes no second task.")
@click.option("-b", "--body", help="Markdown for its file in the vault.")
@click.option("--body-file", type=click.File(encoding="utf-8"), help="The same from a file; '-' is standard input.")
@command
def add(session: Session, title: tuple[str, ...], body_file: Any, **options: Any) -> None:
    """Add a task."""
    if body_file is not None:
        options["body"] = body_file.read()
    made = session.ledger.tasks.create(title=" ".join(title), **_fields(options))
    if made.repos:
        _note_strays(session, made.repos)

    def show() -> None:
        from shoal.cli import output

        output.sentence(f"{made.task_id} {made.status.value}: {made.title}")

    session.answer(made, show, ids=[made.task_id])


def _note_strays(session: Session, repositories: list[str]) -> None:
    """Say which repositories no worker of this home could find; one elsewhere may have other settings."""
    from contextlib import suppress

    from shoal.errors import ShoalError
    from shoal.worker.choice import without_address

    with suppress(ShoalError):
        for note in without_address(repositories, session.home.settings()):
            click.echo(f"note: {note}", err=True)


def _with_filters(function: Any) -> Any:
    for option in reversed(FILTERS):
        function = option(function)
    return function


@click.command("list", epilog="Example: shoal list -s failed --limit 20 --json")
@_with_filters
@click.option("--order", type=click.Choice(["newest", "claim"]), help="newest first, or as a claim would take them.")
@click.option("-n", "--limit", type=int, default=50, show_default=True, help="Tasks per page.")
@click.option("--cursor", help="Where the page begins: 'next' of the page before.")
@click.option("--all", "every", is_flag=True, help="Every page.")
@command
def list_(session: Session, limit: int, every: bool, **filters: Any) -> None:
    """List tasks, newest first."""
    page = session.ledger.tasks.list(limit=limit, **given(**filters))
    found = list(page)
    following = page.next
    while every and following:
        page = session.ledger.tasks.list(limit=limit, **given(**filters) | {"cursor": following})
        found += page
        following = page.next
    if session.json:
        session.print_json(found, next=following)
        return

    def show() -> None:
        from shoal.cli import output

        output.tasks(found, empty=_nothing(given(**filters)))
        if following:
            click.echo(f"More: shoal list --cursor {following}, or --all", err=True)

    session.answer(found, show, ids=[one.task_id for one in found])


def _nothing(filters: dict[str, Any]) -> str:
    asked = filters.keys() - {"order"}
    if not asked:
        return "No tasks. Add one: shoal add 'Say hello'"
    return f"No task is {filters['status']}." if asked == {"status"} else "No such task."


@click.command(epilog="Example: shoal show T42")
@click.argument("task")
@click.option(
    "--events",
    "limit",
    type=int,
    default=10,
    show_default=True,
    help="How much of its history; what its agents said and called is in `shoal logs`.",
)
@command
def show(session: Session, task: str, limit: int) -> None:
    """Show one task, what it waits for, and its history."""
    found = session.ledger.tasks.get(task)
    if session.json:
        session.print_json(found)
        return

    def show() -> None:
        from shoal.cli import output

        output.task(found)
        for one in session.ledger.costs.sums(by="task", task=found.id):
            output.sentence(f"  {'cost':<13}{spent(one)}")
        edges = session.ledger.tasks.dependencies(found.id)
        for edge in edges:
            other = (edge.blocker, edge.blocker_title, edge.blocker_status)
            word = {"blocks": "waits for", "parent": "part of"}.get(edge.kind, edge.kind)
            if edge.blocker == found.task_id:
                other = (edge.blocked, edge.blocked_title, edge.blocked_status)
                word = {"blocks": "blocks"}.get(edge.kind, f"{edge.kind} of")
            output.sentence(f"  {word:<13}{other[0]} {other[1]} ({other[2]})")
        # One more, to know whether there are older ones.
        more = min(limit + 1, PAGE)
        history = list(session.ledger.events.list(task=found.id, steps=False, limit=more)) if limit else []
        rows = [(shown(e.at), e.kind, e.actor, told(e)) for e in reversed(history[:limit])]
        if rows:
            output.table(["When", "What", "By", ""], rows, empty="", grows="")
        if len(history) > limit:
            click.echo(f"Older ones: shoal show {found.task_id} --events {PAGE}", err=True)

    session.answer(found, show, ids=[found.task_id])


def told(event: Any) -> str:
    """What changed in an event, on one line."""
    changes = [f"{name}: {_short(name, old)} → {_short(name, new)}" for name, (old, new) in event.changes.items()]
    data = [
        f"{name.removesuffix('_ms')} {_short(name, value)}"
        for name, value in event.data.items()
        if name not in {"title", "leased_until"}
    ]
    return ", ".join(changes + data)


def _short(name: str, value: Any) -> str:
    if isinstance(value, int) and (name in MOMENTS or name.endswith("_at")):
        return shown(value)
    if isinstance(value, int) and name.endswith("_ms"):
        return span(value)
    text = "none" if value is None else " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


@click.command(epilog="Example: shoal edit T42 -p urgent --deadline 2d; --clear deadline empties a field")
@click.argument("task")
@click.option("--title", help="A new title.")
@with_fields
@click.option("--summary", help="What came of it.")
@click.option("--clear", multiple=True, help="A field to empty; may be repeated.")
@click.option("--body", is_flag=True, help="Open the body of its file in $EDITOR.")
@command
def edit(session: Session, task: str, clear: tuple[str, ...], body: bool, **options: Any) -> None:
    """Change fields of a task."""
    if body:
        from shoal.cli.contents import edit_body

        edit_body(session, task)
        if not given(**options) and not clear:
            return
    fields = _fields(options) | {name.replace("-", "_"): None for name in clear}
    for name in ("labels", "repos", "success_criteria"):
        if name in fields and fields[name] is None:
            fields[name] = []
    if not fields:
        raise click.UsageError("name what is to change; see --help")
    changed = session.ledger.tasks.update(task, **fields)

    def show() -> None:
        from shoal.cli import output

        what = ", ".join(changed.updated) or "nothing"
        output.sentence(f"{changed.task_id}: {what} changed")

    session.answer(changed, show, ids=[changed.task_id])


def tell(session: Session, name: str, task: str, **given: Any) -> None:
    """Report something about a task. In an attempt of a worker it is kept when nobody hears it, and delivered later."""
    folder = os.environ.get("SHOAL_OUTBOX")
    if not folder:
        after(session, getattr(session.ledger.tasks, name)(task, **given))
        return
    from shoal.ledger.outbox import Outbox

    kept = Outbox(Path(folder)).say(session.ledger, f"tasks.{name}", task=task, **given)
    if kept is None:
        after(session, session.ledger.tasks.get(task))
        return
    note = "nobody hears it now: the report is kept, and the worker delivers it"
    session.answer({"kept": kept}, lambda: click.echo(note, err=True), ids=[kept])


def after(session: Session, task: Any) -> None:
    """Say where a task stands after a verb."""

    def show() -> None:
        from shoal.cli import output

        output.sentence(f"{task.task_id} is {task.status.value}: {task.title}")

    session.answer(task, show, ids=[task.task_id])


@click.command(epilog="Example: shoal cancel T42 --reason 'done elsewhere'")
@click.argument("task")
@click.option("--reason", help="Why.")
@command
def cancel(session: Session, task: str, reason: str | None) -> None:
    """Call a task off."""
    after(session, session.ledger.tasks.cancel(task, reason=reason))


@click.command(epilog="Example: shoal hold T42 'waits for the new API key'")
@click.argument("task")
@click.argument("reason")
@command
def hold(session: Session, task: str, reason: str) -> None:
    """Keep a task from being claimed, with a reason."""
    after(session, session.ledger.tasks.hold(task, reason=reason))


@click.command()
@click.argument("task")
@command
def unhold(session: Session, task: str) -> None:
    """Lift a hold."""
    after(session, session.ledger.tasks.unhold(task))


@click.command()
@click.argument("task")
@click.option("--reason", help="Why.")
@command
def reopen(session: Session, task: str, reason: str | None) -> None:
    """Put a finished task back to work."""
    after(session, session.ledger.tasks.reopen(task, reason=reason))
