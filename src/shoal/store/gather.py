"""Group commit: writes that arrive together are committed together, one fsync for all.

A lone caller commits directly in its own thread; under contention a writer thread takes whatever has gathered. How a
batch is committed is the database's affair.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic

from shoal.store.database import Answer, Joint, Transaction, Work

BATCH_LIMIT = 256
PATIENCE_SECONDS = 0.0005


class Write(Generic[Answer]):
    """One piece of work on its way to being committed."""

    __slots__ = ("answer", "error", "future", "joint", "ready", "work")

    def __init__(self, work: Work[Answer], joint: Joint | None = None, future: Future[Answer] | None = None) -> None:
        self.work = work
        self.joint = joint
        self.future = future
        self.answer: Answer
        self.error: BaseException | None = None
        self.ready = threading.Lock()

    def deliver(self) -> None:
        """Hand the outcome to whoever waits for it."""
        if self.future is None:
            self.ready.release()
        elif self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)

    def outcome(self) -> Answer:
        """The answer, or the error raised."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # breaks the cycle error -> traceback -> this frame
        return self.answer


def carry_out(batch: list[Write[Any]], transaction: Transaction) -> None:
    """Do a batch inside one transaction: what can be joined as one, the rest one after the other.

    Raises whatever a single one raises: the batch is then rolled back, and each is run by itself.
    """
    joints: dict[Hashable, list[Write[Any]]] = {}
    for write in batch:
        if write.joint is None:
            write.answer = write.work(transaction)
        else:
            joints.setdefault(write.joint.kind, []).append(write)
    asked = []
    for joined in joints.values():
        joint = joined[0].joint
        assert joint is not None  # noqa: S101 - only writes with one are gathered here
        asked.append((joined, joint.run(transaction, [write.joint.item for write in joined if write.joint])))
    for joined, answers in asked:
        for write, answer in zip(joined, answers(), strict=True):
            if isinstance(answer, Exception):
                write.error = answer
            else:
                write.answer = answer


class Gatherer:
    """Brings writes to `commit`, which fills in each one's answer or error and never raises."""

    def __init__(self, commit: Callable[[list[Write[Any]]], None], name: str) -> None:
        self._commit = commit
        self._name = name
        self._turn = threading.Lock()
        self._callers = 0
        self._arrival = threading.Condition()
        self._arrived: list[Write[Any]] = []
        self._expected = 1
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Work[Answer], joint: Joint | None) -> Answer:
        """Commit the work and give its answer."""
        write = Write(work, joint)
        with self._arrival:
            self._callers += 1
            alone = self._callers == 1
        try:
            if alone and self._turn.acquire(blocking=False):
                try:
                    self._commit([write])
                finally:
                    self._turn.release()
            else:
                write.ready.acquire()
                self._enqueue(write)
                write.ready.acquire()
        finally:
            with self._arrival:
                self._callers -= 1
        return write.outcome()

    def submit(self, work: Work[Answer], joint: Joint | None) -> Future[Answer]:
        """Commit the work soon; the future tells."""
        future: Future[Answer] = Future()
        self._enqueue(Write(work, joint, future))
        return future

    def close(self) -> None:
        """Finish what has arrived and end the thread."""
        with self._arrival:
            self._closed = True
            self._arrival.notify()
        if self._thread is not None:
            self._thread.join()

    def _enqueue(self, write: Write[Any]) -> None:
        with self._arrival:
            if self._closed:
                raise RuntimeError("the ledger is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._drain, name=self._name, daemon=True)
                self._thread.start()
            self._arrived.append(write)
            if len(self._arrived) >= self._expected:
                self._arrival.notify()

    def _drain(self) -> None:
        while batch := self._gather():
            with self._turn:
                self._commit(batch)
            with self._arrival:
                self._expected = min(len(batch) + len(self._arrived), BATCH_LIMIT)
            for write in batch:
                write.deliver()

    def _gather(self) -> list[Write[Any]]:
        """The writes of the next commit; none when there will be no more.

        Those who were just answered tend to come back at once. Without waiting for them, only the half that waited
        meanwhile would go into the next commit, for ever.
        """
        with self._arrival:
            if not self._arrival.wait_for(self._enough, PATIENCE_SECONDS) and not self._arrived:
                self._expected = 1
                self._arrival.wait_for(self._enough)
            batch, self._arrived = self._arrived[:BATCH_LIMIT], self._arrived[BATCH_LIMIT:]
        # A caller may have given up meanwhile; once it is under way, it can no longer be cancelled.
        wanted = [write for write in batch if write.future is None or write.future.set_running_or_notify_cancel()]
        return wanted or (self._gather() if batch else [])

    def _enough(self) -> bool:
        return self._closed or len(self._arrived) >= self._expected
