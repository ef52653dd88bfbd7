"""Commands of those who do the work: claim, beat, progress, done, fail, release."""

from __future__ import annotations

from typing import Any

import click

from shoal.cli.moments import shown
from shoal.cli.session import Session, command, given
from shoal.cli.tasks import after, tell

ATTEMPT = click.option("--attempt", type=int, help="The number of your attempt, as the claim gave it.")


@click.command(epilog="Examples: shoal claim --worker w1; shoal claim T42 --worker w1")
@click.argument("task", required=False)
@click.option("--worker", help="The worker; else who you are.")
@click.option("--agent", help="Who does the work, when that is not you.")
@click.option("--queue", default="default", show_default=True, help="The queue.")
@click.option("-t", "--type", help="Only this type.")
@click.option("-l", "--label", help="Only with this label.")
@click.option("-n", "--limit", type=int, default=1, show_default=True, help="How many at most.")
@click.option("--lease", "lease_seconds", type=int, help="Seconds that the claim lasts without a beat.")
@command
def claim(session: Session, **options: Any) -> None:
    """Claim the next tasks of a queue, or one named task."""
    take(session, **options)


def take(session: Session, *, worker: str | None, **options: Any) -> None:
    """Claim, and show what came of it."""
    ledger = session.ledger
    outcome = ledger.tasks.claim(worker=worker or ledger.actor, **given(**options))

    def show() -> None:
        from shoal.cli import output

        for one in outcome.claims:
            until = shown(one.leased_until)
            output.sentence(f"{one.task.task_id} attempt {one.attempt} is yours until {until}: {one.task.title}")
            output.sentence(f"  when it is done: shoal done {one.task.task_id} --attempt {one.attempt}")
            if one.task.repos:
                output.sentence("  its key, for tokens and git, is shown by a claim with --json alone")
        if not outcome.claims:
            wait = f"; ask again in {outcome.retry_after_ms / 1000:.0f} s" if outcome.retry_after_ms else ""
            output.sentence(f"{outcome.outcome}: {outcome.reason}{wait}")

    session.answer(outcome, show, ids=[one.task.task_id for one in outcome.claims])


@click.command()
@click.argument("task")
@click.option("--attempt", type=int, required=True, help="The number of your attempt.")
@command
def start(session: Session, task: str, attempt: int) -> None:
    """Say that an attempt begins its work."""
    after(session, session.ledger.tasks.start(task, attempt=attempt))


@click.command(epilog="Examples: shoal progress T42 60 --attempt 1 -m 'tests written'; shoal progress T42")
@click.argument("task")
@click.argument("percent", type=int, required=False)
@click.option("--attempt", type=int, help="The number of your attempt; without it all reports are shown.")
@click.option("-m", "--message", help="What is being done.")
@command
def progress(session: Session, task: str, percent: int | None, attempt: int | None, message: str | None) -> None:
    """Report how far an attempt is, or show all reports."""
    if attempt is None:
        if percent is not None or message is not None:
            raise click.UsageError("a report needs --attempt, the number of your attempt")
        _show_progress(session, task)
        return
    tell(session, "progress", task, attempt=attempt, progress=percent, message=message)


def _show_progress(session: Session, task: str) -> None:
    found = session.ledger.tasks.progress_log(task)

    def show() -> None:
        from shoal.cli import output

        rows = [(one.timestamp, one.agent, one.progress, one.message) for one in found]
        output.table(["When", "Agent", "%", "Message"], rows, empty="No reports.", grows="Message")

    session.answer(found, show)


@click.command(epilog="Example: shoal beat w1 --task T42=1")
@click.argument("worker")
@click.option(
    "--task", "held", multiple=True, metavar="T42=1", help="A task and attempt believed to be held; may be repeated."
)
@click.option("--lease", "lease_seconds", type=int, help="Seconds that the leases last from now.")
@command
def beat(session: Session, worker: str, held: tuple[str, ...], lease_seconds: int | None) -> None:
    """Renew all leases of a worker."""
    tasks: dict[str, Any] = {}
    for one in held:
        task, _, attempt = one.partition("=")
        if not attempt.isdecimal():
            raise click.BadParameter(f"{one!r}: write the task and its attempt, T42=1", param_hint="--task")
        tasks[task] = int(attempt)
    answer = session.ledger.tasks.beat(worker=worker, tasks=tasks, lease_seconds=lease_seconds)

    def show() -> None:
        from shoal.cli import output

        output.sentence(f"{len(answer.held)} held until {shown(answer.leased_until) or 'never'}")
        for task in answer.lost:
            output.sentence(f"{task} is lost: stop working on it")

    session.answer(answer, show, ids=list(answer.held))


@click.command(epilog="Examples: shoal done T42; shoal done T42 --attempt 1 -m 'merged' --result '{\"pr\": 7}'")
@click.argument("task")
@ATTEMPT
@click.option("-m", "--summary", help="What came of it.")
@click.option("--result", help="A small result, as JSON.")
@click.option("--minutes", "actual_minutes", type=int, help="Minutes that it took.")
@command
def done(session: Session, task: str, result: str | None, **options: Any) -> None:
    """Complete a task."""
    import json

    try:
        value = None if result is None else json.loads(result)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--result") from None
    after(session, session.ledger.tasks.complete(task, result=value, **given(**options)))


@click.command(epilog="Example: shoal fail T42 'the tests do not pass' --attempt 1")
@click.argument("task")
@click.argument("error")
@ATTEMPT
@click.option("--permanent", is_flag=True, help="Do not try again.")
@click.option("--retry-after", "retry_after_seconds", type=int, help="Seconds to wait, in place of the computed time.")
@command
def fail(session: Session, task: str, error: str, permanent: bool, **options: Any) -> None:
    """End an attempt badly; it is tried again while attempts remain."""
    after(session, session.ledger.tasks.fail(task, error=error, permanent=permanent, **given(**options)))


@click.command(epilog="Example: shoal release T42 --delay 600")
@click.argument("task")
@ATTEMPT
@click.option("--delay", "delay_seconds", type=int, help="Seconds before it can be claimed again.")
@click.option("--reason", help="Why.")
@command
def release(session: Session, task: str, **options: Any) -> None:
    """Give a task back; the attempt does not count."""
    after(session, session.ledger.tasks.release(task, **given(**options)))
