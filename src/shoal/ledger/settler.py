"""Brings content whose transaction is committed into its files, from a thread of its own.

What a later transaction wrote is never overwritten: the log tells which came later. What cannot be brought there
stays in the spool, and is tried again with `recover`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.clock import SystemClock
from shoal.errors import ShoalError, VaultError
from shoal.model.content import ContentKind, Entry, Facts
from shoal.model.event import Kind
from shoal.services import Tx, contents
from shoal.services.refs import get_task
from shoal.settings import Settings

if TYPE_CHECKING:
    from shoal.adapters.vault.vault import Vault

UNCERTAIN_MS = 600_000  # far longer than any transaction waits
PATIENCE_SECONDS = 30.0
TOGETHER = 200


class Settler:
    """The journal of a database whose ledger has a vault."""

    def __init__(
        self,
        root: Path,
        spool: Path,
        settings: Settings,
        *,
        read: Callable[[Callable[[Tx], Any]], Any],
        tell: Callable[[Callable[[Tx], None]], Any],
    ) -> None:
        """`read` runs a function in a transaction that reads; `tell` in one that writes, without waiting for it."""
        self.root = root
        self.waiting: dict[str, str] = {}
        """Why content that was promised is not in its file yet, by its token."""
        self._late: dict[str, Entry] = {}
        self._spool = spool
        self._settings = settings
        self._read = read
        self._tell = tell
        self._changed = threading.Condition()
        self._taken_up: list[Entry] = []
        self._busy = False
        self._recovered = False
        self._recovering = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._abandoned = False

    @cached_property
    def vault(self) -> Vault:
        """The vault; made when it is first needed, because YAML takes 15 ms to import."""
        from shoal.adapters.git.repository import Git
        from shoal.adapters.vault import replaced
        from shoal.adapters.vault.layout import Layout
        from shoal.adapters.vault.vault import Vault

        git = Git(self.root, timeout_seconds=self._settings.vault_git_seconds)
        return Vault(self.root, Layout.of(self._settings), self._spool, partial(replaced.keep, git))

    def open_vault(self) -> Vault:
        """The vault."""
        return self.vault

    def settle(self) -> None:
        """Wait until everything that is committed is in its file, by processes of before too.

        Raises VaultError when that takes too long. Never called inside of a transaction, which others would wait for.
        """
        if not self._recovered:
            self.recover()
        elif self._taken_up or self._busy:
            self._wait_for_the_thread()

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

    def recover(self) -> None:
        """Take what processes left behind that are no more, and what could not be brought to its file before."""
        self._wait_for_the_thread()
        with self._recovering:
            spool = self.vault.spool
            self._bring(list(self._late.values()), again=True)
            old = spool.uncertain(SystemClock().now_ms() - UNCERTAIN_MS)
            uncertain = [one for one in old if one.token not in self._late]
            committed = self._read(partial(contents.committed, entries=uncertain))
            self._bring(committed, again=True)
            spool.done([one.token for one in uncertain if one not in committed])
            for path, entries in spool.orphans():
                committed = self._read(partial(contents.committed, entries=entries))
                self._bring(committed, again=True)
                if not any(one.token in self.waiting for one in committed):
                    path.unlink()
            self._recovered = True

    def late(self, before: int) -> list[str]:
        """What was promised before that moment and is in no file yet, and why not."""
        waiting = [(one, self.waiting.get(token, "")) for token, one in list(self._late.items()) if one.at < before]
        return [f"{one.what} of task {one.task} waits for its file: {reason}" for one, reason in waiting]

    def close(self) -> None:
        """End the thread: what was taken up is finished; what is more than can be waited for stays in the spool."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
            self._abandoned = True
            self._thread.join()
            self.vault.close()

    def _wait_for_the_thread(self) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._taken_up and not self._busy, PATIENCE_SECONDS):
                raise VaultError(
                    f"content is still being written into {self.root} after {PATIENCE_SECONDS:.0f} s; try again"
                )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._taken_up or self._closed)
                if not self._taken_up or self._abandoned:
                    return
                entries, self._taken_up = self._taken_up, []
                self._busy = True
            try:
                self._bring(entries, again=False)
            except Exception:
                _logger().exception("content waits in the spool", entries=len(entries))
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _bring(self, entries: list[Entry], *, again: bool) -> None:
        done = [] if again else self._bring_new(entries)
        for entry in entries:
            if self._abandoned:
                break
            if entry.token in done:
                continue
            try:
                facts = self._read(partial(_facts, entry=entry))
                others = [] if facts is None else self.vault.take(entry, facts, again=again)
            except Exception as error:  # whatever it is, the entry is promised and the others are too
                self._wait(entry, error.message if isinstance(error, ShoalError) else repr(error))
                continue
            self.waiting.pop(entry.token, None)
            self._late.pop(entry.token, None)
            done.append(entry.token)
            for other in others:
                reason = "another text stood in its place by then; this one is here"
                self._log(entry, Kind.VAULT_CONFLICT, str(other), reason)
        self.vault.spool.done(done)

    def _bring_new(self, entries: list[Entry]) -> list[str]:
        """Bring the bodies of new tasks there together, three times as fast as one by one; the tokens of those."""
        first: dict[int, Entry] = {}
        for entry in entries:
            first.setdefault(entry.task, entry)
        bodies = [entry for entry in first.values() if entry.what is ContentKind.BODY]
        done: list[str] = []
        for start in range(0, len(bodies), TOGETHER):
            if self._abandoned or len(bodies) == 1:
                break
            some = bodies[start : start + TOGETHER]
            try:
                facts = self._read(partial(_facts_of, entries=some))
                given = [(entry, found) for entry, found in zip(some, facts, strict=True) if found is not None]
                done += [entry.token for entry in self.vault.take_new(given)]
            except Exception:
                break  # one by one it is told which of them cannot be brought there, and why
        return done

    def _wait(self, entry: Entry, reason: str) -> None:
        if self.waiting.get(entry.token) != reason:
            _logger().error("content waits in the spool", task=entry.task, what=entry.what, reason=reason)
            self._log(entry, Kind.VAULT_UNREADABLE, str(self.vault.spool.folder), reason)
        self.waiting[entry.token] = reason
        self._late[entry.token] = entry

    def _log(self, entry: Entry, kind: Kind, path: str, reason: str) -> None:
        try:
            self._tell(partial(_tell, entry=entry, kind=kind, path=path, reason=reason))
        except RuntimeError:
            _logger().warning("the ledger closes and cannot take an event", kind=kind, path=path, reason=reason)


def _logger() -> Any:
    import structlog  # 50 ms, which no command of the command line should pay

    return structlog.get_logger()


def _facts(tx: Tx, entry: Entry) -> Facts | None:
    """What to write the entry with; None when a later one has taken its place."""
    return None if contents.is_superseded(tx, entry) else contents.facts(tx, [get_task(tx, entry.task)])[0]


def _tell(tx: Tx, *, entry: Entry, kind: Kind, path: str, reason: str) -> None:
    task = get_task(tx, entry.task)
    tx.emit(kind, task, was=task.status.value, data={"path": path, "reason": reason, "content": entry.what})


def _facts_of(tx: Tx, *, entries: list[Entry]) -> list[Facts | None]:
    return [_facts(tx, entry) for entry in entries]
