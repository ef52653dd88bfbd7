"""`shoal notify`."""

from __future__ import annotations

import os
import stat
import sys

import click

from shoal.cli.session import Session, command
from shoal.errors import BadInput

TITLE = "Shoal"
TEXT = "A test of this channel: **it works**."


@click.command(
    epilog='Examples: shoal notify team "The night shift begins."; shoal job logs R7 --tail | shoal notify team'
)
@click.argument("channel")
@click.argument("text", required=False)
@command
def notify(session: Session, channel: str, text: str | None) -> None:
    """Send a message to a channel of shoal.toml, or a test.

    The text is markdown; it comes from standard input where it is `-`, or left out behind a pipe. It is sent from here,
    by the settings and the environment of this home.
    """
    from shoal.daemon import notifications

    is_piped = sys.stdin is not None and stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    if text == "-" or (text is None and is_piped):
        text = sys.stdin.buffer.read().decode(errors="replace")
    text = TEXT if text is None else text
    if not text.strip():
        raise BadInput("there is nothing to send: the text is empty", field="text")
    notifications.notify(session.home.settings(), channel, title=TITLE, body=text)
    session.answer({"channel": channel, "sent": True}, lambda: click.echo(f"{channel} took it"), ids=[channel])
