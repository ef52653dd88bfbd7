"""`shoal notify`."""

from __future__ import annotations

import click

from shoal.cli.session import Session, command

TITLE = "Shoal"
TEXT = "A test of this channel: **it works**."


@click.command(epilog='Example: shoal notify team "The night shift begins."')
@click.argument("channel")
@click.argument("text", default=TEXT)
@command
def notify(session: Session, channel: str, text: str) -> None:
    """Send a message to a channel of shoal.toml, or a test.

    The text is markdown. It is sent from here, by the settings and the environment of this home.
    """
    from shoal.daemon import notifications

    notifications.notify(session.home.settings(), channel, title=TITLE, body=text)
    session.answer({"channel": channel, "sent": True}, lambda: click.echo(f"{channel} took it"), ids=[channel])
