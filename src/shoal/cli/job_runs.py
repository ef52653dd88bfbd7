"""The runs of jobs: `shoal job runs`, `logs`, `trigger`, `cancel`."""

from __future__ import annotations

import errno
import os
import re
import select
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from shoal.cli import moments
from shoal.cli.job_state import tell_what_is_wrong
from shoal.cli.session import Session, command, given
from shoal.errors import NotFound
from shoal.ledger import Ledger
from shoal.model.job import BAD, UNDER_WAY, Run, RunStatus

if TYPE_CHECKING:
    from shoal.daemon.run_logs import Follower

FOLLOW_SECONDS = 0.5
INTERRUPTED = 130
_RUN = re.compile(r"[Rr][0-9]+")


@click.command(epilog="Examples: shoal job runs sweep; shoal job runs --status failed -n 20")
@click.argument("name", required=False)
@click.option("--status", type=click.Choice([one.value for one in RunStatus]), help="Only runs that are so.")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@click.option("--cursor", help="Where the page begins: 'next' of the page before.")
@command
def runs(session: Session, name: str | None, status: str | None, limit: int, cursor: str | None) -> None:
    """Show the history of a job, or of all, newest first."""
    if name is not None and status is None:
        found = session.ledger.jobs.runs(name, limit=limit, **given(cursor=cursor))
    else:
        found = session.ledger.runs.list(limit=limit, **given(job=name, status=status, cursor=cursor))

    def show() -> None:
        show_runs(found, session.ledger, empty="No runs.")
        if found.next:
            click.echo(f"More: --cursor {found.next}", err=True)

    session.answer(found, show, ids=[one.run_id for one in found])


@click.command(epilog="Example: shoal job trigger sweep --follow")
@click.argument("name")
@click.option(
    "-f", "--follow", is_flag=True, help="Show its output until it ends; the exit code is 1 when it ends badly."
)
@command
def trigger(session: Session, name: str, follow: bool) -> int:
    """Run a job now, disabled or not.

    With --follow and --json the run is printed once it has ended, with the last lines of its output.
    """
    run = session.ledger.jobs.trigger(name)
    tell_what_is_wrong(session)
    if not follow:
        session.answer(run, lambda: click.echo(f"{run.run_id} of {name} is {run.status.value}"), ids=[run.run_id])
        return 0
    try:
        run = _follow(session.ledger, run, shown=not session.json)
    except KeyboardInterrupt:
        click.echo(f"{run.run_id} goes on; shoal job cancel {run.run_id} ends it", err=True)
        return INTERRUPTED
    if session.json:
        session.print_json(run)
    return int(run.status in BAD)


@click.command(epilog="Examples: shoal job cancel R7; shoal job cancel sweep")
@click.argument("run", metavar="RUN_OR_NAME")
@command
def cancel(session: Session, run: str) -> None:
    """Call a waiting run off, or ask a running one to end: R7, or the newest of a job that is under way."""
    found = session.ledger.runs.cancel(run if _RUN.fullmatch(run) else _under_way(session.ledger, run))

    def show() -> None:
        told = "is asked to end" if found.status in UNDER_WAY else found.status.value
        click.echo(f"{found.run_id} of {found.job} {told}")

    session.answer(found, show, ids=[found.run_id])


@click.command(epilog="Examples: shoal job logs sweep; shoal job logs R7; shoal job logs sweep --follow")
@click.argument("name", metavar="NAME_OR_RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on with what it writes, until it ends or Ctrl-C.")
@click.option("--tail", is_flag=True, help="Only the last lines, as the ledger has them.")
@command
def logs(session: Session, name: str, follow: bool, tail: bool) -> int:
    """Show what a run has written: the newest of a job, or R7.

    The whole log where it ran on this machine, else its last 200 lines. With --follow and --json the run is printed
    once it has ended.
    """
    run = _found(session.ledger, name)
    if follow:
        try:
            run = _follow(session.ledger, run, shown=not session.json)
        except KeyboardInterrupt:
            return INTERRUPTED
        if session.json:
            session.print_json(run)
        return 0

    def show() -> None:
        from shoal.daemon.run_logs import reader

        log = None if tail else reader(run)
        if log is not None:
            with log:
                _print(log)
        elif run.output:
            click.echo(run.output)
        _say_end(run, session.ledger, whole=log is not None or tail)

    session.answer(run, show, ids=[run.run_id])
    return 0


def show_runs(found: Sequence[Run], ledger: Ledger, *, empty: str) -> None:
    """Runs as a table."""
    from shoal.cli import output

    made = next((one.task for one in found if one.task is not None), None)
    prefix = "" if made is None else ledger.tasks.get(made).task_id.rstrip("0123456789")

    def came_to(one: Run) -> str | None:
        return one.reason if one.task is None else f"made {prefix}{one.task}"

    rows = [
        (
            one.run_id,
            one.job,
            one.status.value,
            moments.shown(one.slot),
            "" if one.duration_ms is None else _seconds(one.duration_ms),
            one.attempt if one.attempt > 1 else "",
            one.cause.value,
            came_to(one),
        )
        for one in found
    ]
    output.table(["Run", "Job", "Status", "Slot", "Took", "Try", "Cause", "Reason"], rows, empty=empty, grows="Reason")


def _under_way(ledger: Ledger, name: str) -> str:
    """The newest run of a job that runs, else of those that wait."""
    for status in (RunStatus.RUNNING, RunStatus.WAITING):
        for one in ledger.runs.list(job=name, status=status, limit=1):
            return one.run_id
    ledger.jobs.get(name)
    raise NotFound(f"no run of {name} is under way; `shoal job runs {name}` shows what there was", field="run")


def _found(ledger: Ledger, name: str) -> Run:
    if _RUN.fullmatch(name):
        return ledger.runs.get(name)
    newest = ledger.jobs.runs(name, limit=1)
    if not newest:
        raise NotFound(f"{name} has no runs yet; `shoal job trigger {name}` makes one", field="job")
    return ledger.runs.get(newest[0].run_id)


def _follow(ledger: Ledger, run: Run, *, shown: bool) -> Run:
    """Wait until the run has ended; its output is shown as it comes, and then how it ended."""
    from shoal.daemon.run_logs import reader

    nap = threading.Event()
    tail = ""
    with ExitStack() as stack:
        log: Follower | None = None
        while True:
            run = ledger.runs.get(run.run_id)  # before its log is read: what it wrote before it ended is in there
            if not shown:
                if run.status not in UNDER_WAY:
                    return run
                nap.wait(FOLLOW_SECONDS)
                continue
            if log is None and (log := reader(run)) is not None:
                stack.enter_context(log)
            if log is not None:
                _print(log)
            elif run.output:
                _show_more(tail, run.output)
                tail = run.output
            if run.status not in UNDER_WAY:
                if tail:
                    click.echo()
                _say_end(run, ledger, whole=True)
                return run
            _check_reader()
            nap.wait(FOLLOW_SECONDS)


def _check_reader() -> None:
    """Raise BrokenPipeError when nobody reads any more, also where there is nothing to write."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _show_more(old: str, new: str) -> None:
    """What a tail has that it had not before: it begins somewhere in the old one."""
    for start in range(len(old) + 1):
        if new.startswith(old[start:]):
            click.echo(new[len(old) - start :], nl=False)
            return


def _print(log: Follower) -> None:
    """Print what has come into a log since the last time."""
    sys.stdout.flush()
    for data in log.read():
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _say_end(run: Run, ledger: Ledger, *, whole: bool) -> None:
    took = "" if run.duration_ms is None else f" after {_seconds(run.duration_ms)}"
    reason = f": {run.reason}" if run.reason else ""
    made = "" if run.task is None else f", made {ledger.tasks.get(run.task).task_id}"
    click.echo(f"{run.run_id} of {run.job} {run.status.value}{took}{made}{reason}", err=True)
    if not whole and run.log is not None:
        click.echo(f"The whole log is on {run.server}, {run.log}", err=True)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else moments.span(milliseconds)
