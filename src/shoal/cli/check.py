"""`shoal check`: what looks for what is wrong, run by hand or as a job. What it finds are work items: item.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shoal.cli import moments
from shoal.cli.session import Session, command
from shoal.errors import BadInput
from shoal.model.check import Check, CheckState, Finding, Findings, FindingsReport
from shoal.model.job import Definition, Job
from shoal.settings import Settings

PAGE = 500
TIMEOUT_SECONDS = 1800
STYLES = {"info": "dim", "warning": "yellow", "critical": "bold red"}


@click.group(
    epilog="Examples: shoal check run doc-health; shoal check run doc-health --path . --dry-run; "
    "shoal check enable stale-work --schedule daily; shoal check show doc-health"
)
def check() -> None:
    """What looks for what is wrong: run checks, let them run by themselves."""


@check.command("list", epilog="Example: shoal check list --json")
@command
def list_(session: Session) -> None:
    """List the checks: Shoal's own and those of jobs, when they run, and what they found."""
    from shoal.errands import checks

    jobs: dict[str, list[Job]] = {}
    for job in _jobs(session):
        jobs.setdefault(_check_of(job.definition).name, []).append(job)
    states: dict[str, list[CheckState]] = {}
    for state in session.ledger.checks.list():
        states.setdefault(state.check, []).append(state)
    built_ins = checks.names()
    found = [
        {
            "name": name,
            "built_in": name in built_ins,
            "description": checks.described(name).description if name in built_ins else "",
            "jobs": jobs.get(name, []),
            "states": states.get(name, []),
        }
        for name in sorted({*built_ins, *jobs, *states})
    ]

    def show() -> None:
        from shoal.cli import output

        rows = [
            (
                one["name"],
                ", ".join(_when(job) for job in jobs.get(str(one["name"]), [])) or "-",
                ", ".join(moments.shown(state.last_at) for state in states.get(str(one["name"]), [])),
                sum(state.open for state in states.get(str(one["name"]), [])) or "",
                one["description"],
            )
            for one in found
        ]
        output.table(["Check", "Runs", "Last", "Open", "Looks for"], rows, empty="No checks.", grows="Looks for")

    session.answer(found, show, ids=[one["name"] for one in found])


@check.command(epilog="Example: shoal check show doc-health")
@click.argument("name")
@command
def show(session: Session, name: str) -> None:
    """Show what a check looks for, its options, its jobs and how it stands."""
    from shoal.errands import checks

    described = checks.described(name) if name in checks.names() else None
    jobs = [job for job in _jobs(session) if name in (_check_of(job.definition).name, job.definition.name)]
    states = session.ledger.checks.list(check=name)
    if described is None and not jobs and not states:
        checks.load(name)

    def show() -> None:
        from shoal.cli import output

        if described is not None:
            output.sentence(f"{name}: {described.description}")
            output.table(
                ["Option", "Means"], list(described.options.items()), empty="It has no options.", grows="Means"
            )
        for job in jobs:
            action = _check_of(job.definition)
            output.sentence(f"job {job.definition.name}: {_when(job)}, project {action.project}, {_with(action)}")
        for state in states:
            ended = moments.shown(state.completed_at) or "never to its end"
            output.sentence(
                f"project {state.project}: {state.open} open, {state.critical} of them critical; last complete {ended}"
            )

    data = {"name": name, "described": described, "jobs": jobs, "states": states}
    session.answer(data, show, ids=[name])


@check.command(
    epilog="Examples: shoal check run doc-health --path . --dry-run; shoal check run stale-work -o queued_days=3; "
    "shoal check run licences --command './licences.sh --strict'"
)
@click.argument("name")
@click.option("-p", "--project", help="The project that its findings belong to; else the job's, else the one around.")
@click.option("--path", type=click.Path(file_okay=False, exists=True), help="The checkout; else the project's.")
@click.option("-o", "--option", "options", multiple=True, help="KEY=VALUE for the check; JSON, or text.")
@click.option("--command", "program", help="Run this, which prints findings as lines of JSON.")
@click.option("--handler", help="Run this function, as package.module:function.")
@click.option("--dry-run", is_flag=True, help="Only show what is found; the backlog hears nothing of it.")
@click.option("--fail-on", type=click.Choice(list(STYLES)), help="End with 1 when something is found, so bad or worse.")
@command
def run(
    session: Session,
    name: str,
    project: str | None,
    path: str | None,
    options: tuple[str, ...],
    program: str | None,
    handler: str | None,
    dry_run: bool,
    fail_on: str | None,
) -> int:
    """Run a check now, in the foreground, and keep what it finds as work items.

    NAME is one of Shoal's checks, or a job whose check it is. Where a job runs it, it runs with the job's options. What
    looks at files looks at the project around you, as `shoal scan` does.
    """
    import os
    import shlex

    from shoal.cli import output
    from shoal.errands import checking
    from shoal.errands.projects import checkout_of

    words = None if program is None else shlex.split(program)
    action = Check(name=name, command=words, handler=handler, options=_options(options))
    around, root = _place(session, action, project, path)
    job = None if words or handler else _job(session, name, project, around, quiet=True)
    if job is None:
        action = _replaced(action, project=around)
    else:
        own = _check_of(job.definition)
        action = _replaced(own, options=own.options | action.options, project=project or own.project)
        written = checkout_of(session.home, _settings(session), action.project, job.definition.folder)
        if path is None and (written is not None or action.project != around):
            root = written
    found, problem = checking.examine(
        action,
        home=session.home,
        root=root,
        since=_last_head(session, action),
        ledger=lambda: session.ledger,
        environment=os.environ,
        say=output.remark,
        dry_run=dry_run,
    )
    report = (
        None if dry_run else session.ledger.checks.record(**{k: getattr(found, k) for k in found.__struct_fields__})
    )
    data = {"findings": found.findings, "complete": found.complete, "report": report, "problem": problem}
    session.answer(data, lambda: _show(found, report), ids=report.new if report else [])
    if problem is not None:
        output.remark(problem)
    worst = list(STYLES)
    bad = fail_on is not None and any(worst.index(one.severity) >= worst.index(fail_on) for one in found.findings)
    return int(bad or problem is not None)


@check.command(
    epilog="Examples: shoal check enable doc-health --project web --schedule on_commit; "
    "shoal check enable stale-work -o queued_days=3"
)
@click.argument("name")
@click.option("-s", "--schedule", help="daily, weekly, on_commit, on_idle, five cron fields, 'every 2h'; daily if new.")
@click.option("-p", "--project", help="The project that it looks at; else the one around.")
@click.option("-o", "--option", "options", multiple=True, help="KEY=VALUE for the check; JSON, or text.")
@command
def enable(session: Session, name: str, schedule: str | None, project: str | None, options: tuple[str, ...]) -> None:
    """Let a check run by itself: its job is made, or fires again.

    What looks at files looks at the project around you, as `shoal scan` does.
    """
    import re

    from shoal.errands import checking, checks
    from shoal.errands.projects import checkout_of
    from shoal.model.built_in import converted

    around, root = _place(session, Check(name=name), project)
    there = _job(session, name, project, around)
    if there is None:
        action = Check(name=name, options=_options(options), project=around)
        converted(action.options, checks.load(name).Options, name)
        checking.seen(action, root=root, since=None)
        job_name = name if around == "default" else re.sub(r"[^A-Za-z0-9_.-]", "-", f"{name}.{around}")
        is_written = root is None or around in _settings(session).projects
        found = session.ledger.jobs.create(
            name=job_name,
            schedule=schedule or "daily",
            action=action,
            timeout_seconds=TIMEOUT_SECONDS,
            folder=None if is_written else str(root),
        )
    else:
        changes: dict[str, Any] = {"enabled": True} | ({"schedule": schedule} if schedule else {})
        action = _check_of(there.definition)
        root = checkout_of(session.home, _settings(session), action.project, there.definition.folder)
        checking.seen(action, root=root, since=None)
        if options:
            changes["action"] = _replaced(action, options=_options(options))
        found = session.ledger.jobs.update(there.definition.name, **changes)
    folder = found.definition.folder
    where = "" if folder is None else f" in {folder}"
    session.answer(found, lambda: _say(found, f"runs {_when(found)}{where}"), ids=[found.definition.name])


@check.command(epilog="Example: shoal check disable doc-health --project web")
@click.argument("name")
@click.option("-p", "--project", help="The project that it looks at; else the one around.")
@command
def disable(session: Session, name: str, project: str | None) -> None:
    """Let a check run by itself no more; what it found stays."""
    around, _ = _place(session, Check(name=name), project)
    there = _job(session, name, project, around)
    if there is None:
        raise BadInput(f"no job runs {name} in project {around}; `shoal check list` shows what runs", field="check")
    found = session.ledger.jobs.disable(there.definition.name)
    session.answer(found, lambda: _say(found, "runs no more"), ids=[found.definition.name])


@check.command(epilog="Example: shoal check new licences; shoal check run licences --handler licences:run --path .")
@click.argument("name")
@click.option("--folder", type=click.Path(file_okay=False), help="Where the file goes; the home.")
@command
def new(session: Session, name: str, folder: str | None) -> None:
    """Write a check of your own to begin with: a Python file of the shape that all of them have."""
    from shoal.errands.check_template import write

    place = write(name, Path(folder) if folder else session.home.folder)
    data = {"path": str(place), "handler": f"{place.stem}:run"}

    def show() -> None:
        from shoal.cli import output

        output.sentence(
            f"{place} written; try it: shoal check run {name} --handler {place.stem}:run --path . --dry-run"
        )

    session.answer(data, show, ids=[str(place)])


def _settings(session: Session) -> Settings:
    return session.home.settings() if session.home.exists else Settings()


def _place(session: Session, action: Check, project: str | None, path: str | None = None) -> tuple[str, Path | None]:
    """The project that a check is about when no job says so, and its checkout; None for one that needs none."""
    from shoal.errands import checks
    from shoal.errands.projects import checkout_of, place_meant, project_of

    settings = _settings(session)
    folder = None if path is None else Path(path).absolute()
    if not checks.looks_at_checkout(action):
        return project or "default", folder or checkout_of(session.home, settings, project or "default")
    if folder is None:
        return project_of(session.home, settings, place_meant(session.home, settings, project), project)
    name, root = project_of(session.home, settings, folder)
    # A look at a part of a project says nothing of the rest, and must not close what was found there.
    return project or (name if root == folder.resolve() else "default"), folder


def _last_head(session: Session, action: Check) -> str | None:
    """The commit that the last complete look of a check has seen."""
    from shoal.errors import StoreMissing

    try:
        states = session.ledger.checks.list(check=action.name, project=action.project)
    except StoreMissing:  # a dry run needs no ledger
        return None
    return states[0].head if states else None


def _jobs(session: Session, *, quiet: bool = False) -> list[Job]:
    """The jobs that run checks."""
    from shoal.errors import StoreMissing

    found: list[Job] = []
    cursor: str | None = None
    try:
        while True:
            page = session.ledger.jobs.list(limit=PAGE, cursor=cursor)
            found += [job for job in page if isinstance(job.definition.action, Check)]
            cursor = page.next
            if cursor is None:
                return found
    except StoreMissing:
        if quiet:  # a dry run needs no ledger
            return []
        raise


def _job(session: Session, name: str, project: str | None, around: str, *, quiet: bool = False) -> Job | None:
    """The job that is called so; else the one that runs this check in a project, that which is named or the one around.

    In a project that is named, a job with the name of a check is only that project's.
    """
    by_name, by_check = None, None
    for job in _jobs(session, quiet=quiet):
        action = _check_of(job.definition)
        if job.definition.name == name and (project is None or action.name != name):
            by_name = job
        if (action.name, action.project) == (name, around):
            by_check = job
    return by_name or by_check


def _check_of(definition: Definition) -> Check:
    assert isinstance(definition.action, Check)  # noqa: S101 - only such jobs come here
    return definition.action


def _replaced(action: Check, **changes: Any) -> Check:
    import msgspec

    return msgspec.structs.replace(action, **changes)


def _options(written: tuple[str, ...]) -> dict[str, Any]:
    from shoal.cli.jobs import option_value

    return dict(option_value(one) for one in written)


def _when(job: Job) -> str:
    return f"{job.definition.schedule}" if job.definition.enabled else "disabled"


def _with(action: Check) -> str:
    return ", ".join(f"{name} {value}" for name, value in action.options.items()) or "default options"


def _say(found: Job, what: str) -> None:
    from shoal.cli import output

    output.sentence(f"{found.definition.name} {what}")
    if found.source != "api":
        output.sentence(f"It is written in the {found.source}: a sync puts that back.")


def _show(found: Findings, report: FindingsReport | None) -> None:
    """The findings by file, and what became of them."""
    from rich.text import Text

    from shoal.cli import output

    by_file: dict[str, list[Finding]] = {}
    for one in found.findings:
        by_file.setdefault(one.file or "", []).append(one)
    for file, ones in sorted(by_file.items()):
        if file:
            output.console().print(Text(output.clean(file), "bold"), soft_wrap=True)
        rows = [
            (one.line or "", Text(one.severity, STYLES[one.severity]), one.rule, one.message)
            for one in sorted(ones, key=lambda one: (one.line or 0, one.rule))
        ]
        output.table(["Line", "Severity", "Rule", "Finding"], rows, empty="", grows="Finding")
    if report is None:
        output.sentence(f"{len(found.findings) + found.brought.found} found; nothing was kept")
        return
    for line in report.lines:
        output.sentence(line)
