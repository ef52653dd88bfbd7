"""Commands about content: bodies, results, shared context, notes, discoveries, archives."""

from __future__ import annotations

import json
from typing import Any

import click

from shoal.cli.session import Session, command
from shoal.errors import BadInput, Refused

TEXT_FILE = click.File(encoding="utf-8")


def _after(session: Session, written: Any, sentence: str) -> None:
    session.answer(written, lambda: click.echo(f"{written.task_id}: {sentence}"), ids=[written.task_id])


def given_text(words: tuple[str, ...], file: Any) -> str:
    """The text of the command line, or of the file that it names; a lone '-' is standard input."""
    if words == ("-",) and file is None:
        words, file = (), click.open_file("-", encoding="utf-8")
    if bool(words) == (file is not None):
        raise click.UsageError("give the text, or --file with a file ('-' for standard input)")
    if file is None:
        return " ".join(words)
    try:
        return str(file.read())
    except UnicodeDecodeError:
        raise BadInput(f"{file.name} is not UTF-8 text", field="file") from None


@click.command(epilog="Examples: shoal body T42; shoal body T42 --file plan.md; shoal edit T42 --body")
@click.argument("task")
@click.option("--file", type=TEXT_FILE, help="Write the body from this file; '-' is standard input.")
@click.option("--attempt", type=int, help="The attempt that writes it.")
@command
def body(session: Session, task: str, file: Any, attempt: int | None) -> None:
    """Show or write the body of a task."""
    if file is not None:
        text = given_text((), file)
        _after(session, session.ledger.tasks.set_body(task, text=text, attempt=attempt), "body written")
        return
    found = session.ledger.tasks.body(task)
    session.answer(found, lambda: click.echo(found.text, nl=not found.text.endswith("\n")), ids=[found.path or ""])


def edit_body(session: Session, task: str) -> None:
    """Open the body of a task in $EDITOR and write what was saved."""
    found = session.ledger.tasks.body(task)
    text = click.edit(found.text, extension=".md")
    if text is None or text == found.text:
        click.echo(f"{found.task_id}: body unchanged", err=True)
        return
    try:
        written = session.ledger.tasks.set_body(task, text=text, version=found.version)
    except Refused as error:
        kept = _kept(found.task_id, text)
        raise Refused(f"{error.message}; what you wrote is in {kept}") from None
    _after(session, written, "body written")


def _kept(task_id: str, text: str) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix=f"{task_id}-", suffix=".md", delete=False, encoding="utf-8") as file:
        file.write(text)
    return file.name


@click.command(epilog="Example: shoal result T42 --attempt 1 'Login works again.' --pr https://github.com/o/r/pull/7")
@click.argument("task")
@click.argument("text", nargs=-1)
@click.option("--file", type=TEXT_FILE, help="The text from this file; '-' is standard input.")
@click.option("--pr", "pull_requests", multiple=True, help="The URL of a pull request; may be repeated.")
@click.option("--attempt", type=int, help="The attempt that did it.")
@command
def result(
    session: Session, task: str, text: tuple[str, ...], file: Any, pull_requests: tuple[str, ...], attempt: int | None
) -> None:
    """Add to the result in a task's file."""
    links = list(pull_requests)
    told = session.ledger.tasks.result(task, text=given_text(text, file), pull_requests=links, attempt=attempt)
    _after(session, told, "result added")


@click.command(epilog='Example: shoal share T42 api \'{"login": "/api/v1/login"}\'')
@click.argument("task")
@click.argument("key")
@click.argument("value")
@click.option("--attempt", type=int, help="The attempt that shares it.")
@command
def share(session: Session, task: str, key: str, value: str, attempt: int | None) -> None:
    """Set a key of the context that a task's participants share; VALUE is JSON, or else text."""
    try:
        given = json.loads(value)
    except ValueError:
        given = value
    _after(session, session.ledger.tasks.share(task, key=key, value=given, attempt=attempt), f"{key} shared")


@click.command()
@click.argument("task")
@command
def context(session: Session, task: str) -> None:
    """Show the context that a task's participants share."""
    found = session.ledger.tasks.context(task)

    def show() -> None:
        from shoal.cli import output

        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in found.values.items()]
        output.table(["Key", "Value"], rows, empty=f"{found.task_id}: nothing is shared", grows="Value")

    session.answer(found, show, ids=list(found.values))


@click.command(epilog="Examples: shoal note T42 'retry twice'; shoal note T42")
@click.argument("task")
@click.argument("text", nargs=-1)
@click.option("--file", type=TEXT_FILE, help="The text from this file; '-' is standard input.")
@command
def note(session: Session, task: str, text: tuple[str, ...], file: Any) -> None:
    """Write a private note on a task, or show yours."""
    if text or file is not None:
        _after(session, session.ledger.tasks.note(task, text=given_text(text, file)), "noted")
        return
    found = session.ledger.tasks.notes(task)
    session.answer(found, lambda: click.echo(found.text or f"{found.task_id}: no notes of {found.agent}"))


@click.command(epilog="Example: shoal discover T42 'the API allows 60 requests a minute'")
@click.argument("task")
@click.argument("text", nargs=-1, required=True)
@click.option("--attempt", type=int, help="The attempt that found it.")
@command
def discover(session: Session, task: str, text: tuple[str, ...], attempt: int | None) -> None:
    """Tell a task's participants what you found out."""
    _after(session, session.ledger.tasks.discover(task, text=" ".join(text), attempt=attempt), "told")


@click.command(epilog="Examples: shoal archive T42; shoal archive T42 --restore")
@click.argument("task")
@click.option("--restore", is_flag=True, help="Bring the files back.")
@command
def archive(session: Session, task: str, restore: bool) -> None:
    """Pack a finished task's files into an archive, or bring them back."""
    if restore:
        _after(session, session.ledger.tasks.restore(task), "files restored")
    else:
        _after(session, session.ledger.tasks.archive(task), "files archived")
