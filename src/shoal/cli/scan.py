"""`shoal scan`: what is to be done by a project's own files becomes work items, and stays them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.session import Session, command

if TYPE_CHECKING:
    from shoal.errands.scanning import Ask, Done
    from shoal.settings import Settings

NOTES = 20
STYLES = {"new": "green", "done": "cyan", "declined": "dim", "stale": "yellow", "gone": "yellow", "returned": "green"}


@click.command(
    epilog="Examples: shoal scan; shoal scan --dry-run --explain; shoal scan docs --markdown --project shoal"
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--project", help="What the items belong to; else [projects.NAME] around PATH, else the repository's name."
)
@click.option("--markdown", is_flag=True, help="Read every markdown file, not only those of the setting todo_files.")
@click.option("--comments", is_flag=True, help="Read the comments in source, too: TODO, FIXME, HACK, XXX.")
@click.option("--dry-run", is_flag=True, help="Show what would change; write nothing.")
@click.option("--explain", is_flag=True, help="Say by what each item that changed was known again.")
@click.option("--write-back", is_flag=True, help="Tick the boxes of items that are done: that sign, and no other byte.")
@click.option("--watch", is_flag=True, help="Scan again whenever the files change, until Ctrl-C.")
@command
def scan(
    session: Session,
    paths: tuple[Path, ...],
    project: str | None,
    markdown: bool,
    comments: bool,
    dry_run: bool,
    explain: bool,
    write_back: bool,
    watch: bool,
) -> None:
    """Read a project's files for what is to be done, and keep the backlog in step with them.

    PATH is a project's folder, or folders and files in it; left out, it is where you are. An item that was moved,
    reworded, ticked or indented stays the same item; one that is not seen for some scans is stale. Files that are as
    they were are not read again, and ignored ones never are.
    """
    from shoal.errands import scanning

    settings = session.home.settings()
    asks = scanning.asks(session.home, settings, paths, project, markdown=markdown, comments=comments)
    _run(session, settings, asks, dry_run=dry_run, explain=explain, write_back=write_back)
    if watch:
        try:
            for _ in scanning.watch(settings, asks):
                _run(session, settings, asks, asked=False, dry_run=dry_run, explain=explain, write_back=write_back)
        except KeyboardInterrupt:
            return


def _run(
    session: Session,
    settings: Settings,
    asks: list[Ask],
    *,
    asked: bool = True,
    dry_run: bool,
    explain: bool,
    write_back: bool,
) -> None:
    from shoal.errands import scanning

    told: list[dict[str, Any]] = []
    for ask in asks:
        done = scanning.scan(session.ledger, settings, ask, asked=asked, dry_run=dry_run, tell=_progress())
        notes = list(done.notes)
        ticked: list[str] = []
        if write_back and ask.scanner == scanning.MARKDOWN:
            ticked, refused = scanning.write_back(session.ledger, settings, done, dry_run=dry_run)
            notes += refused
            if ticked and not dry_run:
                scanning.scan(session.ledger, settings, ask, asked=False)  # so that the next one finds what it knows
        told.append(_told(done, ticked, notes))
        if not session.json:
            _complain(notes)
            session.answer(None, lambda: _show(done, ticked, dry_run, explain), ids=_ids(done))  # noqa: B023 - at once
    if session.json:
        session.print_json(told)


def _told(done: Done, ticked: list[str], notes: list[Any]) -> dict[str, Any]:
    return {
        "report": done.report,
        "read": done.read,
        "unchanged": done.unchanged,
        "credited": done.credited,
        "ticked": ticked,
        "notes": notes,
    }


def _ids(done: Done) -> list[str]:
    return [one.item_id for one in done.report.changes if one.item_id is not None]


def _show(done: Done, ticked: list[str], dry_run: bool, explain: bool) -> None:
    from rich.text import Text

    from shoal.cli import output

    report = done.report
    rows = []
    for one in report.changes:
        where = one.path if one.line is None else f"{one.path}:{one.line}"
        first = one.text.partition("\n")[0]
        row = [one.item_id, Text(one.became, STYLES.get(one.became, "")), where, first]
        rows.append([*row, one.why] if explain else row)
    columns = ["Item", "Change", "Where", "Text", *(["Why"] if explain else [])]
    if rows:
        output.table(columns, rows, empty="", grows="Text")
    counted = ", ".join(f"{number:,} {name}" for name, number in report.counts.items() if number) or "nothing to do"
    files = f"{done.read:,} file{'' if done.read == 1 else 's'} read, {done.unchanged:,} as they were"
    would = "would be: " if dry_run else ""
    output.sentence(f"{report.project} ({report.scanner}): {would}{counted}; {files}")
    if report.rules:
        output.sentence(f"by rules: {', '.join(f'{rule} {number:,}' for rule, number in report.rules.items())}")
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if ticked:
        output.sentence(f"{'would tick' if dry_run else 'ticked'}: {', '.join(ticked)}")


def _complain(notes: list[Any]) -> None:
    from shoal.cli import output

    for one in notes[:NOTES]:
        output.remark(f"left out: {one.path} {one.why}")
    if len(notes) > NOTES:
        output.remark(f"left out: {len(notes) - NOTES} more; --json tells all")


def _progress() -> Any:
    if not sys.stderr.isatty():
        return None
    return lambda project, number: click.echo(f"\r{project}: {number:,} files\033[K\r", err=True, nl=False)
