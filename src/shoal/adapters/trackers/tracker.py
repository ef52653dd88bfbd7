"""What every tracker can do: make a task, find those made before, say how far one is. Nothing is read back as truth."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class NewTicket(Struct, frozen=True, kw_only=True):
    """What a tracker is told of an item. `marker` is the last line of its text, and finds it again.

    `priority` is 0 (urgent) to 3 (low), `due_at` epoch milliseconds; `status` is the tracker's own word.
    """

    title: str
    text: str
    marker: str
    priority: int | None = None
    due_at: int | None = None
    status: str | None = None


class Ticket(Struct, frozen=True):
    """What a tracker made: its id there, and where people see it."""

    id: str
    url: str | None


class Tracker(Protocol):
    """A tracker. Its errors are TrackerError, for one ticket, and TrackerUnreachable, for all."""

    def known(self) -> dict[str, Ticket]:
        """The tickets that were made of items, by their markers."""

    def create(self, new: NewTicket) -> Ticket:
        """Make a ticket. When it raises TrackerUnreachable it may be there nevertheless; `known` tells."""

    def set_status(self, id: str, status: str) -> bool:
        """Say how far a ticket is; False when it is not there any more."""

    def close(self) -> None:
        """Let go of connections."""
