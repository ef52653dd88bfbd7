"""`shoal backlog import`: the backlogs of other tools, taken in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal.cli.output import remark
from shoal.cli.session import Session, command, given
from shoal.errors import BadInput

if TYPE_CHECKING:
    from shoal.model.backlog import ItemsImported

OWN = "jsonl"
SYSTEMS = click.Choice(["queue-yaml", "beads", "backlog-md", "task-master", "github"])
FORMATS = click.Choice([OWN, *SYSTEMS.choices])


@click.command(
    "import",
    epilog="Examples: shoal backlog import queue.yaml; shoal backlog import ~/web --from backlog-md --project web; "
    "shoal backlog import acme/web --from github --dry-run",
)
@click.argument("source", metavar="FILE|FOLDER|OWNER/NAME")
@click.option("--from", "system", type=FORMATS, help="What it is; else guessed where that is clear.")
@click.option("--project", help="What the items belong to; of jsonl, those that name none.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@command
def import_(session: Session, source: str, system: str | None, project: str | None, dry_run: bool) -> None:
    """Import another tool's backlog as work items, again to follow it; or what `export` wrote as JSON Lines.

    Nothing is added twice. What changed there is taken over, except where it was edited here. OWNER/NAME are the issues
    of a GitHub repository, asked for with the token in $SHOAL_GITHUB_TOKEN.
    """
    if system == OWN or (system is None and _is_own(source)):
        if dry_run:
            raise click.UsageError("--dry-run is for other tools' backlogs")
        came_in = session.ledger.items.import_(text=_read(Path(source)), **given(project=project))
        said(session, Path(source), came_in)
        return
    project = project or "default"
    from shoal.daemon import item_import
    from shoal.live_settings import LiveSettings
    from shoal.model.item_import import RowOutcome

    came = item_import.run(
        session.ledger,
        source,
        system=system,
        project=project,
        settings=LiveSettings(session.home)(),
        dry_run=dry_run,
    )

    def show() -> None:
        for row in came.told:
            word = "not taken" if row.outcome is RowOutcome.REFUSED else row.item or row.outcome.value
            remark(f"{row.place}: {word}: {row.reason}")
        if came.waiting:
            some = ", ".join(came.waiting[:10]) + (" …" if len(came.waiting) > 10 else "")
            remark(f"links to {len(came.waiting)} that were not imported wait for them: {some}")
        click.echo(
            f"{came.rows} items of {came.system}: {came.taken} taken, {came.updated} updated, {came.same} the same, "
            f"{came.refused} refused"
        )
        if dry_run:
            click.echo("nothing was changed: this was a dry run")
        elif came.taken:
            click.echo(f"decide about them: shoal backlog list -s new --origin import --project {project}")

    session.answer(came, show, ids=came.items)
    if came.refused:
        session.close()
        sys.exit(2)


def _is_own(source: str) -> bool:
    """Whether it is what `shoal backlog export` writes as JSON Lines."""
    path = Path(source)
    if source == "-":
        return True
    if path.suffix.lower() not in (".jsonl", ".ndjson") or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4096)
    return b'"issue_type"' not in start and path.name not in ("issues.jsonl", "beads.jsonl")


def said(session: Session, file: Path, came: ItemsImported) -> None:
    """What an import came to; exit code 2 when lines were refused."""

    def show() -> None:
        click.echo(f"{len(came.created)} created, {len(came.existing)} were there already")
        for one in came.refused:
            remark(f"{file}:{one.line}: {one.reason}")
        if came.refused:
            click.echo(f"{len(came.refused)} lines were refused or taken in part; mend them, import again", err=True)

    session.answer(came, show, ids=came.created)
    if came.refused:
        session.close()
        sys.exit(2)


def _read(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}", field="file") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadInput(f"{file} is not UTF-8: line {line}; save it as UTF-8 and try again", field="file") from None
