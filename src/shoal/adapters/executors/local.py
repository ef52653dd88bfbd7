"""Attempts as processes beside the dispatcher, each in a group of its own. They end with it, however it ends.

`run-attempt --tied` ends when its standard input does, which a dead dispatcher no longer holds open; its reapers then
end what it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shoal.adapters.executors.executor import Spawned, State, carried, worker_name
from shoal.clock import monotonic_seconds
from shoal.errors import ExecutorError, ExecutorUnreachable
from shoal.model.task import Claim

KILL_SECONDS = 30.0  # after the request to end


class LocalExecutor:
    """The attempts of one process."""

    name = "local"
    scope: str | None = None

    def __init__(self, *, home: Path, logs: Path, arguments: Callable[[], Sequence[str]]) -> None:
        """`arguments` are those of `shoal run-attempt`, asked for with each."""
        self._home = home
        self._logs = logs
        self._arguments = arguments
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Claim, subprocess.Popen[bytes]]] = {}
        self._ending: list[tuple[subprocess.Popen[bytes], float]] = []

    def spawn(self, claim: Claim, environment: Mapping[str, str]) -> None:
        """Start a process; at most one per claim."""
        worker = worker_name(claim)
        given = {"SHOAL_HOME": str(self._home), "SHOAL_CLAIM": carried(claim)}
        with self._lock:
            if worker in self._running:
                return
            try:
                process = subprocess.Popen(  # noqa: S603 - our own program
                    [
                        sys.executable,
                        "-m",
                        "shoal",
                        "run-attempt",
                        "--tied",
                        "--logs",
                        str(self._logs),
                        *self._arguments(),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    env=dict(os.environ) | given | dict(environment),
                    start_new_session=True,
                )
            except OSError as error:
                raise ExecutorError(f"{claim.task.task_id}: no process can be started: {error}") from error
            self._running[worker] = (claim, process)

    def find(self, task: str, attempt: int) -> State:
        """How an attempt stands that was started here; of others nothing is known."""
        for one in self.list():
            if (one.task, one.attempt) == (task, attempt):
                return one.state
        raise ExecutorUnreachable(f"{task} attempt {attempt} is not a process of this dispatcher")

    def list(self) -> Sequence[Spawned]:
        """The processes that were started here."""
        self._reap()
        with self._lock:
            running = list(self._running.items())
        return [_spawned(worker, claim, process.poll()) for worker, (claim, process) in running]

    def logs(self, spawned: Spawned, path: Path, *, last: bool) -> None:
        """Nothing: the attempt wrote its log there itself."""

    def delete(self, spawned: Spawned) -> None:
        """Ask it to end; by force when it does not."""
        with self._lock:
            found = self._running.pop(spawned.worker, None)
            if found is not None:
                _ask_to_end(found[1])
                self._ending.append((found[1], monotonic_seconds() + KILL_SECONDS))

    def close(self) -> None:
        """Ask all to end, and wait until they have given back what they had."""
        with self._lock:
            processes = [process for _, process in self._running.values()] + [process for process, _ in self._ending]
            self._running.clear()
            self._ending.clear()
        for process in processes:
            _ask_to_end(process)
        deadline = monotonic_seconds() + KILL_SECONDS
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - monotonic_seconds()))
            _kill(process)

    def _reap(self) -> None:
        """Forget what has ended as it was asked to, and end what has not."""
        with self._lock:
            left = []
            for process, deadline in self._ending:
                if process.poll() is None and monotonic_seconds() > deadline:
                    _kill(process)
                if process.poll() is None:
                    left.append((process, deadline))
            self._ending = left


def _spawned(worker: str, claim: Claim, code: int | None) -> Spawned:
    return Spawned(
        name=f"{claim.task.task_id}.{claim.attempt}",
        task=claim.task.task_id,
        attempt=claim.attempt,
        worker=worker,
        state=State.RUNNING if code is None else State.FAILED if code else State.SUCCEEDED,
        reason=f"the process ended with {code}" if code else None,
        code=code,
    )


def _ask_to_end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - opened as a pipe
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The attempt itself; what it started ends by its reapers."""
    if process.poll() is None:
        process.kill()
        process.wait()
