"""`shoal dispatch`: lets an executor run tasks; `shoal run-attempt`: what the executor starts for each."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

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
@click.option("--agent", help="Who does the work; else who you are.")
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
    from shoal.daemon.loop import Loop
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
    loops = [
        Loop("dispatch", lambda: orders().poll_seconds, dispatcher.tick),
        Loop("logs", lambda: orders().poll_seconds, dispatcher.follow),
        Loop("beats", lambda: dispatcher.beat_seconds, dispatcher.beat),
    ]
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


@click.command("run-attempt", epilog="An executor calls this, as `shoal run-attempt -- ./agent.sh`.")
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.option("--lease", "lease_seconds", type=click.IntRange(1), default=60, show_default=True, help="Seconds.")
@click.option("--timeout", "timeout_seconds", type=click.IntRange(1), help="Seconds, when the task sets none.")
@click.option(
    "--grace", "grace_seconds", type=float, default=20.0, show_default=True, help="Seconds to end in, when stopped."
)
@click.option(
    "--retry-later", "retry_later_seconds", type=int, default=60, show_default=True, help="Wait after exit code 75."
)
@click.option(
    "--logs", type=click.Path(file_okay=False, path_type=Path), help="Folder for output; else logs in the home."
)
@click.option("--echo", is_flag=True, help="Print the output as well, where a cluster collects it.")
@click.option("--tied", is_flag=True, help="Stop when standard input ends.")
@command
def run_attempt(
    session: Session,
    program: tuple[str, ...],
    lease_seconds: int,
    logs: Path | None,
    echo: bool,
    tied: bool,
    **options: Any,
) -> None:
    """Carry out one attempt whose claim is in $SHOAL_CLAIM, and report it.

    It beats for itself, ends when the task is cancelled or the lease lost, and gives the task back when it is stopped.
    Exit codes: 0 completed, 1 failed, 5 no longer ours, 7 nobody to report to, 75 given back, 78 given back because the
    set-up is at fault: no agent, no login, no provider.
    """
    from shoal.cli.logs import log_to_stderr
    from shoal.worker.attempt import Terms
    from shoal.worker.single import SingleAttempt

    claim = _claim()
    terms = Terms(
        settings=session.home.settings(),
        folder=session.home.folder,
        command=list(program),
        logs=(logs or session.home.logs).absolute(),
        **options,
    )
    log_to_stderr()
    ledger = session.ledger
    single = SingleAttempt(ledger, claim, terms, lease_seconds=lease_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: single.stop())
    if tied:
        threading.Thread(target=_wait_for_the_end, args=(sys.stdin.buffer, single.stop), daemon=True).start()
    ended = threading.Event()
    echoing = threading.Thread(target=_echo, args=(single.attempt.log_file, ended))
    if echo:
        echoing.start()
    try:
        code = single.run()
    finally:
        ended.set()
        if echo:
            echoing.join()
    sys.exit(code)


def _claim() -> Any:
    """The claim; out of the environment, so that nothing that is started here takes it for its own."""
    import msgspec

    from shoal.model.task import Claim

    text = os.environ.pop("SHOAL_CLAIM", None)
    if not text:
        raise BadInput("there is no $SHOAL_CLAIM; `shoal work` claims by itself", field="SHOAL_CLAIM")
    try:
        return msgspec.json.decode(text, type=Claim)
    except msgspec.MsgspecError as error:
        raise BadInput(f"$SHOAL_CLAIM is not a claim: {error}", field="SHOAL_CLAIM") from None


def _wait_for_the_end(stream: IO[bytes], stop: Any) -> None:
    # Below the stream's buffer: its lock would be held by this thread when the interpreter ends.
    while os.read(stream.fileno(), 65536):
        pass
    stop()


def _echo(path: Path, ended: threading.Event) -> None:
    """Print a file as it grows, to its end."""
    position = 0
    while True:
        last = ended.wait(LOOK_SECONDS)
        try:
            with path.open("rb") as file:
                file.seek(position)
                text = file.read()
        except FileNotFoundError:
            text = b""
        position += len(text)
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        if last:
            return
