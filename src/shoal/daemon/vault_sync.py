"""Keeps the vault in step with the ledger: one cycle at a time over all servers, soon after something happened, and
now and then anyway for what people and the remote did. The cycle itself is vault_cycle.py.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import PurePosixPath
from time import sleep

import structlog

from shoal.adapters.git.repository import Git
from shoal.adapters.vault import setup
from shoal.clock import monotonic_seconds
from shoal.daemon.vault_cycle import Cycle, Report
from shoal.errors import GitError, NoVault, Refused, ShoalError, VaultError
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.event import Kind
from shoal.services import Tx, sync, tasks
from shoal.settings import VAULT_TOKEN

log = structlog.get_logger()
LOCK_TTL_SECONDS = 15
LOOK_SECONDS = 0.5
REST_SHARE = 10  # between prompt cycles: so many times as long as one takes
WAY_SHARE = 4  # within a cycle while others write: so many times as long as a batch took
GAP_SECONDS = 10.0  # between prompt cycles, so that a busy day does not make thousands of commits
RETRY_SECONDS = 5.0  # after a failed cycle; twice as long after each further one


class VaultSync:
    """The cycles of one process."""

    def __init__(self, engine: EmbeddedEngine, *, on_step: Callable[[str], None] | None = None) -> None:
        """`on_step` hears which step a cycle has come to."""
        if engine.settler is None:
            raise NoVault("there is no vault; name its folder: shoal vault init FOLDER")
        self._engine = engine
        self._settler = engine.settler
        self._say = on_step or (lambda _: None)
        self._told: set[tuple[str, str]] = set()
        self._looked = -1
        self._seconds = 0.0
        self._seen = 0
        self._ended = monotonic_seconds() - GAP_SECONDS
        self._failures = 0
        self._git = Git(
            self._settler.root,
            timeout_seconds=engine.settings.vault_git_seconds,
            token=os.environ.get(VAULT_TOKEN),
        )

    def run(self, *, on_batch: Callable[[float], None] = lambda _: None) -> Report:
        """One cycle. Raises Refused when another one does not end, and GitError with what went wrong."""
        began = monotonic_seconds()
        try:
            report = self._run(on_batch)
        except Refused:
            raise  # another cycle does not end: it will tell by itself
        except Exception as error:
            self._remember(error.message if isinstance(error, ShoalError) else f"{type(error).__name__}: {error}")
            raise
        finally:
            self._ended = monotonic_seconds()
            self._seconds = self._ended - began
        if report.problem is not None:
            raise GitError(report.problem)
        return report

    def wait(self, stopping: threading.Event) -> None:
        """Until a cycle is called for: something happened that people wait for, or enough time has passed."""
        settings = self._engine.settings
        began = monotonic_seconds()
        limit = float(settings.vault_sync_seconds)
        if self._failures:
            limit = min(limit, RETRY_SECONDS * 2 ** min(self._failures - 1, 10))
        while (left := limit - (monotonic_seconds() - began)) > 0 and not stopping.is_set():
            seconds = min(left, LOOK_SECONDS)
            self._engine.wait_for_events(max(0, self._looked), seconds, poll_seconds=seconds)
            if self._is_called_for():
                rest = max(settings.vault_sync_delay_seconds, REST_SHARE * self._seconds)
                gap = self._ended + GAP_SECONDS - monotonic_seconds()
                self._rest(stopping, min(max(rest, gap), left))
                return
            stopping.wait(0.05)

    def _rest(self, stopping: threading.Event, seconds: float) -> None:
        """Let more come together, unless somebody asks for a sync."""
        deadline = monotonic_seconds() + seconds
        while (left := deadline - monotonic_seconds()) > 0 and not self._is_asked_for():
            if stopping.wait(min(left, LOOK_SECONDS)):
                return

    def tick(self) -> None:
        """One cycle of the loop; after a failed one the next comes soon."""
        self._failures += 1
        self._seen = self._horizon()
        self.run(on_batch=self._make_way)
        self._failures = 0

    def _make_way(self, seconds: float) -> None:
        """While others write, take a part of the time only: what computes here holds up the requests (c. 40 %)."""
        seen, self._seen = self._seen, self._horizon()
        if self._seen > seen:
            sleep(WAY_SHARE * seconds)

    def _horizon(self) -> int:
        upto: int = self._engine.read(lambda tx: tx.horizon())
        return upto

    def _is_called_for(self) -> bool:
        def look(tx: Tx) -> tuple[bool, int]:
            horizon = tx.horizon()
            if self._looked < 0:
                self._looked = sync.position(tx)
            return sync.is_prompt(tx, self._looked, horizon), horizon

        called: bool
        called, self._looked = self._engine.read(look)
        return called

    def _is_asked_for(self) -> bool:
        def look(tx: Tx) -> bool:
            after = sync.position(tx)
            return Kind.SYNC_REQUESTED in sync.counted(tx, after, tx.horizon())

        asked: bool = self._engine.read(look)
        return asked

    def _run(self, on_batch: Callable[[float], None]) -> Report:
        settler, git = self._settler, self._git
        if (upto := self._nothing_to_do()) is not None:
            self._remember(None)
            return Report(position=upto)
        ledger = Ledger(self._engine, actor="shoal")
        owner = f"{socket.gethostname()}-{os.getpid()}"
        wait = 2.0 * LOCK_TTL_SECONDS
        with ledger.lock(sync.LOCK, owner=owner, ttl_seconds=LOCK_TTL_SECONDS, wait_seconds=wait, quiet=True):
            setup.ensure(settler.root, settler.vault.layout, git)
            settler.recover()
            report = Cycle(self._engine, settler.vault, git, on_step=self._say, on_batch=on_batch).run()
            self._remember(report.problem, commits=0 if report.commit is None else 1)
        self._tell(report)
        return report

    def _nothing_to_do(self) -> int | None:
        """Where the log stands, when neither it nor the vault has anything new and there is no remote to ask."""
        git = self._git
        if not git.exists:
            if self._engine.read(sync.position) > 0:
                raise VaultError(
                    f"the vault {self._settler.root} has vanished; bring the folder back, "
                    "or `shoal vault init` to begin again without its bodies, results and notes"
                )
            return None

        def look(tx: Tx) -> tuple[int, int, bool]:
            after, upto = sync.position(tx), tx.horizon()
            quiet = sync.counted(tx, after, upto).keys() <= sync.SILENT and not sync.asks_for_everything(
                tx, after, upto
            )
            return after, upto, quiet and sync.is_whole(tx, after)

        after: int
        upto: int
        after, upto, quiet = self._engine.read(look)
        if not quiet or self._settler.waiting or git.remote() or git.commit_of("HEAD") is None or git.changed():
            return None
        if upto > after:
            self._engine.write(lambda tx: sync.move(tx, sync.CURSOR, upto))
        return upto

    def _remember(self, error: str | None, *, commits: int = 0) -> None:
        def remember(tx: Tx) -> None:
            was = sync.recall(tx)
            if error is None:
                outcome = sync.SyncHistory(last_sync=tx.now, commits=was.commits + commits)
            else:
                outcome = sync.SyncHistory(
                    was.last_sync, last_error=error, failed_at=tx.now, commits=was.commits + commits
                )
            sync.remember(tx, outcome)

        self._engine.write(remember)

    def _tell(self, report: Report) -> None:
        """Write into the log what people should look at, each thing once."""

        def tell(tx: Tx) -> None:
            layout, prefix = self._settler.vault.layout, self._engine.identity.prefix
            for conflict in report.conflicts:
                number = layout.number_of(PurePosixPath(conflict.path), prefix)
                _emit(tx, Kind.VAULT_CONFLICT, number, conflict.path, conflict.reason)
            for trouble in report.troubles:
                if (trouble.path, trouble.reason) not in self._told:
                    _emit(tx, Kind.VAULT_UNREADABLE, trouble.task, trouble.path, trouble.reason)

        if report.conflicts or report.troubles:
            self._engine.write(tell)
            self._told |= {(trouble.path, trouble.reason) for trouble in report.troubles}
        for healed in report.healed:
            log.warning("vault healed", what=healed)


def _emit(tx: Tx, kind: Kind, number: int | None, path: str, reason: str) -> None:
    """Tell of a file; of its task, where it is a task's."""
    found = [] if number is None else tasks.by_numbers(tx, [number])
    task = found[0] if found else None
    told = {"path": path.encode(errors="replace").decode(), "reason": reason}
    tx.emit(kind, task, was=None if task is None else task.status.value, data=told)
