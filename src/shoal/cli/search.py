"""The command that finds tasks by their words."""

from __future__ import annotations

import click

from shoal.cli.session import Session, command, given
from shoal.model.search import DocumentKind


@click.command(
    epilog="Example: shoal search 'login \"reset link\" refact* -mobile' takes login, the words reset link, "
    "a word that begins with refact, and not mobile. Behind --, an argument may begin with the minus."
)
@click.argument("text", nargs=-1, required=True)
@click.option("-k", "--kind", type=click.Choice([kind.value for kind in DocumentKind]), help="Only in these texts.")
@click.option("-n", "--limit", type=int, default=20, show_default=True, help="How many at most.")
@command
def search(session: Session, text: tuple[str, ...], limit: int, kind: str | None) -> None:
    """Find tasks by words in their titles, bodies, results and your notes."""
    found = session.ledger.tasks.search(text=" ".join(text), limit=limit, **given(kind=kind))

    def show() -> None:
        from shoal.cli import output

        rows = [(one.task_id, output.status(one.status), one.kind, one.title) for one in found]
        output.table(["Task", "Status", "Found in", "Title"], rows, empty="Nothing has these words.", grows="Title")

    session.answer(found, show, ids=[one.task_id for one in found])
