"""One attempt that somebody else has claimed: what `shoal run-attempt` does, where an executor starts it.

The same attempt and the same beats as those of a worker; it begins at most once, and ends when the lease is lost.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import msgspec
import structlog

from shoal.adapters.processes.log_file import Follower
from shoal.errors import LeaseLost, NotFound, ServerUnreachable, StoreError
from shoal.ledger import Ledger
from shoal.model.task import FINISHED, Claim, Status, Task
from shoal.pause import SETUP_AT_FAULT
from shoal.worker.attempt import REPORT_SECONDS, Terms
from shoal.worker.beats import Beats
from shoal.worker.episodes import RETRY_LATER
from shoal.worker.processes import StopReason
from shoal.worker.workshop import Workshop

log = structlog.get_logger()
ASK_AGAIN_SECONDS = 1.0
LOOK_SECONDS = 0.2  # between looks at a log that is printed as it grows
FAILED = 1


class SingleAttempt:
    """Carries out a claim. `run` answers with the exit code: 0 completed, 75 given back, 78 given back because the
    set-up is at fault, 1 failed, 5 not ours any more, 7 nobody to report to.
    """

    def __init__(self, ledger: Ledger, claim: Claim, terms: Terms, *, lease_seconds: int) -> None:
        self._ledger = ledger
        self._terms = terms
        self._lease_seconds = lease_seconds
        self._workshop = Workshop(ledger, terms)
        self._ended = threading.Event()
        self._stopping = threading.Event()
        self._calls_to_stop: SimpleQueue[None] = SimpleQueue()
        self._claim = claim
        self.attempt = self._workshop.attempt(claim)

    def run(self) -> int:
        """Begin, work, report."""
        for watch in (self._heed, self._workshop.settle):
            threading.Thread(target=watch, name=f"shoal_{watch.__name__.strip('_')}", daemon=True).start()
        beats = Beats(
            self._ledger,
            worker=self._claim.worker,
            lease_seconds=self._lease_seconds,
            grace_seconds=self._terms.grace_seconds,
            running=lambda: [self.attempt],
            ended=self._ended,
        )
        try:
            before = self._begin()
            # The task as it is now: the claim that came along has only what fits into an environment.
            self.attempt = self._workshop.attempt(msgspec.structs.replace(self._claim, task=before))
            beats.start()
            if not self._calls_to_stop.empty():
                self._workshop.give_up.set()
            worker = threading.Thread(target=self.attempt.run, name=before.task_id)
            worker.start()
            worker.join()
            code = self._exit_code(before)
            if self.attempt.fault is not None:
                log.error("the set-up is at fault, no task's", reason=self.attempt.fault)
                code = SETUP_AT_FAULT
        except (LeaseLost, NotFound) as error:
            log.warning("attempt not begun", reason=error.message)
            return LeaseLost.exit_code
        except (ServerUnreachable, StoreError) as error:
            log.error("nobody to report to", reason=error.message)
            return ServerUnreachable.exit_code
        finally:
            self._ended.set()
            self._workshop.close()
        if not (self._terms.settings.ephemeral or self._stopping.is_set()):
            # In a home for such attempts alone, a volume of pods, nobody else clears up.
            self._workshop.sweep()
        return code

    def stop(self) -> None:
        """Give the task back, after the grace time by force. May be called by a signal handler."""
        self._calls_to_stop.put(None)

    def _heed(self) -> None:
        self._calls_to_stop.get()
        self._stopping.set()
        self.attempt.stop(StopReason.RELEASED, self._terms.grace_seconds)
        self._ended.wait(REPORT_SECONDS)
        self._workshop.give_up.set()

    def _begin(self) -> Task:
        """Renew the lease, and see that nobody has begun this attempt before: a pod may be started twice."""
        claim = self._claim
        while True:
            try:
                self._ledger.tasks.beat(worker=claim.worker, lease_seconds=self._lease_seconds)
                task = self._ledger.tasks.get(claim.task.id)
                break
            except (ServerUnreachable, StoreError) as error:
                log.warning("beginning waits", reason=error.message)
                if self._workshop.give_up.wait(ASK_AGAIN_SECONDS):
                    raise
        if task.status is not Status.ACTIVE or (task.attempt, task.worker) != (claim.attempt, claim.worker):
            raise LeaseLost(f"{task.task_id} is {task.status.value}, and attempt {claim.attempt} no longer has it")
        if task.started_at is not None:
            raise LeaseLost(f"attempt {claim.attempt} of {task.task_id} has begun already, somewhere else")
        return task

    def _exit_code(self, before: Task) -> int:
        """How it ended, as the ledger has it."""
        after = self._ledger.tasks.get(before.id)
        if after.attempt != before.attempt or after.status is Status.CANCELLED:
            return LeaseLost.exit_code
        if after.status in {Status.COMPLETED, Status.REVIEW}:
            return 0
        if after.failures > before.failures or after.status in FINISHED:
            return FAILED
        if after.status is Status.ACTIVE:
            return ServerUnreachable.exit_code  # it could not be said
        return RETRY_LATER if after.releases > before.releases else LeaseLost.exit_code


def print_log(log_file: Path, ended: threading.Event) -> None:
    """Print a log as it grows, to its end."""
    with Follower(log_file) as follower:
        last = False
        while not last:
            last = ended.wait(LOOK_SECONDS)
            for data in follower.read():
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
