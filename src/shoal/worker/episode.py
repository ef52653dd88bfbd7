"""One episode of an agent: its program is started, its stream is read and reported, people's messages are passed on,
its end is awaited. What follows from the end is not decided here.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO

import structlog
from msgspec import Struct

from shoal.adapters.agents.agent import Agent, Assignment, Malformed
from shoal.adapters.processes.groups import Limits
from shoal.adapters.processes.log_file import LogFile
from shoal.clock import monotonic_seconds
from shoal.errors import LeaseLost, ServerUnreachable, StoreError
from shoal.model.cost import Usage
from shoal.model.session import Finished, Item, Outcome, Recorded, Said, Spent, Started, Told, ToolBegun, live_message
from shoal.worker.processes import Processes, StopReason

log = structlog.get_logger()
PULSE_SECONDS = 2.0  # how late a message or a stop may come
BATCH = 200  # items that are reported at once
LINE_LIMIT = 32 * 1024 * 1024  # bytes; agents send pictures in one line
DRAIN_SECONDS = 10.0  # for the threads that serve its pipes, once everything in its group has ended
LEAVE_SECONDS = 30.0  # for a program that has said its last word


class Ended(Struct, frozen=True, kw_only=True):
    """How an episode ended. `code` is the program's, None when it was ended from here; `reason` says why, where it was
    not by itself; `heard` is the newest of people's messages that the agent was given, and with `unheard` there are
    more; it `began` when its model answered or called a tool, or a call was paid.
    """

    outcome: Outcome
    code: int | None
    reason: str | None = None
    finished: Finished | None = None
    said: str | None = None
    provider_session: str | None = None
    heard: int = 0
    unheard: bool = False
    began: bool = False


class Episode:
    """An agent at work. `record` reports items, the number of unreadable lines, and the newest of people's messages
    that the agent was given; it answers with those behind that.
    """

    def __init__(
        self,
        agent: Agent,
        assignment: Assignment,
        *,
        processes: Processes,
        environment: Mapping[str, str],
        log_file: Path,
        limits: Limits,
        timeout_seconds: float | None,
        heard: int,
        record: Callable[[list[Item], int, int], Recorded],
        keep: Callable[[list[Item], int, int], None],
    ) -> None:
        self._agent = agent
        self._assignment = assignment
        self._processes = processes
        self._environment = environment
        self._log_file = log_file
        self._limits = limits
        self._timeout = timeout_seconds
        self._heard = heard
        self._unheard = False
        self._record = record
        self._keep = keep
        self._lock = threading.Lock()
        self._items: list[Item] = []
        self._malformed = 0
        self._woken = threading.Event()
        self._over = False
        self._ended = False
        self._to_agent: SimpleQueue[bytes | None] = SimpleQueue()
        self._provider_session = assignment.resumes
        self._finished: Finished | None = None
        self._said: str | None = None
        self._began = False
        self._earlier: set[str] = set()  # calls of the session before this episode, as far as its transcript has them

    def go(self) -> Ended:
        """Run to the end. Raises Stopped, OSError when the program cannot be started, and LeaseLost."""
        if self._assignment.resumes is not None:
            with suppress(OSError):
                items = self._agent.transcript(self._assignment, self._assignment.resumes)
                self._earlier = {item.usage.request_key for item in items if isinstance(item, Spent)}
        with LogFile(self._log_file) as log_file:
            process, threads = self._start(log_file)
            try:
                outcome, reason = self._watch()
                code = process.poll()
            except LeaseLost:
                self._processes.stop(StopReason.LOST, self._processes.grace_seconds)
                outcome, reason, code = Outcome.LOST, None, None
            finally:
                self._processes.end(process)
                self._to_agent.put(None)
                for thread in threads:
                    thread.join(DRAIN_SECONDS)
        self._finish()
        self._processes.check()
        if outcome is Outcome.COMPLETED and not (code == 0 or (self._finished is not None and self._finished.ok)):
            over = self._finished is not None and self._finished.over_limit
            outcome = Outcome.OVER_LIMIT if over else Outcome.FAILED
        return Ended(
            outcome=outcome,
            code=code,
            reason=reason,
            finished=self._finished,
            said=self._said,
            provider_session=self._provider_session,
            heard=self._heard,
            unheard=self._unheard,
            began=self._began,
        )

    def _start(self, log_file: LogFile) -> tuple[subprocess.Popen[bytes], list[threading.Thread]]:
        """Start the program, and the threads that serve its pipes."""
        agent = self._agent
        command = agent.command(self._assignment)
        from_errors, to_errors = os.pipe() if agent.separates_errors else (None, None)
        try:
            process = self._processes.start(
                command,
                environment=self._environment,
                folder=self._assignment.folder,
                stdin=subprocess.PIPE,
                output=subprocess.PIPE,
                errors=to_errors,
                limits=self._limits,
            )
        except BaseException:
            if from_errors is not None:
                os.close(from_errors)
            raise
        finally:
            if to_errors is not None:
                os.close(to_errors)
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - opened as pipes
        self._to_agent.put(agent.opening(self._assignment))
        if not agent.takes_messages:
            self._to_agent.put(None)
        threads = [
            threading.Thread(target=self._write, args=(process.stdin,), daemon=True),
            threading.Thread(target=self._read, args=(process.stdout, log_file), daemon=True),
            threading.Thread(target=self._await, args=(process,), daemon=True),
        ]
        if from_errors is not None:
            threads.append(threading.Thread(target=log_file.drain, args=(from_errors,), daemon=True))
        for thread in threads:
            thread.start()
        return process, threads

    def _watch(self) -> tuple[Outcome, str | None]:
        """Until the program has ended or must end: how, and why."""
        began = monotonic_seconds()
        leave: float | None = None
        while True:
            self._woken.wait(PULSE_SECONDS)
            self._woken.clear()
            stop = self._pulse()
            now = monotonic_seconds()
            if stop is not None:
                return Outcome.OVER_LIMIT, stop
            if self._ended:
                return Outcome.COMPLETED, None
            if self._timeout is not None and now - began > self._timeout:
                return Outcome.TIMED_OUT, f"timed out after {self._timeout:g} s"
            if self._over and leave is None:
                # What was said until now has been passed on by this pulse, or there was nothing.
                leave = now + LEAVE_SECONDS
                self._to_agent.put(None)
            if leave is not None and now > leave:
                return Outcome.COMPLETED, None

    def _pulse(self) -> str | None:
        """Report what came since the last time; why the episode must stop, if it must."""
        with self._lock:
            items, self._items = self._items, []
            malformed, self._malformed = self._malformed, 0
        stop = None
        while True:
            batch, items = items[:BATCH], items[BATCH:]
            try:
                answer = self._record(batch, malformed, self._heard)
            except (ServerUnreachable, StoreError) as error:
                log.warning("report waits", reason=error.message)
                with self._lock:
                    self._items = batch + items + self._items
                    self._malformed += malformed
                return None
            except LeaseLost:
                while items:  # what they cost is counted all the same
                    with suppress(LeaseLost):
                        self._record(items[:BATCH], 0, self._heard)
                    items = items[BATCH:]
                raise
            malformed = 0
            stop = answer.stop or stop
            self._hear(answer.told)
            if not items:
                return stop

    def _hear(self, told: list[Told]) -> None:
        """Pass on what the agent can take now; the rest waits for its next episode."""
        self._unheard = bool(told)
        if not self._agent.takes_messages or self._ended:
            return
        for one in told:
            if one.id > self._heard:
                self._over = False
                self._to_agent.put(self._agent.message(live_message(one.actor, one.text)))
                self._heard = one.id
        self._unheard = False

    def _finish(self) -> None:
        """Report what is left, with what the agent's own transcript has and the stream had not."""
        if self._provider_session is not None:
            try:
                more = list(self._agent.transcript(self._assignment, self._provider_session))
            except OSError as error:
                log.warning("transcript cannot be read", reason=str(error))
                more = []
            self._items += more
            for item in more:
                if isinstance(item, Spent):
                    self._note(item)
        try:
            self._pulse()
        except LeaseLost:
            self._processes.stop(StopReason.LOST, 0.0)
            return
        # Nobody listens: it waits on the disk, before whatever is told of the attempt next.
        while self._items:
            self._keep(self._items[:BATCH], self._malformed, self._heard)
            self._items, self._malformed = self._items[BATCH:], 0

    def _write(self, stdin: IO[bytes]) -> None:
        try:
            with stdin:
                while (text := self._to_agent.get()) is not None:
                    stdin.write(text)
                    stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it has ended, or does not want to hear more

    def _read(self, stdout: IO[bytes], log_file: LogFile) -> None:
        with stdout:
            while line := self._next_line(stdout):
                log_file.write(line)
                try:
                    items = list(self._agent.read(line))
                except Malformed:
                    with self._lock:
                        self._malformed += 1
                    continue
                with self._lock:
                    self._items += items
                    for item in items:
                        self._note(item)
                    # What was spent is reported at once: a worker that is killed takes with it what it has not said.
                    # By the session's name the rest is found then.
                    urgent = len(self._items) >= BATCH or any(isinstance(item, Spent | Started) for item in items)
                if urgent or self._over:
                    self._woken.set()

    def _next_line(self, stdout: IO[bytes]) -> bytes:
        try:
            return stdout.readline(LINE_LIMIT)
        except OSError as error:
            log.warning("output cannot be read", reason=error.strerror)
            return b""

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        # Not the end of its output: what it left running may keep that open.
        process.wait()
        self._ended = True
        self._woken.set()

    def _is_paid(self, usage: Usage) -> bool:
        return usage.is_paid and usage.request_key not in self._earlier

    def _note(self, item: Item) -> None:
        if isinstance(item, Started):
            self._provider_session = item.provider_session or self._provider_session
        elif isinstance(item, Said) and item.role == "assistant":
            self._said, self._began = item.text, True
        elif isinstance(item, Finished):
            self._finished = item
        elif isinstance(item, ToolBegun) or (isinstance(item, Spent) and self._is_paid(item.usage)):
            self._began = True
        if self._agent.is_over(item):
            self._over = True
