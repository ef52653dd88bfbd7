"""`shoal backlog`: the work items together: listed, put in order, consolidated, taken out and in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from shoal.cli.backlog_import import import_
from shoal.cli.backlog_push import push
from shoal.cli.session import Session, command, given
from shoal.errors import BadInput
from shoal.model.item import ITEM_STATUS_MEANINGS, ItemStatus, Origin, Severity

if TYPE_CHECKING:
    from shoal.errands.ranking import Question
    from shoal.model.priority import Prioritised
    from shoal.model.proposal import Proposal
    from shoal.settings import Settings

FORMATS = click.Choice(["markdown", "csv", "jsonl"])
FormatName = Literal["jsonl", "csv", "markdown"]
BY_SUFFIX: dict[str, FormatName] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".md": "markdown",
    ".markdown": "markdown",
}
STATUS = click.Choice([one.value for one in ItemStatus])
PROJECT = click.option("--project", help="Only of this project.")


@click.group(
    epilog="Examples: shoal backlog list --open --file src/login.py; shoal backlog next; shoal backlog prioritise "
    "--explain; shoal backlog export -o backlog.md"
)
def backlog() -> None:
    """Work items: list, order, consolidate, export, import, push."""


backlog.add_command(import_)
backlog.add_command(push)


@backlog.command(
    "list",
    epilog="Examples: shoal backlog list; shoal backlog list -s new --origin check; shoal backlog list --file a.py; "
    f"statuses: {', '.join(f'{one.value} ({ITEM_STATUS_MEANINGS[one]})' for one in ItemStatus)}",
)
@PROJECT
@click.option("-s", "--status", type=STATUS, help="Only with this status.")
@click.option("--open", "open", is_flag=True, default=None, help="Only what is neither done, rejected nor stale.")
@click.option("--work", is_flag=True, default=None, help="Only work: no questions, and no decisions.")
@click.option("--accepted/--undecided", "accepted", default=None, help="Only accepted ones, or only others.")
@click.option("--origin", type=click.Choice([one.value for one in Origin]), help="Only from there.")
@click.option("--check", help="Only findings of this check.")
@click.option("--severity", type=click.Choice([one.value for one in Severity]), help="Only findings so bad.")
@click.option("-p", "--priority", help="Only of this priority: P0-P3.")
@click.option("-t", "--type", help="Only of this type.")
@click.option("-l", "--label", help="Only with this label.")
@click.option("--parent", help="Only parts of this item.")
@click.option("--source", "source_file", help="Only what stands in this file.")
@click.option("-f", "--file", help="Only what is about this file, or stands in it.")
@click.option("--text", "containing", help="Only with these words, whatever the case.")
@click.option("-n", "--limit", type=int, default=50, show_default=True, help="Items per page.")
@click.option("--cursor", help="Where the page begins: 'next' of the page before.")
@click.option("--all", "every", is_flag=True, help="Every page.")
@command
def list_(session: Session, limit: int, every: bool, **filters: Any) -> None:
    """List work items, newest first."""
    asked = given(**filters)
    page = session.ledger.items.list(limit=limit, **asked)
    found = list(page)
    following = page.next
    while every and following:
        page = session.ledger.items.list(limit=limit, **asked | {"cursor": following})
        found += page
        following = page.next
    if session.json:
        session.print_json(found, next=following)
        return

    def show() -> None:
        from shoal.cli.items import listed

        nothing = "The backlog is empty. Fill it: shoal scan, or shoal item add 'Fix the login'"
        listed(found, empty="No such item." if asked.keys() - {"open"} else nothing)
        if following:
            click.echo(f"More: shoal backlog list --cursor {following}, or --all", err=True)

    session.answer(found, show, ids=[one.item_id for one in found])


@backlog.command("next", epilog="Examples: shoal backlog next; shoal backlog next -n 1 -q | xargs shoal item run")
@PROJECT
@click.option("-n", "--limit", type=int, default=20, show_default=True, help="How many.")
@command
def next_(session: Session, project: str | None, limit: int) -> None:
    """Show which items are to be done next, the first on top."""
    found = session.ledger.items.next(limit=limit, **given(project=project))

    def show() -> None:
        from shoal.cli.items import listed

        listed(found, empty="Nothing has a priority yet: `shoal backlog prioritise`, or `shoal item prioritise W1 P1`")

    session.answer(found, show, ids=[one.item_id for one in found])


@backlog.command(epilog="Example: shoal backlog stats --project web --json")
@PROJECT
@command
def stats(session: Session, project: str | None) -> None:
    """Count items by status, origin, project and priority."""
    found = session.ledger.items.stats(**given(project=project))

    def show() -> None:
        from shoal.cli import output
        from shoal.cli.moments import shown

        output.sentence(f"{found.total} items, {found.open} open")
        if found.oldest_new_at is not None:
            output.sentence(f"the oldest that nobody decided about is of {shown(found.oldest_new_at)}")
        groups = {
            "status": found.by_status,
            "open, by origin": found.by_origin,
            "open, by project": found.by_project,
            "open, by priority": found.by_priority,
        }
        rows = [(name, key, count) for name, counts in groups.items() for key, count in counts.items()]
        output.table(["By", "", "Items"], rows, empty="There is nothing to count.")

    session.answer(found, show)


@backlog.command(epilog="Examples: shoal backlog prioritise --explain --dry-run; shoal backlog prioritise W3 W4")
@click.argument("items", nargs=-1)
@PROJECT
@click.option("--all", "every", is_flag=True, help="Also where a person or its source gave the priority.")
@click.option("--explain", is_flag=True, help="Say why each got what it got.")
@click.option("--dry-run", is_flag=True, help="Only show what would be; of a model, what it would be asked.")
@click.option("--ask-model", is_flag=True, help="Let the model of [backlog] say, and not the rules.")
@click.option("--model", help="Let this model say, as anthropic:claude-haiku-4-5.")
@command
def prioritise(
    session: Session,
    items: tuple[str, ...],
    project: str | None,
    every: bool,
    explain: bool,
    dry_run: bool,
    ask_model: bool,
    model: str | None,
) -> None:
    """Give priorities by rules, or by a model, to assessed items; by rules to findings too."""
    if ask_model or model is not None:
        from shoal.errands.ranking import question

        settings = session.home.settings()
        asked = question(session.ledger, settings, model=model, items=items, project=project)
        if dry_run:
            _would_ask(session, asked)
            return
        came = _by_model(session, settings, asked, all=every, project=project)
    else:
        came = session.ledger.items.prioritise(
            items=list(items) or None, all=every, dry_run=dry_run, **given(project=project)
        )

    def show() -> None:
        from shoal.cli import output

        rows = [
            (
                one.item_id,
                f"P{one.priority}",
                "" if one.was is None or one.was == one.priority else f"P{one.was}",
                *([f"yours stays; else: {one.reason}" if one.kept else one.reason] if explain else []),
                one.name,
            )
            for one in came.rated
        ]
        columns = ["Item", "P", "Was", *(["Why"] if explain else []), "Name"]
        empty = "Nothing is assessed yet: `shoal scope W1`, or `shoal item prioritise W1 P1`"
        output.table(columns, rows, empty=empty, grows="Why" if explain else "Name")
        if rows:
            would = "would change" if dry_run else "changed"
            output.sentence(f"{came.changed} {would}, {len(rows) - came.changed} stay")

    session.answer(came, show, ids=[one.item_id for one in came.rated])


def _would_ask(session: Session, asked: Question) -> None:
    from shoal.model.cost import dollars

    items = [one.item for one in asked.items]
    told = {
        "model": asked.model,
        "items": items,
        "left": asked.left,
        "tokens": asked.tokens,
        "most_usd_micros": asked.most_usd_micros,
        "prompt": asked.prompt,
    }

    def show() -> None:
        from shoal.cli import output

        most = "an unknown sum" if asked.most_usd_micros is None else f"{dollars(asked.most_usd_micros)} USD"
        output.sentence(
            f"{asked.model} would be asked about {len(items)} items: {asked.tokens:,} tokens, {most} at most"
            + (f"; {asked.left} older items not" if asked.left else "")
        )
        click.echo(asked.prompt)

    session.answer(told, show, ids=items)


def _by_model(session: Session, settings: Settings, asked: Question, **given: Any) -> Prioritised:
    from shoal.errands.ranking import rank
    from shoal.model.cost import dollars

    ranked = rank(session.ledger, settings, asked, **given)
    if not session.json:
        cost = "an unknown sum" if ranked.cost_usd_micros is None else f"{dollars(ranked.cost_usd_micros)} USD"
        left = f"; {ranked.left} older items were not asked about" if ranked.left else ""
        click.echo(f"{ranked.prioritised.by} for {cost}{left}", err=True)
    return ranked.prioritised


@backlog.command(epilog="Examples: shoal backlog consolidate; shoal backlog consolidate --apply 1 --title 'One client'")
@PROJECT
@click.option("--apply", "numbers", type=int, multiple=True, help="Make what this proposal says; may be repeated.")
@click.option("--title", help="What to call the common item that --apply makes.")
@click.option("--ask", is_flag=True, help="Ask about each proposal, one by one.")
@command
def consolidate(session: Session, project: str | None, numbers: tuple[int, ...], title: str | None, ask: bool) -> None:
    """Propose foundations that several items share; make those that you accept."""
    if title is not None and len(numbers) != 1:
        raise click.UsageError("--title is for one --apply")
    if ask and (numbers or session.json or session.quiet or not sys.stdin.isatty()):
        raise click.UsageError("--ask needs a terminal, and nothing else; --apply NUMBER makes what a proposal says")
    proposed = session.ledger.items.proposals(**given(project=project))
    if wrong := [number for number in numbers if not 0 < number <= len(proposed)]:
        raise BadInput(f"there is no proposal {wrong[0]}; there are {len(proposed)}", field="apply")
    made = [
        session.ledger.items.consolidate(key=proposed[number - 1].key, **given(title=title))
        for number in dict.fromkeys(numbers)
    ]

    def show() -> None:
        from shoal.cli import output

        for new in made:
            output.sentence(f"{new.item_id} made: {new.name}")
        for number, one in enumerate(proposed if not made else [], start=1):
            _propose(number, one)
            if ask and click.confirm("Make it?", default=False):
                new = session.ledger.items.consolidate(key=one.key)
                output.sentence(f"{new.item_id} made: {new.name}")
        if not proposed:
            output.sentence("Nothing to propose: no assessed items share a foundation.")
        elif not made and not ask:
            output.sentence("Make one: shoal backlog consolidate --apply 1")

    session.answer(made or proposed, show, ids=[one.item_id for one in made] or [one.key for one in proposed])


def _propose(number: int, one: Proposal) -> None:
    from rich.text import Text

    from shoal.cli import output

    out = output.console()
    out.print(Text.assemble((output.clean(f"{number}. {one.title}"), "bold")), soft_wrap=True)
    for ref, name in zip(one.items, one.names, strict=True):
        out.print(Text(output.clean(f"   {ref}  {' '.join(name.split())}")), soft_wrap=True)
    for line in one.evidence:
        out.print(Text(output.clean(f"   - {line}"), "dim"), soft_wrap=True)


@backlog.command(epilog="Examples: shoal backlog export -o backlog.md; shoal backlog export --format jsonl --open")
@click.option("--format", "form", type=FORMATS, help="Else by the file's suffix, else jsonl.")
@PROJECT
@click.option("-s", "--status", type=STATUS, help="Only with this status.")
@click.option("--open", "open", is_flag=True, default=None, help="Only what is neither done, rejected nor stale.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; else standard output.")
@command
def export(session: Session, form: FormatName | None, output: Path | None, **filters: Any) -> None:
    """Export items as markdown, CSV or JSON Lines."""
    form = form or (BY_SUFFIX.get(output.suffix.lower()) if output else None) or "jsonl"
    came = session.ledger.items.export(format=form, **given(**filters))
    if output is None:
        if session.json:
            session.print_json(came)
        else:
            sys.stdout.buffer.write(came.text.encode())
        return
    output.write_bytes(came.text.encode())
    answer = {"file": str(output), "items": came.items}
    session.answer(answer, lambda: click.echo(f"{came.items} items written to {output}"), ids=[output])
