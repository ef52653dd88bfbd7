"""`shoal reference`: what there is, told by the program itself, so that it cannot be out of date."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec

from shoal.errors import ShoalError, error_classes
from shoal.model.event import KIND_MEANINGS, Kind
from shoal.model.task import STATUS_MEANINGS, TRANSITIONS, WAITING, Status
from shoal.services import VERBS
from shoal.settings import setting_descriptions


def commands() -> Iterator[str]:
    """Every command with its help."""
    from shoal.cli.main import COMMANDS, cli

    yield "# Commands\n"
    root = click.Context(cli, info_name="shoal")
    for name in COMMANDS:
        if name != "task":
            yield from _command(name, cli.get_command(root, name), root)
    yield "`shoal task …` offers the commands about tasks under one name.\n"


def routes() -> Iterator[str]:
    """Every verb: its route, and how Python calls it."""
    yield "# Routes\n"
    yield "Each verb is a route under `/api/v1`, a method of a Ledger here, and the same method over HTTP.\n"
    for verb in sorted(VERBS.values(), key=lambda one: (one.path, one.method)):
        yield f"## {verb.method} /api/v1{verb.path}\n"
        yield f"`ledger.{verb.key}({', '.join(verb.input.__struct_fields__)})`\n"
        yield (inspect.getdoc(verb) or "") + "\n"


def settings() -> Iterator[str]:
    """Every setting with its default."""
    yield "# Settings\n"
    yield "From `SHOAL_<NAME>` in the environment, else `shoal.toml` in the home, else the default.\n"
    yield "| setting | default | meaning |\n| --- | --- | --- |"
    for name, (default, meaning) in setting_descriptions().items():
        yield f"| {name} | {_default(default)} | {meaning} |"


def events() -> Iterator[str]:
    """Every kind of event."""
    yield "# Events\n"
    yield "| kind | when |\n| --- | --- |"
    for kind in Kind:
        yield f"| {kind.value} | {KIND_MEANINGS[kind]} |"


def errors() -> Iterator[str]:
    """Every error with its code, HTTP status and exit code."""
    yield "# Errors\n"
    yield "Over HTTP: `{error, code, field?}` with the status. From the command line: a message and the exit code.\n"
    yield "| code | class | HTTP | exit | meaning |\n| --- | --- | --- | --- | --- |"
    for code, error in error_classes().items():
        yield f"| {code} | {error.__name__} | {error.status} | {error.exit_code} | {_first_line(error)} |"


def states() -> Iterator[str]:
    """The statuses, and the diagram of what may follow what, drawn from the one transition table."""
    yield "# States\n"
    yield "| status | meaning |\n| --- | --- |"
    for status in Status:
        yield f"| {status.value} | {STATUS_MEANINGS[status]} |"
    yield "\n```mermaid"
    yield from diagram()
    yield "```"


def diagram() -> Iterator[str]:
    """The state diagram as mermaid; what holds for every waiting status is drawn once, around the three."""
    yield "stateDiagram-v2"
    yield "  state waiting {"
    yield from (f"    {status.value}" for status in Status if status in WAITING)
    yield "  }"
    arrows: dict[tuple[str, str], list[str]] = {}
    for verb, (before, after) in TRANSITIONS.items():
        for source in _grouped(before) or ["[*]"]:
            for target in _grouped(after):
                arrows.setdefault((source, target), []).append(verb)
    for (source, target), verbs in arrows.items():
        yield f"  {source} --> {target} : {', '.join(verbs)}"


def _grouped(statuses: frozenset[Status]) -> list[str]:
    around = ["waiting"] if statuses >= WAITING else []
    return around + [status.value for status in Status if status in statuses and not (around and status in WAITING)]


SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "routes": routes,
    "settings": settings,
    "events": events,
    "errors": errors,
    "states": states,
}


@click.command(epilog="Example: shoal reference settings")
@click.argument("section", type=click.Choice([*SECTIONS, "all"]), default="all")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Write a file per section here.")
def reference(section: str, output: Path | None) -> None:
    """Print the reference: commands, routes, settings, events, errors, states."""
    for name in SECTIONS if section == "all" else [section]:
        text = "\n".join(SECTIONS[name]()) + "\n"
        if output is None:
            click.echo(text)
        else:
            output.mkdir(parents=True, exist_ok=True)
            (output / f"{name}.md").write_text(text, encoding="utf-8")


def _command(name: str, command: click.Command | None, parent: click.Context) -> Iterator[str]:
    if command is None:
        return
    context = click.Context(command, info_name=name, parent=parent)
    yield f"## {context.command_path}\n"
    yield f"```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _command(inner, command.get_command(context, inner), context)


def _default(value: object) -> str:
    """A default as it is written in shoal.toml."""
    if value is None:
        return ""
    if value is msgspec.NODEFAULT:
        return "must be given"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _first_line(error: type[ShoalError]) -> str:
    return (inspect.getdoc(error) or "").partition("\n")[0]
