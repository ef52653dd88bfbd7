"""Follows a task's events from the terminal to its end, through restarts of the server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import click

from shoal.cli.session import Session
from shoal.errors import ServerUnreachable
from shoal.model.event import Event
from shoal.model.task import FINISHED

LOOK_SECONDS = 1.0


def until_finished(session: Session, number: int, after: int) -> Iterator[Event]:
    """Every event of a task behind `after`, each once, until the task is finished."""
    position, ends, away = after, False, False
    while True:
        try:
            # Of a task that was reopened the older end is not the end.
            if ends and session.ledger.tasks.get(number).status in FINISHED:
                return
            for event in session.ledger.follow(after=position, task=number):
                position, away = event.id, False
                yield event
                ends = status(event) in FINISHED
                if ends and session.ledger.tasks.get(number).status in FINISHED:
                    return
        except ServerUnreachable:
            if not away:
                click.echo("server away, waiting", err=True)
            away = True
            threading.Event().wait(LOOK_SECONDS)
            while not session.reconnect():
                threading.Event().wait(LOOK_SECONDS)


def status(event: Event) -> str | None:
    """The status that the event gave its task."""
    change = event.changes.get("status")
    return None if change is None else change[1]
