"""`shoal item`: one work item, or several: read, decided about, edited, linked, run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from shoal.cli.moments import MOMENT
from shoal.cli.moments import shown as moment
from shoal.cli.session import Function, Session, command, given
from shoal.errors import BadInput
from shoal.model.item import Effort, Item, ItemDetail, Risk, Severity, Tier

CLEAR = "none"


def _choice(kind: Any) -> click.Choice[str]:
    return click.Choice([one.value for one in kind])


@click.group(
    epilog="Examples: shoal item add 'Fix the login' -f src/login.py; shoal item accept W17 W18; "
    "shoal item depend W17 --on W3; shoal item run W17; shoal item history W17"
)
def item() -> None:
    """One work item, or several: show, decide, edit, link, run."""


@item.command(epilog="Examples: shoal item show W17; shoal item show W17 W18 --json")
@click.argument("items", nargs=-1, required=True)
@command
def show(session: Session, items: tuple[str, ...]) -> None:
    """Show everything about an item."""
    found = session.each(items, session.ledger.items.get)

    def show() -> None:
        from shoal.cli.items import whole

        for one in found:
            whole(one, session.ledger.costs.sums(by="purpose", item=one.id))

    session.answer(_one_or_all(items, found), show, ids=[one.item_id for one in found])


def _with_fields(function: Function) -> Function:
    """The options that add and edit share."""
    options = [
        click.option("--title", help="One line that says what it is."),
        click.option("--summary", help="More about it."),
        click.option("--severity", type=click.Choice([*(one.value for one in Severity), CLEAR]), help="How bad it is."),
        click.option("-e", "--effort", type=_choice(Effort), help="small < 30 min, medium 0.5-2 h, large."),
        click.option(
            "--estimate", "estimate_minutes", type=int, help="Minutes that it should take; it says the effort."
        ),
        click.option("-r", "--risk", type=_choice(Risk), help="How much may go wrong."),
        click.option("-p", "--priority", help="P0-P3, or urgent, high, normal, low; none to clear it."),
        click.option("--tier", type=_choice(Tier), help="safe_always may be done without asking, by a rule."),
        click.option("-t", "--type", help="The type of its tasks: swe, research, your own."),
        click.option("-l", "--label", "labels", multiple=True, help="A label; may be repeated."),
        click.option("--owner", help="Whose it is."),
        click.option("--due", "due_at", type=MOMENT, help="When it should be done: 2026-12-24, 3d."),
        click.option("--parent", help="The item that it is part of; none to take it out."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in given(**options).items()}
    return {name: None if value == CLEAR else value for name, value in fields.items()}


@item.command(epilog="Example: shoal item add 'Fix the login' --project web -f src/login.py -e small --accept")
@click.argument("text", nargs=-1, required=True)
@click.option("--project", help="What it belongs to.")
@click.option("-f", "--file", "files", multiple=True, help="A file that it is about; may be repeated.")
@click.option("--ref", "refs", multiple=True, help="SYSTEM=NAME: what it is called elsewhere; may be repeated.")
@click.option("--accept", "accepted", is_flag=True, help="Accept it at once.")
@_with_fields
@command
def add(session: Session, text: tuple[str, ...], refs: tuple[str, ...], **options: Any) -> None:
    """Make an item by hand."""
    fields = _fields(options)
    if refs:
        fields["refs"] = dict(_ref(one) for one in refs)
    made = session.ledger.items.create(text=" ".join(text), **fields)
    say(session, made, [made], "made")


@item.command(
    epilog="Examples: shoal item accept W17 W18; shoal backlog list -s new --work --all -q | xargs shoal item accept"
)
@click.argument("items", nargs=-1, required=True)
@command
def accept(session: Session, items: tuple[str, ...]) -> None:
    """Say that items are worth doing."""
    each(session, items, session.ledger.items.accept)


@item.command(epilog="Example: shoal item reject W17 --reason 'not ours'")
@click.argument("items", nargs=-1, required=True)
@click.option("--reason", help="Why.")
@command
def reject(session: Session, items: tuple[str, ...], reason: str | None) -> None:
    """Say that items will not be done."""
    each(session, items, lambda one: session.ledger.items.reject(one, reason=reason))


@item.command(epilog="Example: shoal item reopen W17")
@click.argument("items", nargs=-1, required=True)
@command
def reopen(session: Session, items: tuple[str, ...]) -> None:
    """Open items again that were done, rejected, or not seen for long."""
    each(session, items, session.ledger.items.reopen)


@item.command(epilog="Example: shoal item done W17 --reason 'came with the new router'")
@click.argument("items", nargs=-1, required=True)
@click.option("--reason", help="How it came to be done.")
@command
def done(session: Session, items: tuple[str, ...], reason: str | None) -> None:
    """Say that items are done."""
    each(session, items, lambda one: session.ledger.items.done(one, reason=reason))


@item.command(epilog="Example: shoal item undo W17")
@click.argument("item")
@click.option("--event", type=int, help="The event to take back, of `shoal item history`; else the last.")
@command
def undo(session: Session, item: str, event: int | None) -> None:
    """Take back the last decision, edit or priority of an item."""
    undone = session.ledger.items.undo(item, **given(event=event))
    say(session, undone, [undone], "is {status} again")


@item.command(epilog="Examples: shoal item edit W17 -e small -r low; shoal item edit W17 --parent none")
@click.argument("items", nargs=-1, required=True)
@click.option("--text", help="Its words.")
@_with_fields
@command
def edit(session: Session, items: tuple[str, ...], **options: Any) -> None:
    """Change fields of items; what is left out stays."""
    fields = _fields(options)
    if not fields:
        raise click.UsageError("say what is to be another, as --effort small")
    each(session, items, lambda one: session.ledger.items.update(one, **fields), "changed")


@item.command(epilog="Examples: shoal item prioritise W17 P1; shoal item prioritise W17 W18 none")
@click.argument("items", nargs=-1, required=True)
@click.argument("priority")
@click.option("--order", "sort_order", type=int, help="Its place among those of the same priority; low comes first.")
@command
def prioritise(session: Session, items: tuple[str, ...], priority: str, sort_order: int | None) -> None:
    """Give items a priority by hand; rules do not change it."""
    fields = {"priority": None if priority == CLEAR else priority} | given(sort_order=sort_order)

    def after(one: Item) -> str:
        return "has no priority" if one.priority is None else f"is P{one.priority}"

    each(session, items, lambda one: session.ledger.items.update(one, **fields), after)


@item.command(epilog="Examples: shoal item link W17 -f src/login.py; shoal item link W17 --ref jira=WEB-12")
@click.argument("item")
@click.option("-f", "--file", "files", multiple=True, help="A file that it is about; may be repeated.")
@click.option("--ref", "refs", multiple=True, help="SYSTEM=NAME: what it is called elsewhere; may be repeated.")
@click.option("--parent", help="The item that it is part of.")
@command
def link(session: Session, item: str, files: tuple[str, ...], refs: tuple[str, ...], parent: str | None) -> None:
    """Link an item to files, to a name elsewhere, or to the item that it is part of."""
    if not (files or refs or parent):
        raise click.UsageError("say to what: --file, --ref or --parent")
    ledger = session.ledger
    if files:
        ledger.items.add_files(item, files=list(files))
    changes: dict[str, Any] = given(parent=parent)
    if refs:
        changes["refs"] = ledger.items.get(item).refs | dict(_ref(one) for one in refs)
    if changes:
        ledger.items.update(item, **changes)
    linked = ledger.items.get(item)
    say(session, linked, [linked], "linked")


@item.command(epilog="Examples: shoal item unlink W17 -f src/login.py; shoal item unlink W17 --waits-for W3")
@click.argument("item")
@click.option("-f", "--file", "files", multiple=True, help="A file that it is not about; may be repeated.")
@click.option("--ref", "refs", multiple=True, help="SYSTEM: its name there is forgotten; may be repeated.")
@click.option("--waits-for", "on", multiple=True, help="An item that it waits for no more; may be repeated.")
@click.option("--parent", is_flag=True, help="It is part of nothing.")
@command
def unlink(
    session: Session, item: str, files: tuple[str, ...], refs: tuple[str, ...], on: tuple[str, ...], parent: bool
) -> None:
    """Take links of an item away."""
    if not (files or refs or on or parent):
        raise click.UsageError("say which: --file, --ref, --waits-for or --parent")
    ledger = session.ledger
    changes: dict[str, Any] = {"parent": None} if parent else {}
    if refs:
        known = ledger.items.get(item).refs
        if unknown := [one for one in refs if one not in known]:
            raise BadInput(f"{item} has no name in {unknown[0]}; it has {', '.join(known) or 'none'}", field="ref")
        changes["refs"] = {system: name for system, name in known.items() if system not in refs}
    for path in files:
        ledger.items.remove_file(item, path=path)
    for other in on:
        ledger.items.undepend(item, on=other)
    if changes:
        ledger.items.update(item, **changes)
    left = ledger.items.get(item)
    say(session, left, [left], "unlinked")


@item.command(epilog="Example: shoal item depend W17 --on W3 --on W4")
@click.argument("items", nargs=-1, required=True)
@click.option("--on", multiple=True, required=True, help="What they wait for; may be repeated.")
@command
def depend(session: Session, items: tuple[str, ...], on: tuple[str, ...]) -> None:
    """Make items wait for others; their tasks will wait, too."""

    def wait(one: str) -> ItemDetail:
        return [session.ledger.items.depend(one, on=other) for other in on][-1]

    each(session, items, wait, lambda one: f"waits for {', '.join(one.blocked_by)}")


@item.command(epilog="Example: shoal item merge W18 W19 --into W17")
@click.argument("items", nargs=-1, required=True)
@click.option("--into", required=True, help="The item that stays.")
@command
def merge(session: Session, items: tuple[str, ...], into: str) -> None:
    """Say that items are the same as another one, which stays."""
    merged: list[str] = []

    def take(one: str) -> Item:
        found = session.ledger.items.merge(one, into=into)
        merged.append(one)
        return found

    if found := session.each(items, take):
        say(session, found[-1], found[-1:], lambda one: f"is {', '.join(merged)} as well")


@item.command(epilog="Example: shoal item history W17")
@click.argument("item")
@click.option("-n", "--limit", type=int, default=50, show_default=True, help="How many events.")
@command
def history(session: Session, item: str, limit: int) -> None:
    """Show what happened to an item, newest first."""
    session.ledger.items.get(item)
    found = session.ledger.events.list(item=item, limit=limit)

    def show() -> None:
        from shoal.cli import output

        rows = [(one.id, moment(one.at), one.actor, one.kind, _told(one.changes, one.data)) for one in found]
        output.table(["Event", "When", "Who", "What", "Told"], rows, empty="Nothing happened to it.", grows="Told")

    session.answer(found, show, ids=[one.id for one in found])


@item.command(epilog="Examples: shoal item assessments W17; shoal item assessments W17 --json")
@click.argument("item")
@click.option("-n", "--limit", type=int, default=50, show_default=True, help="How many assessments.")
@command
def assessments(session: Session, item: str, limit: int) -> None:
    """Show what was said that an item takes, newest first, with what it cost; --json tells all of it."""
    found = session.ledger.items.assessments(item, limit=limit)

    def show() -> None:
        from shoal.cli.items import assessed

        assessed(found)

    session.answer(found, show, ids=[one.version for one in found])


@item.command(epilog="Examples: shoal item run W17; shoal item run W17 --with-blockers; shoal item run W17 W18 -q")
@click.argument("items", nargs=-1, required=True)
@click.option("--with-blockers", is_flag=True, help="Make tasks of what it waits for, too.")
@click.option("--parallel", is_flag=True, help="Let its parts be done in any order.")
@command
def run(session: Session, items: tuple[str, ...], with_blockers: bool, parallel: bool) -> None:
    """Make and queue the tasks of accepted items."""
    came = session.each(
        items, lambda one: session.ledger.items.run(one, with_blockers=with_blockers, parallel=parallel)
    )

    def show() -> None:
        from shoal.cli import output

        for one in came:
            done = f"{one.made} made" if one.made else "they were there already"
            output.sentence(f"{one.item.item_id} is {one.item.status.value}: {len(one.tasks)} task(s), {done}")
            if one.undecided:
                output.sentence(f"{one.undecided} item(s) below it are not accepted, and no part of this.")
        found = {task.id: task for one in came for task in one.tasks}
        output.tasks(found.values(), empty="No tasks.")
        if bare := [task.task_id for task in found.values() if not task.repos]:
            output.remark(
                f"{', '.join(bare)}: no repository; `shoal edit {bare[0]} --repo owner/name`, and for later tasks "
                "`repository` in [projects.NAME] of shoal.toml"
            )

    tasks = dict.fromkeys(task.task_id for one in came for task in one.tasks)
    session.answer(_one_or_all(items, came), show, ids=list(tasks))


def each(
    session: Session,
    items: tuple[str, ...],
    verb: Callable[[str], Any],
    said: str | Callable[[Any], str] = "is {status}",
) -> None:
    """Do something to several items, and say of those where it was done."""
    found = session.each(items, verb)
    say(session, _one_or_all(items, found), found, said)


def _one_or_all(asked: tuple[str, ...], found: list[Any]) -> Any:
    """The answer as JSON: one for one that was asked about, a list for several."""
    return found if len(asked) > 1 else found[0]


def say(session: Session, answer: Any, found: list[Any], said: str | Callable[[Any], str]) -> None:
    """Say of items what was done to them; `answer` is that as JSON."""

    def show() -> None:
        from shoal.cli import output
        from shoal.cli.items import name_of

        for one in found:
            words = said(one) if callable(said) else said.format(status=one.status.value)
            output.sentence(f"{one.item_id} {words}: {name_of(one)}")

    session.answer(answer, show, ids=[one.item_id for one in found])


def _ref(text: str) -> tuple[str, str]:
    system, mark, name = text.partition("=")
    if not (mark and system and name):
        raise BadInput(f"--ref {text!r}: write SYSTEM=NAME", field="ref")
    return system, name


def _told(changes: dict[str, Any], data: dict[str, Any]) -> str:
    parts = [f"{name}: {_plain(old)} -> {_plain(new)}" for name, (old, new) in changes.items()]
    return "; ".join([*parts, *(f"{name}: {_plain(value)}" for name, value in data.items())])


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return " ".join(str(value).split())
