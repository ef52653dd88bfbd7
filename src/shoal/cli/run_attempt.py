"""`shoal run-attempt`: carries out one attempt that was claimed elsewhere; an executor starts it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from shoal.cli.session import Session, command
from shoal.errors import BadInput

if TYPE_CHECKING:
    from shoal.model.task import Claim


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
    from shoal.worker.single import SingleAttempt, print_log

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
    echoing = threading.Thread(target=print_log, args=(single.attempt.log_file, ended))
    if echo:
        echoing.start()
    try:
        code = single.run()
    finally:
        ended.set()
        if echo:
            echoing.join()
    sys.exit(code)


def _claim() -> Claim:
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


def _wait_for_the_end(stream: IO[bytes], stop: Callable[[], None]) -> None:
    # Below the stream's buffer: its lock would be held by this thread when the interpreter ends.
    while os.read(stream.fileno(), 65536):
        pass
    stop()
