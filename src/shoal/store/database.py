"""What the ledger asks of a database: transactions that run named queries and append events.

Nothing here knows SQL or a driver; sqlite.py and postgres.py do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from shoal.store.words import WordIndex

Answer = TypeVar("Answer")
Row = tuple[Any, ...]
Work = Callable[["Transaction"], Answer]


class Joint(NamedTuple):
    """How pieces of work of one kind that wait at the same time are done as one.

    `run` gets the items of all of them, asks the database, and gives a function that answers for each, with an
    exception in the place of a refused one.
    """

    kind: Hashable
    run: Callable[[Transaction, list[Any]], Callable[[], list[Any]]]
    item: Any


class Journal(Protocol):
    """Something beside the database that a commit carries with it: on the disk before, taken up after it."""

    def lay_down(self, entries: list[Any]) -> None:
        """Bring entries to the disk; the transaction that they belong to is committed only after that."""

    def take_up(self, entries: list[Any]) -> None:
        """The transaction of these entries is committed. Must return soon; the log tells which commit came first."""


class Transaction(ABC):
    """One transaction: named queries in, rows out. Events are held back and appended together at its end.

    On PostgreSQL the order of the log depends on that: an event's id is drawn as late as possible, under a lock
    that readers use to know what is settled.
    """

    __slots__ = ("entries", "events")

    round_trips: ClassVar[bool]
    """Whether each statement costs a round trip, so that one over many rows is worth reading them from JSON."""

    words: ClassVar[WordIndex]
    """How the full-text index spells words and what is looked for."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.entries: list[Any] = []

    def all(self, query: str, /, **parameters: Any) -> list[Row]:
        """Every row that the query gives."""
        return self.later(query, **parameters)()

    @abstractmethod
    def later(self, query: str, /, **parameters: Any) -> Callable[[], list[Row]]:
        """Ask now; calling the answer waits for the rows. What is asked before that shares the round trip."""

    @abstractmethod
    def many(self, query: str, parameters: Sequence[Mapping[str, Any]], /) -> list[list[Row]]:
        """The query once per set of parameters, in one round trip; the rows of each."""

    @abstractmethod
    def event_horizon(self) -> int:
        """The newest event id below which nothing can appear any more."""

    def one(self, query: str, /, **parameters: Any) -> Row | None:
        """The first row, or None."""
        rows = self.all(query, **parameters)
        return rows[0] if rows else None

    def append_event(self, event: dict[str, Any]) -> None:
        """Hold an event back until the end of the transaction."""
        self.events.append(event)

    def append_entry(self, entry: Any) -> None:
        """Hold an entry for the journal back until then."""
        self.entries.append(entry)


class Database(ABC):
    """A ledger's database: reads beside each other, writes gathered and committed together."""

    kind: str
    address: str
    on_commit: Callable[[], None] = staticmethod(lambda: None)
    """Called after each commit, in whichever thread made it; after one of another process if it is told of it."""
    journal: Journal
    """Where the entries of transactions go."""

    @abstractmethod
    def read(self, work: Work[Answer]) -> Answer:
        """Run work that only reads."""

    @abstractmethod
    def write(self, work: Work[Answer], joint: Joint | None = None) -> Answer:
        """Run work in a transaction and answer after its commit; work may be run again from the start.

        With `joint` it may be done together with others of its kind.
        """

    @abstractmethod
    def submit(self, work: Work[Answer], joint: Joint | None = None) -> Future[Answer]:
        """Like write, without waiting: the future is done after the commit."""

    @property
    @abstractmethod
    def poll_seconds(self) -> float:
        """How often someone who waits for a commit should ask `changed`."""

    @abstractmethod
    def changed(self, seen: int | None) -> int:
        """A number that differs from `seen` when another process or thread has committed; cheap enough to poll."""

    @abstractmethod
    def migrate(self) -> None:
        """Bring the schema up to this program's version."""

    @abstractmethod
    def backup(self, target: str) -> None:
        """Write a complete, checked copy to the file `target`."""

    @abstractmethod
    def check(self) -> list[str]:
        """What is wrong with the database as a whole; nothing is the good answer."""

    @abstractmethod
    def measure(self) -> dict[str, int]:
        """Sizes in bytes and other gauges, by name."""

    @abstractmethod
    def maintain(self) -> None:
        """Housekeeping that should run now and then, off the hot path."""

    @abstractmethod
    def finish(self) -> None:
        """Finish the writes that were submitted, and take no more of them."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection; work under way is finished first."""
