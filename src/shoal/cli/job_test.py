"""`shoal job test`: what a job does, here and now, with its output on the terminal."""

from __future__ import annotations

import signal
import sys

import click

from shoal.cli.session import Session, command
from shoal.errors import BadInput, NotFound, ShoalError
from shoal.model.job import Definition, RunStatus, Template

STOPPED_BY_TIME = 124  # as `timeout` has it
NOT_STARTED = 126


class Terminal:
    """Standard output, as a run writes to it."""

    tail = ""

    def write(self, data: bytes) -> None:
        """Show the next part."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@click.command(epilog="Examples: shoal job test sweep; shoal job test sweep --manifest")
@click.argument("name")
@click.option("--manifest", is_flag=True, help="As the manifest has it now, before a sync.")
@command
def test(session: Session, name: str, manifest: bool) -> int:
    """Run a job now in the foreground; its history does not hear of it.

    The exit code is that of its command; 124 when its time was over, 126 when it could not be started. A job that makes
    tasks makes none: the task is shown.
    """
    definition = _written(session, name) if manifest else _taken(session, name)
    problem = None if manifest else session.ledger.jobs.problem().reason
    if problem is not None:
        click.echo(f"The manifest is refused, and jobs stay as they were: {problem}", err=True)
    if isinstance(definition.action, Template):
        _show_task(session, definition, definition.action)
        return 0
    return _run(session, definition)


def _show_task(session: Session, definition: Definition, template: Template) -> None:
    from shoal.clock import SystemClock
    from shoal.services.firing import filled

    task = filled(definition.name, template, SystemClock().now_ms())

    def show() -> None:
        told = [f"P{task.priority}", task.type, f"queue {task.queue}", *task.repos, *task.labels]
        click.echo(f"It would make this task: {task.title}  ({', '.join(map(str, told))})")
        if task.body:
            click.echo(f"\n{task.body}")

    session.answer(task, show, ids=[task.title])


def _taken(session: Session, name: str) -> Definition:
    """The job as the ledger has it. Raises NotFound, with a word where the manifest has one of that name."""
    try:
        return session.ledger.jobs.get(name).definition
    except NotFound as error:
        if not _is_written(session, name):
            raise
        hint = f"the manifest has it, and nobody has taken it up yet: shoal job test {name} --manifest"
        raise NotFound(f"{error.message.partition(';')[0]}; {hint}", field="job") from None


def _is_written(session: Session, name: str) -> bool:
    """Whether the files of the manifest have it; a repository is not fetched for that."""
    try:
        setting = session.home.settings().jobs
        if setting and not (session.home.folder / setting).exists():
            return False
        _written(session, name)
    except ShoalError:
        return False
    return True


def _written(session: Session, name: str) -> Definition:
    from shoal.ledger.sources import ManifestOfHome
    from shoal.live_settings import LiveSettings

    found = ManifestOfHome(session.home, LiveSettings(session.home))()
    for one in found.definitions:
        if one.name == name:
            return one
    known = ", ".join(sorted(one.name for one in found.definitions)) or "none"
    raise BadInput(f"the manifest has no job {name!r}; it has {known}", field="job")


def _run(session: Session, definition: Definition) -> int:
    from shoal.daemon.job_runner import JobRunner
    from shoal.ledger.connect import open_home, running_server
    from shoal.ledger.embedded import EmbeddedEngine

    with open_home(session.home, actor=session.ledger.actor) as ledger:
        assert isinstance(ledger.engine, EmbeddedEngine)  # noqa: S101 - a home's ledger is here
        runner = JobRunner(ledger.engine, session.home, url=running_server(session.home))
        # Ctrl-C's way also for those who end it otherwise: nothing of the job stays behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        ended = runner.rehearse(definition, Terminal())
    if ended.reason is not None or ended.status is not RunStatus.SUCCESS:
        click.echo(f"{definition.name} {ended.status.value}: {ended.reason or 'no reason given'}", err=True)
    if ended.status is RunStatus.TIMEOUT:
        return STOPPED_BY_TIME
    if ended.status is RunStatus.ERROR:
        return NOT_STARTED
    if ended.exit_code is None:
        return int(ended.status is not RunStatus.SUCCESS)
    return ended.exit_code if ended.exit_code >= 0 else 128 - ended.exit_code
