"""Group commit: writes that arrive together are committed together, one fsync for all.

A lone caller commits directly in its own thread; under contention a writer thread takes whatever has gathered. More
than one writer is of use where the commit waits for another machine. How a batch is committed is the database's affair.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic

from shoal.store.database import Answer, Joint, Transaction, Work

BATCH_LIMIT = 256


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
    for joined in joints.values():
        joint = joined[0].joint
        assert joint is not None  # noqa: S101 - only writes with one are gathered here
        answers = joint.run(transaction, [write.joint.item for write in joined if write.joint])
        for write, answer in zip(joined, answers, strict=True):
            if isinstance(answer, Exception):
                write.error = answer
            else:
                write.answer = answer


class Gatherer:
    """Brings writes to `commit`, which fills in each one's answer or error and never raises."""

    def __init__(self, commit: Callable[[list[Write[Any]]], None], name: str, *, writers: int = 1) -> None:
        self._commit = commit
        self._name = name
        self._writers = writers
        self._arrived: SimpleQueue[Write[Any] | None] = SimpleQueue()
        self._turns = threading.BoundedSemaphore(writers)
        self._callers = 0
        self._count_lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def run(self, work: Work[Answer], joint: Joint | None) -> Answer:
        """Commit the work and give its answer."""
        write = Write(work, joint)
        with self._count_lock:
            self._callers += 1
            alone = self._callers == 1
        try:
            if alone and self._turns.acquire(blocking=False):
                try:
                    self._commit([write])
                finally:
                    self._turns.release()
            else:
                write.ready.acquire()
                self._enqueue(write)
                write.ready.acquire()
        finally:
            with self._count_lock:
                self._callers -= 1
        return write.outcome()

    def submit(self, work: Work[Answer], joint: Joint | None) -> Future[Answer]:
        """Commit the work soon; the future tells."""
        future: Future[Answer] = Future()
        self._enqueue(Write(work, joint, future))
        return future

    def close(self) -> None:
        """Finish what has arrived and end the thread."""
        with self._count_lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._arrived.put(None)
        for thread in threads:
            thread.join()

    def _enqueue(self, write: Write[Any]) -> None:
        if not self._threads:
            with self._count_lock:
                if not self._threads and not self._closed:
                    self._threads = [
                        threading.Thread(target=self._drain, name=f"{self._name}-{number}", daemon=True)
                        for number in range(self._writers)
                    ]
                    for thread in self._threads:
                        thread.start()
        if self._closed:
            raise RuntimeError("the ledger is closed")
        self._arrived.put(write)

    def _drain(self) -> None:
        ended = False
        while not ended:
            batch: list[Write[Any]] = []
            arrived = self._arrived.get()
            try:
                while arrived is not None:
                    # A caller may have given up meanwhile; once it is under way, it can no longer be cancelled.
                    if arrived.future is None or arrived.future.set_running_or_notify_cancel():
                        batch.append(arrived)
                    if len(batch) >= BATCH_LIMIT:
                        break
                    arrived = self._arrived.get_nowait()
                else:
                    ended = True
            except Empty:
                pass
            if batch:
                with self._turns:
                    self._commit(batch)
                for write in batch:
                    write.deliver()
