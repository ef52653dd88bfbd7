"""The floor: the same rows through apsw alone, one writer thread with group commit, no rules and no answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

import apsw

from shoal.store import migrate
from shoal.store.sqlite import DIALECT, QUERIES

NOW = 1_800_000_000_000


class BareLoop:
    """Inserts the row of a task and of its event for every call, durably."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for name, value in (("journal_mode", "wal"), ("synchronous", "full"), ("wal_autocheckpoint", 4000)):
            self._connection.pragma(name, value)
        for text in migrate.migrations().values():
            for statement in migrate.statements(DIALECT.fill(text)):
                self._connection.execute(statement)
        self._task = QUERIES["tasks.insert"].statement({})
        self._event = QUERIES["events.append"].statement({})
        self._arrived: SimpleQueue[threading.Lock] = SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()

    def operation(self) -> Callable[[int], int]:
        """One durable create per call."""

        def call(_: int) -> int:
            done = threading.Lock()
            done.acquire()
            self._arrived.put(done)
            done.acquire()
            return 1

        return call

    def _write(self) -> None:
        names = {
            "title": "a task",
            "type": "swe",
            "status": "queued",
            "priority": 2,
            "queue": "default",
            "created_by": "b",
        }
        numbers = {"requires_qa": 0, "max_attempts": 3, "run_at": NOW, "blockers": 0, "now": NOW, "queued_at": NOW}
        row = self._task.bind(_Rest(names | numbers))
        while True:
            batch = [self._arrived.get()]
            try:
                while len(batch) < 256:
                    batch.append(self._arrived.get_nowait())
            except Empty:
                pass
            self._connection.execute("BEGIN IMMEDIATE")
            for _ in batch:
                [[task, *_rest]] = self._connection.execute(self._task.sql, row).fetchall()
                event = {"at": NOW, "kind": "task.created", "actor": "b", "task": task, "new_status": "queued"}
                self._connection.execute(self._event.sql, self._event.bind(_Rest(event)))
            self._connection.execute("COMMIT")
            for done in batch:
                done.release()


class _Rest(dict):  # type: ignore[type-arg]
    """A row whose other columns are empty."""

    def __missing__(self, key: str) -> None:
        return None
