"""Brings content whose transaction is committed into its files, in the order of the commits, from a thread of its own.

What cannot be brought there stays in the spool, and is tried again with `recover`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import structlog

from shoal.clock import SystemClock
from shoal.errors import ShoalError, VaultError
from shoal.model.content import Entry, Facts
from shoal.model.event import Kind
from shoal.services import Tx, contents
from shoal.services.refs import get_task
from shoal.settings import Settings

if TYPE_CHECKING:
    from shoal.adapters.vault.vault import Vault

log = structlog.get_logger()
UNCERTAIN_MS = 60_000
PATIENCE_SECONDS = 30.0


class Settler:
    """The journal of a database whose ledger has a vault."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        *,
        read: Callable[[Callable[[Tx], Any]], Any],
        tell: Callable[[Callable[[Tx], None]], Any],
    ) -> None:
        """`read` runs a function in a transaction that reads; `tell` in one that writes, without waiting for it."""
        self.root = root
        self.waiting: dict[str, str] = {}
        """Why content that was promised is not in its file yet, by its token."""
        self._settings = settings
        self._read = read
        self._tell = tell
        self._changed = threading.Condition()
        self._taken_up: list[Entry] = []
        self._busy = False
        self._recovered = False
        self._thread: threading.Thread | None = None
        self._closed = False

    @cached_property
    def vault(self) -> Vault:
        """The vault; made when it is first needed, because YAML takes 15 ms to import."""
        from shoal.adapters.vault.layout import Layout
        from shoal.adapters.vault.vault import Vault

        return Vault(self.root, Layout.of(self._settings))

    def settled(self) -> Vault:
        """The vault with everything in it that is committed, by processes of before too."""
        if self._recovered:
            self.settle()
        else:
            self.recover(SystemClock().now_ms())
        return self.vault

    def lay_down(self, entries: list[Entry]) -> None:
        """Bring entries to the disk, before the commit."""
        try:
            self.vault.spool.lay_down(entries)
        except OSError as error:
            raise VaultError(f"{self.root} cannot take content: {error.strerror}; nothing was written") from error

    def take_up(self, entries: list[Entry]) -> None:
        """Their transaction is committed: bring them to their files soon."""
        with self._changed:
            self._taken_up += entries
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="shoal-settler", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def settle(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until everything committed before is in its file, but not for ever."""
        if self._taken_up or self._busy:
            with self._changed:
                self._changed.wait_for(lambda: not self._taken_up and not self._busy, seconds)

    def recover(self, now_ms: int) -> int:
        """Take what processes left behind that are no more, and what could not be brought to its file; how many."""
        self.settle()
        self._recovered = True
        spool = self.vault.spool
        uncertain = spool.uncertain(now_ms - UNCERTAIN_MS)
        committed = self._read(partial(contents.committed, entries=uncertain))
        taken = self._bring(committed)
        spool.done([one.token for one in uncertain if one not in committed])
        for path, entries in spool.orphans():
            committed = self._read(partial(contents.committed, entries=entries))
            taken += self._bring(committed)
            if not any(one.token in self.waiting for one in committed):
                path.unlink()
        return taken

    def close(self) -> None:
        """Finish what was taken up and end the thread."""
        self.settle()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self.vault.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._taken_up or self._closed)
                if not self._taken_up:
                    return
                entries, self._taken_up = self._taken_up, []
                self._busy = True
            try:
                self._bring(entries)
            except Exception:
                log.exception("content waits in the spool", entries=len(entries))
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _bring(self, entries: list[Entry]) -> int:
        done = []
        for entry in entries:
            try:
                facts = self._read(partial(_facts, entry=entry))
                beside = self.vault.take(entry, facts)
            except (ShoalError, OSError) as error:
                self._wait(entry, error.message if isinstance(error, ShoalError) else str(error))
                continue
            self.waiting.pop(entry.token, None)
            done.append(entry.token)
            if beside is not None:
                self._tell_of_conflict(entry, beside)
        self.vault.spool.done(done)
        return len(done)

    def _wait(self, entry: Entry, reason: str) -> None:
        if self.waiting.get(entry.token) != reason:
            log.error("content waits in the spool", task=entry.task, what=entry.what, reason=reason)
        self.waiting[entry.token] = reason

    def _tell_of_conflict(self, entry: Entry, beside: PurePosixPath) -> None:
        def tell(tx: Tx) -> None:
            task = get_task(tx, entry.task)
            data = {"path": str(beside), "reason": "somebody wrote the body at the same time; the other text is here"}
            tx.emit(Kind.VAULT_CONFLICT, task, was=task.status.value, data=data)

        self._tell(tell)


def _facts(tx: Tx, entry: Entry) -> Facts:
    return contents.facts(tx, [get_task(tx, entry.task)])[0]
