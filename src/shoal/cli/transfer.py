"""Commands that take task lists in and give them out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal.cli.session import Session, command
from shoal.errors import BadInput

if TYPE_CHECKING:
    from shoal.services.transfers import FormatName

FORMATS = click.Choice(["jsonl", "csv", "markdown"])
BY_SUFFIX: dict[str, FormatName] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".md": "markdown",
    ".markdown": "markdown",
}


@click.command(
    "import",
    epilog="Examples: shoal import TODO.md; shoal import lobwife ~/state. What was imported before is not added twice",
)
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False, path_type=Path))
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--format", "form", type=FORMATS, help="Else by the file's suffix.")
@click.option("--source", help="What to call the source; else the file's name. The same source is imported once.")
@click.option("--queue", help="The queue of lines that name none.")
@click.option("--dry-run", is_flag=True, help="Of lobwife's: say what would be done, and do nothing.")
@command
def import_(
    session: Session,
    file: Path,
    folder: Path | None,
    form: FormatName | None,
    source: str | None,
    queue: str | None,
    dry_run: bool,
) -> None:
    """Import tasks from JSON Lines, CSV or a markdown checklist, in one transaction.

    `shoal import lobwife FOLDER` takes over what the service lobwife left: lobmob.db, jobs.json, tasks.json and
    token-audit.json. A file is renamed to .migrated when each of its rows is accounted for.

    The exit code is 0 only when nothing was refused; 2 when a row or a file was, which is told.
    """
    if folder is not None:
        if str(file) != "lobwife" or form or source or queue:
            raise click.UsageError("only `shoal import lobwife FOLDER` takes a folder, and no options but --dry-run")
        from shoal.cli import lobwife

        lobwife.import_(session, folder, dry_run=dry_run)
        return
    if dry_run:
        raise click.UsageError("--dry-run is for `shoal import lobwife FOLDER`")
    if str(file) == "lobwife" and form is None and not file.exists():
        raise click.UsageError("which folder is it? write `shoal import lobwife FOLDER`, as ~/state")
    form = form or BY_SUFFIX.get(file.suffix.lower())
    if form is None:
        raise click.UsageError(f"cannot tell the format of {file}; say --format jsonl, csv or markdown")
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}", field="file") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadInput(f"{file} is not UTF-8: line {line}; save it as UTF-8 and try again", field="file") from None
    report = session.ledger.tasks.import_(format=form, text=text, source=source or file.name, queue=queue)

    def show() -> None:
        click.echo(f"{len(report.created)} created, {len(report.existing)} were there already")
        for one in report.refused:
            click.echo(f"{file}:{one.line}: {one.reason}", err=True)
        if report.refused:
            click.echo(
                f"{len(report.refused)} lines were refused or taken in part; mend them and import again", err=True
            )

    session.answer(report, show, ids=report.created)
    if report.refused:
        session.close()
        sys.exit(2)


@click.command(epilog="Example: shoal export --format markdown -o tasks.md")
@click.option("--format", "form", type=FORMATS, help="Else by the file's suffix, else jsonl.")
@click.option("-s", "--status", help="Only tasks of this status.")
@click.option("--queue", help="Only tasks of this queue.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; else standard output.")
@command
def export(
    session: Session, form: FormatName | None, status: str | None, queue: str | None, output: Path | None
) -> None:
    """Export tasks as JSON Lines, CSV or a markdown checklist."""
    form = form or (BY_SUFFIX.get(output.suffix.lower()) if output else None) or "jsonl"
    page = session.ledger.tasks.export(format=form, status=status, queue=queue)
    if output is None:
        if session.json:
            session.print_json(page)
        else:
            click.echo(page.text, nl=False)
        return
    output.write_text(page.text, encoding="utf-8")
    answer = {"file": str(output), "tasks": page.tasks}
    session.answer(answer, lambda: click.echo(f"{page.tasks} tasks written to {output}"), ids=[output])
