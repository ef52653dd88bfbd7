"""`shoal job`: what fires by the clock, and the manifest that it is written in. Its runs: job_runs.py."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from shoal.cli import moments
from shoal.cli.job_runs import cancel, logs, runs, show_runs, trigger
from shoal.cli.job_state import tell_what_is_wrong
from shoal.cli.job_test import test
from shoal.cli.session import Function, Session, command, given
from shoal.errors import BadInput
from shoal.ledger import Ledger
from shoal.model.check import Check
from shoal.model.job import BuiltIn, CatchUp, Definition, Job, JobDetail, Overlap, Program, Template, split_command
from shoal.model.manifest import Synced

PAGE = 500


@click.group(
    epilog="Examples: shoal job create sweep --schedule '0 3 * * *' -- sweep.sh --fast; shoal job show sweep; "
    "shoal job logs sweep --follow; shoal job sync --dry-run"
)
def job() -> None:
    """What fires by the clock: make jobs, run them, read their history."""


@job.command("list", epilog="Examples: shoal job list; shoal job list --enabled --json")
@click.option("--enabled/--disabled", default=None, help="Only those that fire, or that do not.")
@click.option("--tag", help="Only those with this tag.")
@command
def list_(session: Session, enabled: bool | None, tag: str | None) -> None:
    """List jobs, and when each fires next."""
    found: list[Job] = []
    cursor: str | None = None
    while True:
        page = session.ledger.jobs.list(limit=PAGE, **given(enabled=enabled, cursor=cursor))
        found += [one for one in page if tag is None or tag in one.definition.tags]
        cursor = page.next
        if cursor is None:
            break

    def show() -> None:
        from shoal.cli import output

        rows = [
            (
                one.definition.name,
                one.definition.schedule,
                when(one),
                f"{one.run_count}" + (f", {one.fail_count} bad" if one.fail_count else ""),
                one.source,
                what(one.definition),
            )
            for one in found
        ]
        empty = "No jobs. Write jobs.toml in the home, or `shoal job create`."
        if enabled is not None or tag is not None:
            empty = "No job is " + " and ".join(
                part
                for part in (
                    {True: "enabled", False: "disabled", None: ""}[enabled],
                    "" if tag is None else f"tagged {tag}",
                )
                if part
            )
        output.table(["Job", "Schedule", "Next", "Runs", "From", "Does"], rows, empty=empty, grows="Does", cut=True)

    session.answer(found, show, ids=[one.definition.name for one in found])
    tell_what_is_wrong(session)


@job.command(epilog="Example: shoal job show sweep")
@click.argument("name")
@command
def show(session: Session, name: str) -> None:
    """Show a job, its next five slots and its last runs."""
    found = session.ledger.jobs.get(name)
    session.answer(found, lambda: _show(found, session.ledger), ids=[found.definition.name])
    tell_what_is_wrong(session)


def _options(*, new: bool) -> Callable[[Function], Function]:
    """The fields of a job as options; those of a new one have defaults of their own."""
    options = [
        click.option(
            "-s", "--schedule", required=new, help="Five cron fields, daily, 'every 90s', on_commit, on_idle."
        ),
        click.option("--timezone", help="IANA name of the timezone of its cron fields; UTC if new."),
        click.option("--task", "title", help="Make a task of this title, in place of running a command."),
        click.option("--built-in", help="Run this, of `shoal job built-ins`, in place of a command."),
        click.option("-o", "--option", "options", multiple=True, help="KEY=VALUE for the built-in; JSON, or text."),
        click.option("--timeout", "timeout_seconds", type=int, help="Seconds after which a run is stopped."),
        click.option(
            "--overlap", type=click.Choice([one.value for one in Overlap]), help="When a run is still under way."
        ),
        click.option(
            "--catch-up", type=click.Choice([one.value for one in CatchUp]), help="Which missed slots are made up for."
        ),
        click.option("--grace", "grace_seconds", type=int, help="Seconds that a slot may begin late."),
        click.option("--attempts", "max_attempts", type=int, help="How often a run is tried at most."),
        click.option("--backoff", "backoff_seconds", type=int, help="Seconds before the second attempt; it doubles."),
        click.option("--jitter", "jitter_seconds", type=int, help="Seconds that a slot begins later, up to so many."),
        click.option("--folder", help="Where the command runs; the home, if new."),
        click.option("-e", "--env", "environment", multiple=True, help="NAME=VALUE for the command."),
        click.option("--tag", "tags", multiple=True, help="A tag, once or more."),
        click.option("-d", "--description", help="What it is for."),
        click.option("--enabled/--disabled", default=None, help="Whether it fires."),
    ]

    def add(function: Function) -> Function:
        function = click.argument("program", nargs=-1, type=click.UNPROCESSED)(function)
        for option in reversed(options):
            function = option(function)
        return click.argument("name")(function)

    return add


@job.command(
    epilog="Examples: shoal job create sweep -s '0 3 * * *' --timezone Europe/Berlin -- sweep.sh --fast; "
    "shoal job create triage -s @daily --task 'Triage of {slot}'; shoal job create backup -s @hourly --built-in backup"
)
@_options(new=True)
@command
def create(session: Session, name: str, **written: Any) -> None:
    """Make a job; the command stands behind --."""
    fields = _fields(**written)
    if "action" not in fields:
        raise click.UsageError("say what it does: a command behind --, or --task, or --built-in")
    found = session.ledger.jobs.create(name=name, **fields)
    session.answer(found, lambda: _say(found, "made"), ids=[found.definition.name])
    _check_channels(session, found.definition)


@job.command(epilog="Example: shoal job edit sweep -s @hourly --timeout 600")
@_options(new=False)
@command
def edit(session: Session, name: str, **written: Any) -> None:
    """Change fields of a job; what is left out stays."""
    fields = _fields(**written)
    if not fields:
        raise click.UsageError("say what is to be another, as --schedule '@hourly'")
    found = session.ledger.jobs.update(name, **fields)
    session.answer(found, lambda: _say(found, "changed"), ids=[found.definition.name])
    _check_channels(session, found.definition)


@job.command()
@click.argument("name")
@command
def remove(session: Session, name: str) -> None:
    """Take a job away; its history stays."""
    found = session.ledger.jobs.remove(name)
    session.answer(found, lambda: _say(found, "removed"), ids=[found.definition.name])


@job.command()
@click.argument("name")
@command
def enable(session: Session, name: str) -> None:
    """Let a job fire again, from now on."""
    found = session.ledger.jobs.enable(name)
    session.answer(found, lambda: _say(found, "enabled"), ids=[found.definition.name])


@job.command()
@click.argument("name")
@command
def disable(session: Session, name: str) -> None:
    """Let a job fire no more; what runs goes on to its end."""
    found = session.ledger.jobs.disable(name)
    session.answer(found, lambda: _say(found, "disabled"), ids=[found.definition.name])


@job.command(epilog="Examples: shoal job sync; shoal job sync --dry-run")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@command
def sync(session: Session, dry_run: bool) -> None:
    """Make the jobs of the manifest what it says now."""
    found = session.ledger.jobs.sync(dry_run=dry_run)
    names = [*found.jobs_added, *found.jobs_removed, *found.jobs_rescheduled, *found.jobs_changed]
    session.answer(found, lambda: _show_sync(found), ids=sorted(set(names)))


@job.command("built-ins")
@command
def built_ins(session: Session) -> None:
    """List what Shoal brings along for jobs to run, with its options."""
    from shoal.daemon.built_ins import described

    found = described()

    def show() -> None:
        from shoal.cli import output

        rows = []
        for one in found:
            rows.append((one.name, one.description))
            rows += [(f"  -o {name}=", meaning) for name, meaning in one.options.items()]
        output.table(["Name and options", "Does"], rows, empty="There are none.", grows="Does")

    session.answer(found, show, ids=[one.name for one in found])


for _command in (runs, logs, trigger, cancel, test):
    job.add_command(_command)
job.add_command(runs, "history")


def when(found: Job) -> str:
    """When a job fires next."""
    if not found.definition.enabled:
        return "disabled"
    return moments.shown(found.next_fire_at) or found.definition.schedule.replace("_", " ")


def what(definition: Definition) -> str:
    """What a job does, in a few words."""
    action = definition.action
    if isinstance(action, Program):
        return shlex.join(action.command)
    if isinstance(action, Template):
        return f"task: {action.task.title}"
    if isinstance(action, Check):
        return f"check: {action.name}"
    return f"built-in: {action.name}"


def _fields(*, program: tuple[str, ...], title: str | None, built_in: str | None, **written: Any) -> dict[str, Any]:
    options, environment = written.pop("options"), written.pop("environment")
    fields = given(**written)
    if isinstance(fields.get("tags"), tuple):
        fields["tags"] = list(fields["tags"])
    if environment:
        fields["environment"] = dict(_pair("--env", one) for one in environment)
    if (bool(program), title is not None, built_in is not None).count(True) > 1:
        raise click.UsageError("a job does one thing: a command, or --task, or --built-in")
    if options and built_in is None:
        raise click.UsageError("--option is for --built-in")
    if program:
        # As in a manifest: one text is the whole command, and no shell reads it.
        is_text = len(program) == 1 and " " in program[0].strip()
        fields["action"] = Program(split_command(program[0]) if is_text else list(program))
    elif title is not None:
        fields["action"] = {"kind": "task", "task": {"title": title}}
    elif built_in is not None:
        fields["action"] = BuiltIn(built_in, dict(map(option_value, options)))
    return fields


def _check_channels(session: Session, definition: Definition) -> None:
    """Say which channels are not in the settings of this home; those of the servers may have them."""
    from shoal.mistakes import nearest

    wanted = definition.action.options.get("channels", []) if isinstance(definition.action, BuiltIn) else []
    if not session.home.exists:
        return
    known = session.home.settings().channels
    for name in wanted:
        if name not in known:
            click.echo(f"There is no [channels.{name}] in {session.home.config} yet{nearest(name, known)}", err=True)


def _option(text: str) -> tuple[str, str]:
    return _pair("--option", text)


def option_value(text: str) -> tuple[str, Any]:
    """The name and value of an --option; JSON where it is some, else text."""
    name, value = _option(text)
    return name, _value(value)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise BadInput(f"{option} {text!r}: write NAME=VALUE", field=option.strip("-"))
    return name, value


def _value(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _say(found: Job, done: str) -> None:
    from shoal.cli import output

    next_slot = f"; next at {moments.shown(found.next_fire_at)}" if found.next_fire_at and done != "removed" else ""
    output.sentence(f"{found.definition.name} {done}{next_slot}")
    if found.source != "api" and done != "removed":
        output.sentence(f"It is written in the {found.source}: a sync puts that back.")
    if found.source != "api" and done == "removed":
        output.sentence(f"It is written in the {found.source}: a sync brings it back.")


def _show(found: JobDetail, ledger: Ledger) -> None:
    from rich.text import Text

    from shoal.cli import output

    out = output.console()
    definition = found.definition
    state = "" if definition.enabled else "  disabled"
    out.print(Text.assemble((definition.name, "bold"), (state, "yellow")), soft_wrap=True)
    zone = ZoneInfo(definition.timezone)
    details: list[tuple[str, Any]] = [
        ("description", definition.description),
        ("does", what(definition)),
        ("schedule", f"{definition.schedule}  ({definition.timezone})"),
        ("timeout", f"{definition.timeout_seconds} s"),
        ("overlap", definition.overlap.value),
        ("catch-up", f"{definition.catch_up.value}, on time within {definition.grace_seconds} s"),
        (
            "attempts",
            definition.max_attempts > 1 and f"{definition.max_attempts}, {definition.backoff_seconds} s apart",
        ),
        ("jitter", definition.jitter_seconds and f"{definition.jitter_seconds} s"),
        ("folder", definition.folder),
        ("environment", ", ".join(sorted(definition.environment))),
        ("tags", ", ".join(definition.tags)),
        ("from", found.source),
        ("runs", f"{found.run_count}, {found.fail_count} of them bad"),
    ]
    for name, value in details:
        if value:
            out.print(Text.assemble((f"  {name:<12} ", "dim"), str(value)), soft_wrap=True)
    if found.fire_times:
        rows = [(_in_zone(one, zone), moments.shown(one)) for one in found.fire_times]
        output.table([f"Next, {definition.timezone}", "here"], rows, empty="")
    show_runs(found.runs, ledger, empty="No runs yet.")


def _in_zone(milliseconds: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _show_sync(found: Synced) -> None:
    from shoal.cli import output

    marks = {"added": "+", "removed": "-", "changed": "~"}
    for change in found.changes:
        output.sentence(f"{marks[change.kind]} {change.job}")
        for field, (old, new) in change.fields.items():
            output.sentence(f"    {field}: {_plain(old)} -> {_plain(new)}")
    output.sentence(f"{found.message}  ({found.sha[:10]})")


def _plain(value: Any) -> str:
    import msgspec

    built = msgspec.to_builtins(value)
    return built if isinstance(built, str) else msgspec.json.encode(built).decode()
