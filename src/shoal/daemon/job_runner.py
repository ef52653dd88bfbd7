"""Runs what jobs do: programs in process groups of their own, built-ins in this process. What is due: scheduler.py.

A run ends with its time, when it is cancelled, when its server stops, and, by the keeper of its group, when that dies.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import structlog
from msgspec import Struct

from shoal.adapters.processes.groups import Groups
from shoal.adapters.processes.log_file import LogFile
from shoal.clock import monotonic_seconds
from shoal.daemon.built_ins import BUILT_INS, Context
from shoal.daemon.check_journal import CheckJournal
from shoal.errands.check_output import CheckOutput
from shoal.errands.checking import order, seen
from shoal.errands.programs import command_line, missing
from shoal.errands.projects import checkout_of
from shoal.errors import BadInput, ShoalError, StoreError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.built_in import options_of
from shoal.model.check import Check, Findings, FindingsReport
from shoal.model.job import BuiltIn, Cause, Claimed, Definition, Program, Run, RunStatus
from shoal.services import checks, runs
from shoal.settings import Home

log = structlog.get_logger()
GRACE_SECONDS = 5.0
NOTICE_SECONDS = 0.1
RETRY_SECONDS = 2.0
CHUNK_BYTES = 65_536
STOPPED = "the server stopped"


class Ended(Struct, frozen=True):
    """How a run ended, and what it found if it is a check's."""

    status: RunStatus
    exit_code: int | None = None
    reason: str | None = None
    found: Findings | None = None


class Sink(Protocol):
    """Where the output of a run goes."""

    @property
    def tail(self) -> str:
        """The end of it."""
        ...

    def write(self, data: bytes) -> None:
        """Take the next part of it."""
        ...


class JobRunner:
    """The runs of one server, a thread each."""

    def __init__(self, engine: EmbeddedEngine, home: Home, *, url: str | None = None) -> None:
        """`url` is where this server listens, if it does."""
        self.server = engine.sources.server
        self.logs = home.logs / "jobs"
        self._engine = engine
        self._home = home
        self._url = url
        self.freed = threading.Event()  # set whenever a run has ended
        self._groups: Groups | None = None
        self._lock = threading.Lock()
        self._under_way: dict[int, _UnderWay] = {}
        self._stopping = False

    @property
    def busy(self) -> int:
        """How many runs this server has."""
        return len(self._under_way)

    def start(self, claimed: Claimed) -> None:
        """Begin a run that this server has claimed."""
        with self._lock:
            if self._groups is None:
                self._groups = Groups()
            log_file = LogFile(Path(claimed.run.log or self.logs / f"{claimed.run.id}.log"))
            run = _UnderWay(claimed, log_file)
            if self._stopping:
                run.stop(RunStatus.ERROR, STOPPED)
            thread = threading.Thread(
                target=self._carry_out, args=(run, log_file), name=f"shoal-run-{claimed.run.id}", daemon=True
            )
            self._under_way[claimed.run.id] = run
            try:
                thread.start()
            except RuntimeError as error:  # no thread is to be had: others see that nobody has it, and end it
                del self._under_way[claimed.run.id]
                log.error("run cannot begin", job=claimed.run.job, run=claimed.run.run_id, reason=str(error))
                return
            run.thread = thread

    def beat(self) -> None:
        """Renew the runs and store what they wrote; end those that were cancelled, or taken from this server."""
        under_way = dict(self._under_way)
        if not under_way:
            return
        outputs = {id: text for id, run in under_way.items() if (text := run.news()) is not None}
        pulse = self._engine.write(lambda tx: runs.beat(tx, server=self.server, held=under_way, outputs=outputs))
        for id, run in under_way.items():
            if id in pulse.stop:
                run.stop(RunStatus.CANCELLED, None)
            elif id not in pulse.held:
                run.stop(RunStatus.ERROR, "it was taken from this server")

    def stop(self, seconds: float) -> None:
        """End all runs, waiting so long at most until that is in the ledger."""
        deadline = monotonic_seconds() + seconds
        with self._lock:
            self._stopping = True
            under_way = list(self._under_way.values())
        for run in under_way:
            run.stop(RunStatus.ERROR, STOPPED)
        for run in under_way:
            if run.thread is not None:
                run.thread.join(max(0.0, deadline - monotonic_seconds()))
        if self._groups is not None:
            self._groups.close()  # its keeper ends whatever is left

    def rehearse(self, definition: Definition, output: Sink) -> Ended:
        """Do here and now what a job does, and wait for its end; nothing of it is in the ledger.

        Its output goes to `output` as it comes.
        """
        now = self._engine.clock.now_ms()
        told = {"id": 0, "run_id": "R0", "job": definition.name, "slot": now, "due_at": now, "started_at": now}
        begun = {"cause": Cause.TRIGGER, "attempt": 1, "status": RunStatus.RUNNING, "actor": "shoal"}
        given: dict[str, Any] = dict.fromkeys(Run.__struct_fields__) | told | begun | {"server": self.server}
        run = Run(**given)
        self._groups = self._groups or Groups()
        try:
            return self._do(_UnderWay(Claimed(run, definition), output))
        finally:
            self._groups.close()

    def _carry_out(self, run: _UnderWay, log_file: LogFile) -> None:
        try:
            with log_file:
                ended = self._do(run)
                self._report(run, ended)
        finally:
            del self._under_way[run.claimed.run.id]
            self.freed.set()

    def _do(self, run: _UnderWay) -> Ended:
        action = run.claimed.definition.action
        if run.why is not None:
            return run.why
        try:
            if isinstance(action, Program):
                return self._run_program(run, action)
            if isinstance(action, BuiltIn):
                return self._run_built_in(run, action)
            if isinstance(action, Check):
                return self._run_check(run, action)
            return Ended(RunStatus.ERROR, reason="its job makes tasks now, and runs nothing")
        except Exception as error:
            log.exception("run failed", job=run.claimed.run.job, run=run.claimed.run.run_id)
            return Ended(RunStatus.ERROR, reason=f"{type(error).__name__}: {error}")

    def _report(self, run: _UnderWay, ended: Ended) -> None:
        """Tell the ledger, for as long as it takes: nobody else knows how the run ended."""
        while True:
            try:
                end = partial(
                    runs.end if ended.found is None else partial(checks.end_run, found=ended.found),
                    run=run.claimed.run.id,
                    server=self.server,
                    status=ended.status,
                    exit_code=ended.exit_code,
                    reason=ended.reason,
                    output=run.log.tail,
                )
                made = self._engine.write(end)
                if isinstance(made, FindingsReport):
                    run.log.write("".join(f"{line}\n" for line in made.lines).encode("utf-8", "replace"))
                return
            except StoreError as error:
                log.warning("run has ended, which the database does not take", reason=error.message)
                if self._stopping:
                    return
                threading.Event().wait(RETRY_SECONDS)
            except Exception as error:
                if ended.found is None:
                    raise
                log.exception("findings cannot be kept", job=run.claimed.run.job, run=run.claimed.run.run_id)
                ended = Ended(RunStatus.ERROR, ended.exit_code, f"its findings cannot be kept: {error}")

    def _run_built_in(self, run: _UnderWay, action: BuiltIn) -> Ended:
        function = BUILT_INS.get(action.name)
        if function is None:
            known = ", ".join(sorted(BUILT_INS)) or "none"
            return Ended(RunStatus.ERROR, reason=f"there is no built-in {action.name!r}; there are: {known}")
        try:
            options = options_of(action)  # made before this version, they may not be what it takes
        except ShoalError as error:
            return Ended(RunStatus.FAILED, reason=f"job {run.claimed.run.job}: {error.message}")

        def say(text: str) -> None:
            run.log.write(text.encode("utf-8", "replace"))

        context = Context(self._engine, self._home, run.claimed.run, options, run.told, say)
        limit = run.claimed.definition.timeout_seconds
        timer = threading.Timer(limit, run.stop, (RunStatus.TIMEOUT, f"stopped after {limit} s"))
        timer.daemon = True
        timer.start()
        try:
            say(function(context))
        except ShoalError as error:
            return run.why or Ended(RunStatus.FAILED, reason=error.message)
        finally:
            timer.cancel()
        return run.why or Ended(RunStatus.SUCCESS)

    def _run_program(self, run: _UnderWay, action: Program) -> Ended:
        folder = self._home.folder / Path(run.claimed.definition.folder or ".").expanduser()
        environment = self._environment(run.claimed)
        if (why := missing(action.command[0], folder, environment)) is not None:
            return Ended(RunStatus.ERROR, reason=why)
        return self._run_command(run, command_line(action.command), folder, environment, run.log.write)

    def _run_check(self, run: _UnderWay, action: Check) -> Ended:
        """A program as well: what it writes is taken for findings, and its errors go to the log."""
        definition = run.claimed.definition
        states = self._engine.read(partial(checks.list_, check=action.name, project=action.project))
        since = states[0].head if states else None
        root = checkout_of(self._home, self._engine.settings, action.project, definition.folder)
        environment = self._environment(run.claimed)
        if "://" not in self._engine.address:
            environment["SHOAL_DB"] = self._engine.address
        journal = CheckJournal(run.log.write)
        output = CheckOutput(lambda line: journal.write(f"{line}\n".encode("utf-8", "replace")))
        try:
            output.tell(seen(action, root=root, since=since))
            wanted = order(action, home=self._home, root=root, environment=environment, since=since)
        except BadInput as error:
            return Ended(RunStatus.ERROR, reason=error.message)
        read, write = os.pipe()
        listener = threading.Thread(target=journal.follow, args=(read,), daemon=True)
        listener.start()
        try:
            ended = self._run_command(
                run, wanted.command, wanted.folder, wanted.environment, output.write, errors=write
            )
        finally:
            os.close(write)
            listener.join(GRACE_SECONDS)
        output.close()
        well = ended.status is RunStatus.SUCCESS
        found = output.outcome(action, ended_well=well, run=run.claimed.run.id)
        said = output.remark if well else journal.last if run.why is None and journal.last else ended.reason
        return Ended(ended.status, ended.exit_code, said, found)

    def _run_command(
        self,
        run: _UnderWay,
        command: list[str],
        folder: Path,
        environment: Mapping[str, str],
        write: Callable[[bytes], None],
        *,
        errors: int | None = None,
    ) -> Ended:
        """`write` takes what it writes; errors go there too, or to a file."""
        assert self._groups is not None  # noqa: S101 - made before the first run
        try:
            process = self._groups.start(
                command,
                stdin=subprocess.DEVNULL,
                output=subprocess.PIPE,
                errors=errors,
                environment=environment,
                folder=folder,
            )
        except (OSError, ValueError) as error:
            said = (isinstance(error, OSError) and error.strerror) or error
            return Ended(RunStatus.ERROR, reason=f"{command[0]} cannot be started in {folder}: {said}")
        assert process.stdout is not None  # noqa: S101 - opened as a pipe
        with process.stdout as pipe:
            try:
                _follow(run, process, pipe, write)
            finally:
                self._groups.end(process, GRACE_SECONDS)
            _drain(pipe, write)
        if run.why is not None:
            return run.why
        if process.returncode == 0:
            return Ended(RunStatus.SUCCESS, 0)
        return Ended(RunStatus.FAILED, process.returncode, f"ended with {process.returncode}")

    def _environment(self, claimed: Claimed) -> dict[str, str]:
        secrets = self._engine.settings.secrets
        own = {name: value for name, value in os.environ.items() if name not in secrets}
        told = {
            "SHOAL_JOB": claimed.run.job,
            "SHOAL_RUN": claimed.run.run_id,
            "SHOAL_SLOT": str(claimed.run.slot),
            "SHOAL_HOME": str(self._home.folder),
        }
        if self._url is not None:
            told["SHOAL_URL"] = self._url
        # Python keeps what it prints to a pipe for itself, and loses it when it is ended.
        return {"PYTHONUNBUFFERED": "1"} | own | told | claimed.definition.environment


class _UnderWay:
    """A run, and why it is to end."""

    def __init__(self, claimed: Claimed, log: Sink) -> None:
        self.claimed = claimed
        self.log = log
        self.told = threading.Event()
        self.why: Ended | None = None
        self.thread: threading.Thread | None = None
        self.deadline = monotonic_seconds() + claimed.definition.timeout_seconds
        self._stored = ""

    def stop(self, status: RunStatus, reason: str | None) -> None:
        """Ask it to end; the first reason stays."""
        if self.why is None:
            self.why = Ended(status, reason=reason)
        self.told.set()

    def news(self) -> str | None:
        """The end of the output, if it is another one than when this was asked before."""
        tail = runs.tail(self.log.tail)
        if tail == self._stored:
            return None
        self._stored = tail
        return tail


def _follow(run: _UnderWay, process: subprocess.Popen[bytes], pipe: IO[bytes], write: Callable[[bytes], None]) -> None:
    """Take what it writes until it ends, or is to end."""
    os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        is_open = True
        # Not until the end of its output: a child that it left behind may keep that open.
        while process.poll() is None and not run.told.is_set():
            if monotonic_seconds() > run.deadline:
                run.stop(RunStatus.TIMEOUT, f"stopped after {run.claimed.definition.timeout_seconds} s")
            elif not is_open:
                run.told.wait(NOTICE_SECONDS)
            elif selector.select(NOTICE_SECONDS):
                is_open = _take(pipe, write)
                if not is_open:
                    selector.unregister(pipe)


def _drain(pipe: IO[bytes], write: Callable[[bytes], None]) -> None:
    """Take what is left, as far as the pipe holds it."""
    for _ in range(100):
        if not _take(pipe, write):
            return


def _take(pipe: IO[bytes], write: Callable[[bytes], None]) -> bool:
    try:
        data = os.read(pipe.fileno(), CHUNK_BYTES)
    except BlockingIOError:
        return False
    write(data)
    return bool(data)
