"""`shoal dispatch`: lets an executor run tasks. What the executor starts for each: run_attempt.py."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.session import Session, command, given
from shoal.errors import BadInput

if TYPE_CHECKING:
    from shoal.settings import Settings

LOOK_SECONDS = 0.2


@click.command(
    epilog="Examples: shoal dispatch --executor kubernetes -n 10 --queue default    |    "
    "shoal dispatch --executor local -n 2 -- ./agent.sh"
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.option("--executor", type=click.Choice(["local", "kubernetes"]), help="Where; else [dispatch] executor.")
@click.option("--queue", "queues", multiple=True, help="A queue; in order of preference.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Attempts at once.")
@click.option("-t", "--type", help="Only tasks of this type.")
@click.option("-l", "--label", help="Only tasks with this label.")
@click.option("--as", "actor", help="Who does the work; else who you are.")
@click.option("--lease", "lease_seconds", type=click.IntRange(1), help="Seconds an attempt may be out of touch.")
@click.option("--poll", "poll_seconds", type=click.FloatRange(min=0.01), help="Seconds between looks.")
@click.option("--until-empty", is_flag=True, help="End when the queues are empty and nothing runs.")
@command
def dispatch(
    session: Session,
    program: tuple[str, ...],
    executor: str | None,
    type: str | None,
    label: str | None,
    until_empty: bool,
    **options: Any,
) -> None:
    """Claim tasks and let an executor run each: a process here, or a Job in a cluster.

    What is not given comes from [dispatch] in shoal.toml. Stopped, it leaves Jobs running; the next one goes on with
    them. Processes of the executor local end with it, and their tasks are given back.
    """
    import msgspec

    from shoal.cli.logs import log_to_stderr, tell_of_settings
    from shoal.daemon.dispatcher import Dispatcher
    from shoal.daemon.executors import Executors
    from shoal.live_settings import LiveSettings
    from shoal.settings import DispatchSettings

    live = LiveSettings(session.home, on_change=tell_of_settings)
    chosen = given(queues=list(options.pop("queues")) or None, command=list(program) or None, **options)

    def orders() -> DispatchSettings:
        return msgspec.structs.replace(live().dispatch, **chosen)

    name = executor or orders().executor
    if name is None:
        raise BadInput(
            "no executor is chosen: --executor local or kubernetes, or [dispatch] executor", field="executor"
        )
    check_set_up = set_up_check(live, name, lambda: orders().command)
    check_set_up()  # tells what is missing now rather than at the first task
    log_to_stderr()
    executors = Executors(session.home, live, dispatch=orders)
    dispatcher = Dispatcher(
        session.ledger,
        executors.get(name),
        orders,
        logs=session.home.logs,
        type=type,
        label=label,
        hold=lambda: executors.hold(name),
        on_change=None if session.quiet else lambda line: click.echo(line, err=True),
        check=check_set_up,
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    loops = dispatcher.loops()
    for loop in loops:
        loop.start()
    given_up = False
    while not (stopping.wait(LOOK_SECONDS) or given_up or (until_empty and dispatcher.is_empty)):
        given_up = until_empty and dispatcher.pause.is_hopeless
    for loop in loops:
        loop.stop()
    for loop in loops:
        loop.join(live().stop_seconds)
    executors.close()
    dispatcher.close()
    if given_up:
        raise dispatcher.pause.error


def set_up_check(
    settings: Callable[[], Settings], executor: str | None, command: Callable[[], Sequence[str]]
) -> Callable[[], None]:
    """Raises AgentError when attempts could not do their work; of those in a cluster that cannot be seen from here."""
    if executor != "local":
        return lambda: None
    from shoal.worker.choice import check

    return lambda: check(settings(), command())
