"""Claims tasks and lets an executor run them; looks after each attempt until nothing of it is left there.

Every attempt has a worker id of its own, so that it can beat for itself; until it has begun, the dispatcher does so.
Nothing is remembered that must survive: what runs is asked of the executor, who holds what of the ledger. A claim whose
spawn was not acknowledged is kept and spawned again, under the same name, until it is known to be there or refused.
When an attempt ends because the set-up is at fault, nothing is claimed for a while, as by a worker.
"""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from shoal.adapters.executors.executor import ENDED, Executor, Spawned, State
from shoal.clock import monotonic_seconds
from shoal.errors import AgentError, ExecutorError, ExecutorUnreachable, LeaseLost, LockLost, NotFound, ShoalError
from shoal.ledger import Ledger
from shoal.model.event import Kind
from shoal.model.task import Claim, Status, Task
from shoal.pause import SETUP_AT_FAULT, Pause
from shoal.settings import DispatchSettings

log = structlog.get_logger()
BEATS_PER_LEASE = 6
LEAD_SECONDS = 15  # how long a dispatcher that died keeps another one from acting
LEADS_PER_BEAT = 3
ENDING_SECONDS = 60.0  # for an attempt that no longer holds its task to end by itself
LOG_SECONDS = 60.0  # for a log that cannot be had now: with a node that is lost, it never can
REFUSED_SECONDS = 30  # between claims, after the executor refused one
# As a process of ours ends that is stopped before it can do anything about it; a shell or a pod adds 128.
STOPPED = frozenset({-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT})


class Dispatcher:
    """The attempts of one executor."""

    def __init__(
        self,
        ledger: Ledger,
        executor: Executor,
        orders: Callable[[], DispatchSettings],
        *,
        logs: Path,
        type: str | None = None,
        label: str | None = None,
        hold: Callable[[], object] = lambda: None,
        on_change: Callable[[str], None] | None = None,
        check: Callable[[], None] | None = None,
        pause: Pause | None = None,
    ) -> None:
        """`orders` are asked for at each use. `logs` is the folder for what attempts print; `type` and `label` narrow
        what is claimed, and while `hold` answers something nothing is. `check` raises AgentError when the set-up is
        seen to be at fault before anything is claimed.
        """
        self.id = secrets.token_hex(8)
        self._shared_ledger = ledger
        self._executor = executor
        self._current = orders
        self._logs = logs
        self._type = type
        self._label = label
        self._hold = hold
        self._say = on_change or (lambda _: None)
        self._check = check or (lambda: None)
        self.pause = pause or Pause()
        self._lock = threading.Lock()
        self._unacknowledged: dict[str, Claim] = {}  # by worker: claimed, and perhaps spawned
        self._starting: dict[str, tuple[str, int]] = {}  # by worker: spawned, and not begun
        self._first_seen: dict[tuple[str, str], float] = {}  # by worker and state, for what may not last
        self._refused_at = float("-inf")
        self._running: list[Spawned] = []  # as of the last look
        self._silent_until: dict[str, float] = {}  # by worker: its log could not be had
        self._fence: int | None = None
        self.is_empty = False

    @property
    def beat_seconds(self) -> float:
        """How often `beat` is to be called."""
        return min(self._orders.lease_seconds / BEATS_PER_LEASE, LEAD_SECONDS / LEADS_PER_BEAT)

    @property
    def _orders(self) -> DispatchSettings:
        return self._current()

    @property
    def _ledger(self) -> Ledger:
        agent = self._orders.agent
        return self._shared_ledger.acting_as(agent) if agent else self._shared_ledger

    def tick(self) -> None:
        """Look after what was spawned, then claim and spawn while there is room.

        Raises ExecutorUnreachable when the executor cannot be asked: then nothing was judged, and nothing claimed.
        """
        if not self._leads():
            self._running = []
            return
        spawned = self._executor.list()
        self._running = [one for one in spawned if one.state is State.RUNNING]
        for one in spawned:
            self._look_after(one)
        self._forget_others(spawned)
        for claim in list(self._unacknowledged.values()):
            self._spawn(claim)
        running = {one.worker for one in spawned if one.state not in ENDED}
        room = self._orders.limit - len(running | self._unacknowledged.keys() | self._starting.keys())
        took = self._claim(room) if room > 0 and self._may_claim() else 0
        self.is_empty = not took and not spawned and not self._unacknowledged and self._nothing_left()

    def beat(self) -> None:
        """Renew the leases of attempts that have not begun, and the lead. For a thread of its own."""
        with self._lock:
            waiting = {worker: (claim.task.task_id, claim.attempt) for worker, claim in self._unacknowledged.items()}
            waiting |= self._starting
        if self._fence is not None:
            with suppress(LockLost, NotFound):
                self._ledger.locks.renew(self._scope, owner=self.id, fence=self._fence, ttl_seconds=LEAD_SECONDS)
        for worker, (task, attempt) in waiting.items():
            beat = self._ledger.tasks.beat
            lost = beat(
                worker=f"{self._executor.name}:{worker}",
                tasks={task: attempt},
                lease_seconds=self._orders.lease_seconds,
            ).lost
            if lost:
                self._drop(worker)

    def follow(self) -> None:
        """Bring what attempts print into their logs while they run. For a thread of its own: a node may be silent."""
        running = self._running
        self._silent_until = {one.worker: self._silent_until.get(one.worker, 0.0) for one in running}
        for one in running:
            if monotonic_seconds() < self._silent_until[one.worker] or one not in self._running:
                continue
            try:
                self._executor.logs(one, self._log_file(one), last=False)
            except ExecutorError as error:
                self._silent_until[one.worker] = monotonic_seconds() + LOG_SECONDS
                log.warning("log waits", task=one.task, attempt=one.attempt, reason=error.message)

    def close(self) -> None:
        """Give back what was claimed and never acknowledged, and the lead. A stray attempt finds its lease lost.

        Where attempts end with their executor it is to be closed before: those that had not begun cannot give their
        tasks back themselves.
        """
        for claim in list(self._unacknowledged.values()):
            with suppress(ShoalError):
                reason = f"the dispatcher stopped before {self._executor.name} had started it"
                self._ledger.tasks.release(claim.task.id, attempt=claim.attempt, reason=reason)
        if self._executor.scope is None:
            for worker, (ref, attempt) in list(self._starting.items()):
                with suppress(ShoalError):
                    task = self._ledger.tasks.get(ref)
                    if self._holds(task, attempt, worker) and task.started_at is None:
                        reason = "the dispatcher stopped before it had begun"
                        self._ledger.tasks.release(task.id, attempt=attempt, reason=reason)
        if self._fence is not None:
            with suppress(ShoalError):
                self._ledger.locks.release(self._scope, owner=self.id, fence=self._fence, quiet=True)

    @property
    def _scope(self) -> str:
        return f"dispatch {self._executor.scope}"

    def _leads(self) -> bool:
        """Whether this is the dispatcher that acts; of those whose attempts outlive them, one at a time does."""
        if self._executor.scope is None:
            return True
        locks = self._ledger.locks
        if self._fence is not None:
            try:
                locks.renew(self._scope, owner=self.id, fence=self._fence, ttl_seconds=LEAD_SECONDS)
                return True
            except (LockLost, NotFound):
                self._fence = None
        outcome = locks.acquire(self._scope, owner=self.id, ttl_seconds=LEAD_SECONDS, quiet=True)
        if outcome.acquired:
            self._fence = outcome.lock.fence
            self._say(f"dispatching to {self._executor.scope}")
        return bool(outcome.acquired)

    def _look_after(self, one: Spawned) -> None:
        task = self._task(one.task)
        holding = task if task is not None and self._holds(task, one.attempt, one.worker) else None
        if one.state in ENDED:
            self._conclude(one, holding)
        elif holding is None:
            self._end(one, task)
        elif one.incomplete:
            if one.worker not in self._unacknowledged:
                self._give_back(one, holding)
        elif holding.started_at is None:
            self._await_beginning(one, holding)
        else:
            self._drop(one.worker)  # it beats for itself

    def _holds(self, task: Task, attempt: int, worker: str) -> bool:
        ours = task.worker == f"{self._executor.name}:{worker}"
        return ours and task.status is Status.ACTIVE and task.attempt == attempt

    def _task(self, ref: str) -> Task | None:
        try:
            return self._ledger.tasks.get(ref)
        except NotFound:
            return None

    def _conclude(self, one: Spawned, holding: Task | None) -> None:
        """An attempt has ended; what it did not report itself is said for it, then all of it is cleared away."""
        if not self._has_log(one):
            return
        if one.code == SETUP_AT_FAULT:
            self.pause.fault(self._why_given_back(one) or one.reason or "no reason was given")
        elif one.state is State.SUCCEEDED:
            self.pause.worked()
        if holding is not None:
            reason = one.reason or "no reason was given"
            with suppress(LeaseLost):
                if holding.started_at is None and one.code in STOPPED:
                    said = f"{self._executor.name} stopped it before it had begun: {reason}"
                    self._ledger.tasks.release(holding.id, attempt=one.attempt, reason=said)
                elif holding.started_at is None:
                    said = f"{self._executor.name} could not start it: {reason}"
                    self._ledger.tasks.fail(holding.id, attempt=one.attempt, error=said)
                else:
                    # Whether it is tried again, and with what, is for those who look after lost attempts.
                    said = f"{one.name} ended without a report: {reason}"
                    self._ledger.tasks.progress(holding.id, attempt=one.attempt, message=said)
            self._say(f"{one.task} attempt {one.attempt}: {said}")
        else:
            self._say(f"{one.task} attempt {one.attempt} ended")
        self._remove(one)

    def _why_given_back(self, one: Spawned) -> str | None:
        with suppress(NotFound):
            for event in self._ledger.events.list(task=one.task, kind=Kind.TASK_RELEASED.value, limit=1):
                if event.attempt == one.attempt:
                    return str(event.data.get("reason") or "") or None
        return None

    def _may_claim(self) -> bool:
        """Whether nothing is known to be wrong with the set-up."""
        if self.pause.seconds_left > 0:
            return False
        try:
            self._check()
        except AgentError as error:
            self.pause.fault(error.message)
            return False
        return True

    def _end(self, one: Spawned, task: Task | None) -> None:
        """An attempt runs that no longer holds its task: it ends by itself, is made to, or has been called off."""
        called_off = task is not None and task.status is Status.CANCELLED
        is_over = called_off or one.state is State.STARTING or self._lasted(one, "lost") > ENDING_SECONDS
        if is_over and self._has_log(one):
            self._say(f"{one.task} attempt {one.attempt} is ended: the task is no longer its own")
            self._remove(one)

    def _give_back(self, one: Spawned, holding: Task) -> None:
        """A dispatcher died while it spawned this; nobody has the claim to go on with."""
        self._remove(one)
        with suppress(LeaseLost):
            reason = "the dispatcher died while it was being started"
            self._ledger.tasks.release(holding.id, attempt=one.attempt, reason=reason)

    def _await_beginning(self, one: Spawned, holding: Task) -> None:
        """It has not begun: the lease is renewed for it, but not for ever."""
        if self._lasted(one, "starting") <= self._orders.start_seconds:
            with self._lock:
                self._starting[one.worker] = (one.task, one.attempt)
            return
        reason = one.reason or "it runs, but has not reached Shoal"
        said = f"{self._executor.name} did not start it within {self._orders.start_seconds} s: {reason}"
        if not self._has_log(one):
            return
        with suppress(LeaseLost):
            self._ledger.tasks.fail(holding.id, attempt=one.attempt, error=said)
        self._remove(one)

    def _claim(self, room: int) -> int:
        """Claim and spawn one after the other, so that a dispatcher that dies holds one claim at most."""
        took = 0
        if self._hold() or monotonic_seconds() - self._refused_at < REFUSED_SECONDS:
            return took
        for queue in self._orders.queues:
            while room > took:
                worker = secrets.token_hex(8)
                outcome = self._ledger.tasks.claim(
                    worker=f"{self._executor.name}:{worker}",
                    queue=queue,
                    lease_seconds=self._orders.lease_seconds,
                    type=self._type,
                    label=self._label,
                )
                if not outcome.claims:
                    break
                claim = outcome.claims[0]
                with self._lock:
                    self._unacknowledged[worker] = claim
                took += 1
                self._say(f"{claim.task.task_id} attempt {claim.attempt}: {claim.task.title}")
                self._spawn(claim)
        return took

    def _spawn(self, claim: Claim) -> None:
        """Start it, or find that it was started. Raises ExecutorError when neither is the case."""
        worker = claim.worker.partition(":")[2]
        if worker not in self._unacknowledged:  # lost meanwhile
            return
        try:
            self._executor.spawn(claim, {"SHOAL_ACTOR": claim.task.assignee or self._ledger.actor})
        except ExecutorUnreachable:
            raise
        except ExecutorError as error:
            self._refused_at = monotonic_seconds()
            self._drop(worker)
            with suppress(LeaseLost):
                self._ledger.tasks.release(
                    claim.task.id, attempt=claim.attempt, delay_seconds=REFUSED_SECONDS, reason=error.message
                )
            raise
        with self._lock:
            self._unacknowledged.pop(worker, None)
            self._starting[worker] = (claim.task.task_id, claim.attempt)

    def _remove(self, one: Spawned) -> None:
        self._executor.delete(one)
        self._drop(one.worker)

    def _drop(self, worker: str) -> None:
        with self._lock:
            self._unacknowledged.pop(worker, None)
            self._starting.pop(worker, None)

    def _forget_others(self, spawned: Sequence[Spawned]) -> None:
        """What was starting and is not there any more was deleted by somebody: its lease ends by itself."""
        present = {one.worker for one in spawned}
        with self._lock:
            for worker in self._starting.keys() - present:
                del self._starting[worker]
        for key in [key for key in self._first_seen if key[0] not in present]:
            del self._first_seen[key]

    def _lasted(self, one: Spawned, how: str) -> float:
        now = monotonic_seconds()
        return now - self._first_seen.setdefault((one.worker, how), now)

    def _has_log(self, one: Spawned) -> bool:
        """Collect the log; False when it should be tried once more."""
        try:
            self._executor.logs(one, self._log_file(one), last=True)
        except ExecutorError as error:
            if self._lasted(one, "log") < LOG_SECONDS:
                return False
            log.warning("log given up", task=one.task, attempt=one.attempt, reason=error.message)
        return True

    def _log_file(self, one: Spawned) -> Path:
        return self._logs / f"{one.task}.{one.attempt}.log"

    def _nothing_left(self) -> bool:
        """Whether nothing in these queues can become claimable."""
        counts = self._ledger.stats.get().queues
        open_tasks = ("queued", "scheduled", "active")
        return not any(counts.get(queue, {}).get(status) for queue in self._orders.queues for status in open_tasks)
