"""The ledger on SQLite: one writer at a time with group commit, readers beside it.

Facts behind it: synchronous=FULL costs 13-33 % under group commit, so it stays; a file lock taken before BEGIN
IMMEDIATE keeps many processes from starving each other, which SQLite's own busy handler does not.
Never open the database file by other means inside this process: closing it would drop SQLite's locks.
"""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw

from shoal.errors import (
    StoreBusy,
    StoreMissing,
)
from shoal.store import migrate
from shoal.store.database import Answer, Database, Joint, Row, Transaction, Work
from shoal.store.gather import Gatherer, Write, carry_out
from shoal.store.queries import Dialect, Query, load
from shoal.store.sqlite_copies import check_backup, fsync, integrity
from shoal.store.sqlite_errors import as_shoal_error, translated
from shoal.store.words import FTS5, match_score

DIALECT = Dialect(
    name="sqlite",
    tokens={
        "identity": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "storage": "",
        "for_update": "",
        "skip_locked": "",
        "rows": "json_each(:rows)",
        "labels": "SELECT value FROM json_each(t.labels)",
        "returning": "*",
        "follow_ids": "MAX(id)",  # AUTOINCREMENT follows by itself
    },
    placeholder="?",
)
QUERIES = load(DIALECT)
APPEND_EVENT = QUERIES["events.append"].statement({})
WAL_CHECKPOINT_PAGES = 4000
JOURNAL_SIZE_LIMIT = 64 * 1024 * 1024
SCHEMA_VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied_at BIGINT NOT NULL)"
)


class SQLiteTransaction(Transaction):
    """Named queries on one connection."""

    __slots__ = ("_connection",)
    round_trips = False
    words = FTS5

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__()
        self._connection = connection

    def all(self, query: str, /, **parameters: Any) -> list[Row]:
        statement = QUERIES[query].statement(parameters)
        return self._connection.execute(statement.sql, statement.bind(parameters)).fetchall()

    def later(self, query: str, /, **parameters: Any) -> Callable[[], list[Row]]:
        rows = self.all(query, **parameters)
        return lambda: rows

    def many(self, query: str, parameters: Sequence[Mapping[str, Any]], /) -> list[list[Row]]:
        named: Query = QUERIES[query]
        execute = self._connection.execute
        answers = []
        for given in parameters:
            statement = named.statement(given)
            answers.append(execute(statement.sql, statement.bind(given)).fetchall())
        return answers

    def event_horizon(self) -> int:
        # One writer at a time: the order of ids is the order of commits.
        return int(self.all("events.latest")[0][0])


class SQLite(Database):
    """A ledger's database in one file."""

    kind = "sqlite"

    def __init__(self, path: Path, *, create: bool, patience_seconds: float = 30.0) -> None:
        self.path = path
        self.address = str(path)
        self._patience = patience_seconds
        self._readers: deque[apsw.Connection] = deque()
        self._open_readers: list[apsw.Connection] = []
        if not create and not path.exists():
            raise StoreMissing(
                f"{path} does not exist; `shoal init` makes a new ledger, `shoal restore` brings a backup"
            )
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(path.with_name(path.name + ".write-lock"), os.O_RDWR | os.O_CREAT, 0o600)
            self._writer = self._connect()
            self._poller = self._connect(read_only=True)
            self._poller_lock = threading.Lock()
        self._gatherer = Gatherer(self._commit, f"shoal-writer-{path.name}")

    def read(self, work: Work[Answer]) -> Answer:
        with translated(self.path):
            connection = self._take_reader()
            try:
                connection.execute("BEGIN")  # one snapshot for all statements of the verb
                return work(SQLiteTransaction(connection))
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")
                self._readers.append(connection)

    def write(self, work: Work[Answer], joint: Joint | None = None) -> Answer:
        return self._gatherer.run(work, joint)

    def submit(self, work: Work[Answer], joint: Joint | None = None) -> Future[Answer]:
        return self._gatherer.submit(work, joint)

    @property
    def poll_seconds(self) -> float:
        return 0.02

    def changed(self, seen: int | None) -> int:
        with translated(self.path), self._poller_lock:
            return int(self._poller.pragma("data_version"))

    def migrate(self) -> None:
        with translated(self.path):
            # Looked at before anything is locked: opening an up-to-date ledger must not wait for a writer.
            if not migrate.pending(self._schema_version(), self.address):
                return
            connection = self._writer
            with self._exclusive():
                try:
                    connection.execute(SCHEMA_VERSION_TABLE)
                    for number, text in migrate.pending(self._schema_version(), self.address).items():
                        for statement in migrate.statements(DIALECT.fill(text)):
                            connection.execute(statement)
                        connection.execute(
                            "INSERT INTO schema_version VALUES (?, CAST(strftime('%s') AS INTEGER) * 1000)", (number,)
                        )
                    connection.execute("COMMIT")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise

    def _schema_version(self) -> int:
        known = self._writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchall()
        rows: list[Any] = (
            self._writer.execute("SELECT COALESCE(MAX(version), 0) FROM schema_version").fetchall() if known else [(0,)]
        )
        return int(rows[0][0])

    def backup(self, target: str) -> None:
        partial = Path(f"{target}.{secrets.token_hex(4)}.partial")  # another may be made in the same moment
        with translated(self.path):
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.set_busy_timeout(int(self._patience * 1000))
                # VACUUM INTO, not the stepped backup API: that one starts over with every foreign commit.
                connection.execute("VACUUM INTO ?", (str(partial),))
            finally:
                connection.close()
        check_backup(partial)
        fsync(partial)
        partial.rename(target)
        fsync(Path(target).parent)

    def check(self) -> list[str]:
        with translated(self.path):
            connection = self._take_reader()
            try:
                return integrity(connection)
            finally:
                self._readers.append(connection)

    def measure(self) -> dict[str, int]:
        def size(suffix: str) -> int:
            try:
                return os.stat(f"{self.path}{suffix}").st_size
            except FileNotFoundError:
                return 0

        return {"database_bytes": size(""), "wal_bytes": size("-wal")}

    def maintain(self) -> None:
        # PASSIVE never waits for anyone; TRUNCATE would make the next commits append, which costs twice as much.
        with translated(self.path), self._poller_lock:
            self._poller.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def finish(self) -> None:
        self._gatherer.close()

    def close(self) -> None:
        self.finish()
        for connection in [*self._open_readers, self._poller, self._writer]:
            connection.close()
        os.close(self._lock_file)

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        connection = apsw.Connection(
            str(self.path), flags=apsw.SQLITE_OPEN_READWRITE | (0 if read_only else apsw.SQLITE_OPEN_CREATE)
        )
        connection.set_busy_timeout(int(self._patience * 1000))
        # Without this, binding another queue's name prepares a statement on partial indexes anew: 94 us, not 17.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("foreign_keys", "on")
        connection.pragma("journal_size_limit", JOURNAL_SIZE_LIMIT)
        connection.pragma("wal_autocheckpoint", WAL_CHECKPOINT_PAGES)
        # There is one writer, and as many readers as threads read at once.
        connection.pragma("cache_size", -1024 * (4 if read_only else 64))
        connection.pragma("temp_store", "memory")
        connection.register_fts5_function("match_score", match_score)
        # SQLite's own knows no letters but ASCII's. No index may use it: other programs would make another one.
        connection.create_scalar_function("lower", str.lower, 1, deterministic=True)  # type: ignore[arg-type]
        if read_only:
            connection.pragma("query_only", "on")
        return connection

    def _take_reader(self) -> apsw.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            connection = self._connect(read_only=True)
            self._open_readers.append(connection)
            return connection

    def _commit(self, batch: list[Write[Any]]) -> None:
        """Commit a batch in one transaction, or each write by itself when one of them fails."""
        if len(batch) > 1:
            try:
                self._attempt(batch)
            except Exception:  # each by itself will tell it to the caller that it belongs to
                for write in batch:
                    self._commit([write])
            return
        [write] = batch
        try:
            write.error = None
            self._attempt(batch)
        except BaseException as error:  # its caller must hear of it, whatever it is
            write.error = as_shoal_error(error, self.path) if isinstance(error, Exception) else error

    def _attempt(self, batch: list[Write[Any]]) -> None:
        connection = self._writer
        with self._exclusive():
            try:
                transaction = SQLiteTransaction(connection)
                if len(batch) == 1:
                    batch[0].answer = batch[0].work(transaction)
                else:
                    carry_out(batch, transaction)
                if transaction.events:
                    connection.executemany(APPEND_EVENT.sql, map(APPEND_EVENT.bind, transaction.events))
                if transaction.entries:
                    self.journal.lay_down(transaction.entries)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        if transaction.entries:
            self.journal.take_up(transaction.entries)
        self.on_commit()

    def _exclusive(self) -> _Exclusive:
        return _Exclusive(self._writer, self._lock_file, self._patience, self.path)


class _Exclusive:
    """The file lock, then BEGIN IMMEDIATE; the lock goes when the block ends, after COMMIT or ROLLBACK."""

    __slots__ = ("_connection", "_file", "_path", "_patience")

    def __init__(self, connection: apsw.Connection, file: int, patience: float, path: Path) -> None:
        self._connection = connection
        self._file = file
        self._patience = patience
        self._path = path

    def __enter__(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            raise

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _wait(self) -> None:
        # Short naps rather than a blocking flock: a stopped process must not stop us for ever.
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return
        raise StoreBusy(
            f"{self._path} has been held by another process for {self._patience:.0f} s; "
            "find it with `fuser` and end it, or try again"
        )
