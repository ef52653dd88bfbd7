"""`shoal audit`: findings that somebody outside submits. They are work items, too: item.py."""

from __future__ import annotations

from typing import Any

import click

from shoal.cli.item import each, say
from shoal.cli.moments import MOMENT, shown
from shoal.cli.session import Session, command, given
from shoal.model.check import AUDIT
from shoal.model.item import Severity

SEVERITY = click.Choice([one.value for one in Severity])


@click.group(
    epilog="Examples: shoal audit submit security 'The key is in the log' -f src/log.py --severity critical; "
    "shoal audit list --open; shoal audit resolve W17"
)
def audit() -> None:
    """Findings of audits, from outside: submit, list, resolve, reopen."""


@audit.command(epilog="Example: shoal audit submit security 'The key is in the log' -f src/log.py --line 12")
@click.argument("type")
@click.argument("message", nargs=-1, required=True)
@click.option("--severity", type=SEVERITY, help="How bad it is; else warning.")
@click.option("-f", "--file", help="The file that it is in.")
@click.option("--line", type=int, help="The line of that file.")
@click.option("--rule", help="What was broken, as the audit calls it.")
@click.option("--title", help="One line that says what it is.")
@click.option("--project", help="What it belongs to.")
@click.option("--safe", is_flag=True, default=None, help="It may be mended without asking, by a rule.")
@command
def submit(session: Session, type: str, message: tuple[str, ...], **options: Any) -> None:
    """Submit a finding of an audit of TYPE, as security; the same again is the same work item."""
    found = session.ledger.audits.submit(type=type, message=" ".join(message), **given(**options))
    say(session, found, [found], "is {status}")


@audit.command("list", epilog="Examples: shoal audit list --open; shoal audit list --type security --since 2026-01-01")
@click.option("-t", "--type", help="Only of this type.")
@click.option("--severity", type=SEVERITY, help="Only so bad.")
@click.option("--project", help="Only of this project.")
@click.option("--since", type=MOMENT, help="Only those first submitted at or after this day or moment.")
@click.option("--until", type=MOMENT, help="Only those first submitted before this day or moment.")
@click.option("--open", "resolution", flag_value="open", help="Only those that are open.")
@click.option("--resolved", "resolution", flag_value="resolved", help="Only those that are mended.")
@click.option("--rejected", "resolution", flag_value="rejected", help="Only those that were rejected.")
@click.option("-n", "--limit", type=int, default=50, show_default=True, help="Findings per page.")
@click.option("--cursor", help="Where the page begins: 'next' of the page before.")
@command
def list_(session: Session, limit: int, **filters: Any) -> None:
    """List findings of audits, newest first."""
    page = session.ledger.audits.list(limit=limit, **given(**filters))

    def show() -> None:
        from shoal.cli import output
        from shoal.cli.items import name_of, place, status

        rows = [
            (
                *(one.item_id, status(one.status), (one.check_name or "").removeprefix(AUDIT)),
                *(one.severity and one.severity.value, shown(one.first_seen_at), place(one), name_of(one)),
            )
            for one in page
        ]
        empty = "No audit found such a thing. Submit one: shoal audit submit security 'The key is in the log'"
        output.table(["Item", "Status", "Type", "Severity", "Since", "Where", "Name"], rows, empty=empty, grows="Name")
        if page.next:
            click.echo(f"More: shoal audit list --cursor {page.next}", err=True)

    session.answer(page, show, ids=[one.item_id for one in page])


@audit.command(epilog="Example: shoal audit resolve W17 --reason 'the key is masked'")
@click.argument("items", nargs=-1, required=True)
@click.option("--reason", help="How it was mended.")
@command
def resolve(session: Session, items: tuple[str, ...], reason: str | None) -> None:
    """Say that what an audit found is mended."""
    each(session, items, lambda one: session.ledger.audits.resolve(one, reason=reason))


@audit.command(epilog="Example: shoal audit reopen W17")
@click.argument("items", nargs=-1, required=True)
@command
def reopen(session: Session, items: tuple[str, ...]) -> None:
    """Open findings again that were resolved or rejected."""
    each(session, items, session.ledger.audits.reopen)
