"""`shoal backlog push`: accepted items told to a tracker."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from shoal.cli.output import clean, remark
from shoal.cli.session import Session, command

if TYPE_CHECKING:
    from shoal.errands.tracker_push import Pushed

STOPPED = 7


@click.command(epilog="Examples: shoal backlog push board --dry-run; shoal backlog push board")
@click.argument("tracker")
@click.option("--dry-run", is_flag=True, help="Say what the tracker would be told, and ask it nothing.")
@command
def push(session: Session, tracker: str, dry_run: bool) -> None:
    """Make tasks of accepted items in a tracker of shoal.toml, and tell it their status.

    The backlog stays what counts: nothing is read back. What is done is kept one by one, so a push may be broken off
    and repeated. Exit code 7 when the tracker could not be asked to the end, 2 when it refused some.
    """
    from shoal.errands import tracker_push
    from shoal.live_settings import LiveSettings

    is_shown = not session.json and not session.quiet
    came = tracker_push.run(
        session.ledger,
        LiveSettings(session.home)(),
        tracker,
        dry_run=dry_run,
        tell=_say if is_shown else None,
    )

    def show() -> None:
        if dry_run:
            for one in came.done:
                _say(one)
        counts = {word: sum(one.action == word for one in came.done) for word in tracker_push.PushAction}
        told = ", ".join(f"{count} {word.value}" for word, count in counts.items() if count)
        if told or not came.stopped:
            click.echo(f"{tracker}: {told or 'nothing to tell'}")
        if dry_run:
            click.echo("nothing was told: this was a dry run")
        if came.stopped:
            remark(f"{came.stopped}")

    session.answer(came, show, ids=[one.item for one in came.done])
    if came.stopped:
        session.close()
        sys.exit(STOPPED)
    if any(one.action is tracker_push.PushAction.REFUSED for one in came.done):
        session.close()
        sys.exit(2)


def _say(one: Pushed) -> None:
    parts = [one.item, one.action.value, one.status, one.url or one.external_id, one.reason]
    click.echo(clean("  ".join(filter(None, parts))), err=one.reason is not None)
