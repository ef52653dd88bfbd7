"""Statements over one PostgreSQL connection, sent together and answered together, in libpq's pipeline mode.

The driver's own pipeline takes 60 us for each statement, the larger part of a short transaction; this takes 15 us.
Every statement is prepared on its first use.
"""

from __future__ import annotations

import itertools
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

BIGINT = 20
_WENT_WELL = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.PIPELINE_SYNC}


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """The driver's connection, with a wire."""

    @contextmanager
    def pipelined(self) -> Iterator[Wire]:
        """The wire, for a block of work that waits for its last answers itself."""
        self.pgconn.enter_pipeline_mode()
        try:
            yield self._wire
        finally:
            self._wire.hang_up()

    @cached_property
    def _wire(self) -> Wire:
        return Wire(self)


class Sent:
    """A statement under way."""

    __slots__ = ("_rows", "_wire")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._rows: list[tuple[Any, ...]] | None = None

    def rows(self) -> list[tuple[Any, ...]]:
        """Its rows; waits for everything that was sent."""
        if self._rows is None:
            self._wire.wait()
        assert self._rows is not None  # noqa: S101 - wait fills them in, or raises
        return self._rows

    def fill(self, rows: list[tuple[Any, ...]]) -> None:
        """They have arrived."""
        self._rows = rows


class Wire:
    """Sends statements at once; their answers are read together, when the first of them is asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._loader = Transformer(connection)
        self._readable = select.poll()
        self._readable.register(self._libpq.socket, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
        self._names: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        # One for each result that is to come: the statement it answers, or the text that it prepares.
        self._awaited: list[Sent | str] = []
        self._waiting = False

    def send(self, sql: str, parameters: Sequence[Any] = ()) -> Sent:
        """Send a statement and its parameters: text, whole numbers or None."""
        values = [_as_text(value) for value in parameters]
        name = self._names.get(sql)
        if name is None:
            name = self._names[sql] = b"shoal_%d" % next(self._numbers)
            # The server tells the other types by where they stand.
            self._libpq.send_prepare(name, sql.encode(), [BIGINT if type(one) is int else 0 for one in parameters])
            self._awaited.append(sql)
        self._libpq.send_query_prepared(name, values)
        sent = Sent(self)
        self._awaited.append(sent)
        return sent

    def wait(self) -> None:
        """Wait for the answers to all that was sent.

        Raises the driver's error for the first statement that failed; those behind it were not run.
        """
        self._waiting = True
        awaited, self._awaited = self._awaited, []
        failed: PGresult | None = None
        self._libpq.pipeline_sync()
        self._flush()
        for one in awaited:
            result = self._result()
            self._result()  # None, which ends the results of one statement
            if result is None or result.status not in _WENT_WELL:
                failed = failed or result
                if isinstance(one, str):
                    del self._names[one]
            elif isinstance(one, Sent):
                self._loader.set_pgresult(result)
                one.fill(self._loader.load_rows(0, result.ntuples, tuple))
        self._result()  # of the synchronisation
        if self._libpq.status != ConnStatus.OK:
            raise psycopg.OperationalError(self._libpq.get_error_message())
        self._waiting = False
        if failed is not None:
            raise error_from_result(failed)

    def hang_up(self) -> None:
        """Leave the pipeline with nothing under way; a connection that was interrupted while it waited is closed."""
        if self._awaited and not self._waiting:
            with suppress(psycopg.Error):
                self.wait()
        if self._waiting or self._libpq.status != ConnStatus.OK:
            self._connection.close()
        else:
            self._libpq.exit_pipeline_mode()

    def _flush(self) -> None:
        while self._libpq.flush():
            # The server may be waiting for its answers to be read before it reads on.
            if self._writable.poll()[0][1] & select.POLLIN:
                self._libpq.consume_input()

    def _result(self) -> PGresult | None:
        while self._libpq.is_busy():
            self._readable.poll()
            self._libpq.consume_input()
        return self._libpq.get_result()


def _as_text(value: str | float | None) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise psycopg.DataError("text cannot hold a NUL character")
        return value.encode()
    return str(int(value) if isinstance(value, bool) else value).encode()
