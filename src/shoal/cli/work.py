"""`shoal work`: a worker that runs agents, or one command, on tasks."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from shoal.cli.session import Session, command


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog="Examples: shoal work -n 2    |    shoal work --queue default -- sh -c 'echo working on $SHOAL_TASK_ID'",
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--queue", "queues", multiple=True, default=["default"], show_default=True, help="A queue; in order of preference."
)
@click.option("-n", "--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True, help="Tasks at once.")
@click.option("-t", "--type", help="Only tasks of this type.")
@click.option("-l", "--label", help="Only tasks with this label.")
@click.option("--agent", help="Who does the work; else who you are.")
@click.option(
    "--lease", "lease_seconds", type=click.IntRange(1), default=60, show_default=True, help="Seconds a lease lasts."
)
@click.option(
    "--timeout", "timeout_seconds", type=click.IntRange(1), help="Seconds for a task that sets none of its own."
)
@click.option(
    "--grace", "grace_seconds", type=float, default=10.0, show_default=True, help="Seconds to end in, when stopped."
)
@click.option(
    "--poll", "poll_seconds", type=float, default=1.0, show_default=True, help="Seconds between looks at empty queues."
)
@click.option(
    "--retry-later", "retry_later_seconds", type=int, default=60, show_default=True, help="Wait after exit code 75."
)
@click.option(
    "--logs", type=click.Path(file_okay=False, path_type=Path), help="Folder for output; else logs in the home."
)
@click.option("--until-empty", is_flag=True, help="End when the queues are empty.")
@command
def work(session: Session, program: tuple[str, ...], agent: str | None, logs: Path | None, **options: Any) -> None:
    """Claim tasks and let agents work on them: those of shoal.toml, or PROGRAM, run once per task.

    An agent works in a folder of its own, with a branch in each repository of the task; its success criteria are
    checked before the task completes. `shoal logs T42 --follow` shows what it does.

    PROGRAM gets the claim as JSON on standard input and the task in SHOAL_TASK_ID, _TITLE, _ATTEMPT and so on.
    Exit code 0 completes the task, 75 gives it back for later, any other fails the attempt. Ctrl-C or SIGTERM lets
    what runs finish within the grace time and gives back the rest; a second one ends it at once.
    """
    from shoal.cli.logs import log_to_stderr, tell_of_settings
    from shoal.live_settings import LiveSettings
    from shoal.worker.attempt import Terms
    from shoal.worker.choice import check
    from shoal.worker.worker import Orders, Worker

    live = LiveSettings(session.home, on_change=tell_of_settings)
    settings = live()
    check(settings, program)  # tells what is missing now rather than at the first task
    terms = Terms(
        settings=settings,
        folder=session.home.folder,
        command=list(program),
        logs=(logs or session.home.logs).absolute(),
        grace_seconds=options.pop("grace_seconds"),
        timeout_seconds=options.pop("timeout_seconds"),
        retry_later_seconds=options.pop("retry_later_seconds"),
    )
    orders = Orders(queues=list(options.pop("queues")), **options)
    log_to_stderr()
    ledger = session.ledger.acting_as(agent) if agent else session.ledger
    tell = None if session.quiet else lambda line: click.echo(line, err=True)
    worker = Worker(ledger, orders, terms, settings=live, on_change=tell)
    if not session.quiet:
        click.echo(f"worker {worker.id} on {ledger.address}, output in {terms.logs}", err=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()
