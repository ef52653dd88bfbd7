"""The loop that supervises: asks the ledger what is due, asks forge and executor about it, and tells the ledger.

Any number of servers may run it: one at a time makes a round, and whatever a round does looks again whether it still
holds. The rules are services/supervision.py and services/orphans.py.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Protocol

import msgspec
import structlog

from shoal.adapters.forges import github
from shoal.adapters.forges.forge import Forge
from shoal.daemon.inquiry import Inquiry, Left
from shoal.errors import ForgeError, LockLost, Refused, StoreError
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.session import Branch
from shoal.model.supervision import Action, Rule
from shoal.model.task import Task
from shoal.services import orphans, qa, supervision
from shoal.services.orphans import Remains
from shoal.settings import GITHUB_TOKEN, Settings

log = structlog.get_logger()
LOCK, LOCK_TTL_SECONDS = "supervision", 60
PROMISED_ROUNDS, PROMISED_SECONDS = 2, 90.0  # a round and what it may take, then orphans wait for nobody
FORGE_PATIENCE_MS = 3_600_000  # a forge that is away does not keep what is overdue alive for longer
REFUSALS_KEPT = 20
YOUNG_MS = 60_000  # who claims a task for a Job makes the Job a moment after


class Witness(Protocol):
    """What runs attempts elsewhere and can tell whether one is still there."""

    def gone(self, task: Task, attempt: int) -> bool | None:
        """Whether the process of an attempt is gone; None when that cannot be told, False for attempts of others."""
        ...


class Supervisor:
    """The rounds of one process."""

    def __init__(
        self, engine: EmbeddedEngine, forge: Forge | None = None, witness: Witness | None = None, remark: str = ""
    ) -> None:
        """`remark` says why there is no forge."""
        self._engine = engine
        self._forge = forge
        self._witness = witness
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._remarks: list[str] = [remark] if remark else []
        self._refused: dict[str, str] = {}
        self.done: list[str] = []

    def report(self) -> dict[str, object]:
        """Which forge is asked, and what cannot be supervised."""
        forge = None if self._forge is None else self._forge.address
        return {"forge": forge, "remarks": [*self._remarks, *self._refused.values()]}

    def begin(self) -> None:
        """Before anything takes back leases: promise to look after the orphans of the time when no server ran."""
        if self._forge is not None:
            with suppress(StoreError):  # the loops wait for a database, so the server does not fail for it
                self._promise(True)

    def tick(self) -> bool:
        """One round, unless another server makes one now: then False. What it did is in `done`, a line each.

        What went wrong is raised when all else is done.
        """
        self.done = []
        lock = Ledger(self._engine, actor="shoal").lock(
            LOCK, owner=self._owner, ttl_seconds=LOCK_TTL_SECONDS, quiet=True
        )
        # Who loses the lock meanwhile has done no harm: whatever is done looks again.
        with suppress(LockLost), ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except Refused:
                return False
            self._round()
        return True

    def close(self) -> None:
        """Let go of connections."""
        if self._forge is not None:
            self._forge.close()

    def _round(self) -> None:
        inquiry = None if self._forge is None else Inquiry(self._forge, self._engine.settings)
        problems: list[Exception] = []
        steps: list[Callable[[], object]] = [
            partial(self._look_after_orphans, inquiry),
            partial(self._look_for_the_gone, inquiry),
            partial(self._act_on_overdue, inquiry),
            self._end_sessions,
            self._investigate,
            self._follow_qa,
            self._report_stale,
        ]
        for step in steps:
            try:
                step()
            except Exception as error:  # the other rules go on
                problems.append(error)
        if inquiry is not None:
            self._note_refusals(inquiry)
            if inquiry.problem is not None:
                problems.append(inquiry.problem)
        if problems:
            raise problems[0]

    def _look_after_orphans(self, inquiry: Inquiry | None) -> None:
        """Those whose lease is over. Without a forge, or when it does not answer, they are left to the reaper."""
        if inquiry is None:
            return
        promised, decided = False, 0
        try:
            for task in self._pages(orphans.expired):
                state = self._gone(task)
                if state is None and not self._is_long_over(task):
                    continue
                decided += self._take_back(inquiry, task, gone=state is True)
            promised = inquiry.problem is None or (inquiry.is_slow and decided > 0)
        finally:
            self._promise(promised)

    def _look_for_the_gone(self, inquiry: Inquiry | None) -> None:
        """Those whose process is gone although their lease is not over."""
        if self._witness is None:
            return
        for task in self._pages(partial(orphans.held, held_ms=YOUNG_MS)):
            if self._witness.gone(task, task.attempt) is True:
                self._take_back(inquiry, task, gone=True)

    def _act_on_overdue(self, inquiry: Inquiry | None) -> None:
        after = 0
        while page := self._engine.read(partial(supervision.overdue, after=after)):
            for one in page:
                after = one.task.id
                now = self._engine.clock.now_ms()
                action = one.action(now, self._engine.settings)
                if action is None:
                    continue
                due_at = one.warn_at if action is Action.WARN else one.fail_at
                if inquiry is not None and self._is_proposed(inquiry, one.task, late_ms=now - due_at):
                    continue
                act = partial(supervision.act_on_overdue, task=one.task.id, attempt=one.task.attempt)
                if done := self._engine.write(act):
                    log.info("overtime", task=one.task.task_id, attempt=one.task.attempt, action=done)
                    how = "warned of" if done is Action.WARN else "failed"
                    self.done.append(f"{one.task.task_id}: attempt {one.task.attempt} {how}, it takes too long")

    def _is_proposed(self, inquiry: Inquiry, task: Task, *, late_ms: int) -> bool:
        """Whether an open pull request keeps an attempt from being overdue; for a while also when nobody knows."""
        found = inquiry.open_pull_requests(task, self._branches(task))
        return late_ms < FORGE_PATIENCE_MS if found is None else bool(found)

    def _take_back(self, inquiry: Inquiry | None, task: Task, *, gone: bool) -> bool:
        """Whether it could be decided; what cannot be asked about now comes back at the end of its lease."""
        remains = Remains()
        if inquiry is not None:
            left = inquiry.left(task, self._branches(task))
            if left is None:
                return False
            remains = _remains(left)
            for one in left.opened:
                self.done.append(f"{task.task_id}: {one.url} opened for {one.branch}")
        taken = self._engine.write(
            partial(orphans.take_back, task=task.id, attempt=task.attempt, gone=gone, left=remains)
        )
        if taken is not None:
            log.info("orphan", task=taken.task_id, attempt=task.attempt, status=taken.status.value)
            self.done.append(f"{taken.task_id}: attempt {task.attempt} taken back, now {taken.status.value}")
        return True

    def _gone(self, task: Task) -> bool | None:
        return False if self._witness is None else self._witness.gone(task, task.attempt)

    def _is_long_over(self, task: Task) -> bool:
        """Whether a lease has been over for so long that it alone decides, although an executor cannot be asked."""
        now = self._engine.clock.now_ms()
        return now - (task.leased_until or 0) > 1000 * self._promised_seconds()

    def _branches(self, task: Task) -> list[Branch]:
        found: list[Branch] = self._engine.read(partial(orphans.branches, task=task.id))
        return found

    def _promised_seconds(self) -> float:
        return PROMISED_ROUNDS * self._engine.settings.supervise_seconds + PROMISED_SECONDS

    def _promise(self, promised: bool) -> None:
        self._engine.write(partial(orphans.promise, seconds=self._promised_seconds() if promised else 0))

    def _note_refusals(self, inquiry: Inquiry) -> None:
        for place, reason in inquiry.refusals.items():
            if place not in self._refused:
                log.warning("repository cannot be looked into", repository=place, reason=reason)
        kept = {place: reason for place, reason in self._refused.items() if place not in inquiry.answered}
        self._refused = dict([*kept.items(), *inquiry.refusals.items()][-REFUSALS_KEPT:])

    def _pages(self, look: Callable[..., list[Task]]) -> Iterator[Task]:
        after = 0
        while page := self._engine.read(partial(look, after=after)):
            yield from page
            after = page[-1].id

    def _end_sessions(self) -> None:
        while lost := self._engine.write(orphans.lose_sessions):
            self.done.append(f"{lost} session(s) ended whose attempt was over")

    def _investigate(self) -> None:
        more = True
        while more:
            made, more = self._engine.write(orphans.investigate)
            if made:
                self.done.append(f"{made} investigation(s) made")

    def _follow_qa(self) -> None:
        more = True
        while more:
            changed, more = self._engine.write(qa.follow)
            self.done += changed

    def _report_stale(self) -> None:
        self.done += [f"{name}: reported stale" for name in self._engine.write(supervision.report_stale)]


def forge_of(settings: Settings) -> tuple[Forge | None, str]:
    """The forge that is configured, or why there is none."""
    try:
        forge = github.configured(settings.github_url, os.environ.get(GITHUB_TOKEN))
    except ForgeError as error:
        return None, error.message
    if forge is None:
        return (
            None,
            f"${GITHUB_TOKEN} is not set: pull requests are neither looked for nor opened, the other rules go on",
        )
    return forge, ""


def _remains(left: Left) -> Remains:
    new = {one.url for one in left.opened}
    said = [
        f"Its branch {one.branch} was ahead of {one.base}, so {one.url} was opened for it; it may not be finished."
        if one.url in new
        else f"Its pull request {one.url} is open."
        for one in left.pull_requests
    ]
    return Remains(
        pull_requests=[one.url for one in left.pull_requests],
        opened=[{"rule": Rule.ORPHAN.value, **msgspec.to_builtins(one)} for one in left.opened],
        message=" ".join([*said, *left.remarks]),
    )
