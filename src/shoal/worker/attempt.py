"""One attempt at a task: run the command, watch over it, report how it ended."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from shoal.errors import LeaseLost, NotFound, ServerUnreachable, StoreError
from shoal.ledger import Ledger
from shoal.model.task import Claim, Task
from shoal.worker.groups import Groups

log = structlog.get_logger()
RETRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
TAIL_BYTES = 4000
REPORT_WAIT_SECONDS = 1.0


class Terms(Struct, frozen=True):
    """How commands are run."""

    command: list[str]
    logs: Path
    grace_seconds: float
    timeout_seconds: int | None
    retry_later_seconds: int


class Attempt:
    """A claimed task and the command that works on it."""

    def __init__(self, claim: Claim, *, ledger: Ledger, groups: Groups, terms: Terms, give_up: threading.Event) -> None:
        self.claim = claim
        self._ledger = ledger
        self._groups = groups
        self._terms = terms
        self._give_up = give_up
        self._stop_reason: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.log_file = terms.logs / f"{claim.task.task_id}.{claim.attempt}.log"

    def stop(self, reason: str, grace_seconds: float) -> None:
        """End the command: `lost` when the task is no longer ours, `released` to give it back."""
        with self._lock:
            self._stop_reason = self._stop_reason or reason
            process = self._process
        if process is not None and process.poll() is None:
            self._groups.end(process, grace_seconds)

    def run(self) -> None:
        """Run the command to its end and report it."""
        task = self.claim.task
        task_log = log.bind(task=task.task_id, attempt=self.claim.attempt)
        try:
            self._report(lambda: self._ledger.tasks.start(task.id, attempt=self.claim.attempt))
            code = self._run_command()
            self._report_end(code)
            task_log.info("attempt ended", exit_code=code, stopped=self._stop_reason)
        except (LeaseLost, NotFound) as error:
            task_log.warning("attempt lost", reason=error.message)
        except Exception:
            task_log.exception("attempt broke")

    def _run_command(self) -> int | None:
        """The exit code; None when the time was up."""
        task = self.claim.task
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile() as given, self.log_file.open("ab") as output:
            given.write(msgspec.json.encode(self.claim))
            given.seek(0)
            with self._lock:
                if self._stop_reason is not None:
                    return None
                try:
                    self._process = self._groups.start(
                        self._terms.command,
                        stdin=given,
                        output=output,
                        environment=_environment(self.claim, self._ledger.actor),
                        folder=None,
                    )
                except OSError as error:
                    output.write(f"cannot start {self._terms.command[0]}: {error}\n".encode())
                    return 127
            try:
                timeout = task.timeout_seconds or self._terms.timeout_seconds
                return self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._stop_reason = f"timed out after {timeout} s"
                return None
            finally:
                self._groups.end(self._process, self._terms.grace_seconds)

    def _report_end(self, code: int | None) -> None:
        tasks, task, attempt = self._ledger.tasks, self.claim.task.id, self.claim.attempt
        tail = read_tail(self.log_file)
        reason = self._stop_reason
        if reason == "lost":
            return
        if reason == "released":
            self._report(lambda: tasks.release(task, attempt=attempt, reason="the worker was stopped"))
        elif reason is not None:
            self._report(lambda: tasks.fail(task, attempt=attempt, error=f"{reason}\n{tail}".strip()))
        elif code == 0:
            result = {"exit_code": 0, "log": str(self.log_file)}
            self._report(lambda: tasks.complete(task, attempt=attempt, summary=tail or None, result=result))
        elif code == RETRY_LATER:
            delay = self._terms.retry_later_seconds
            self._report(
                lambda: tasks.release(task, attempt=attempt, delay_seconds=delay, reason=f"exit {code}\n{tail}".strip())
            )
        else:
            self._report(lambda: tasks.fail(task, attempt=attempt, error=f"exit {code}\n{tail}".strip()))

    def _report(self, say: Callable[[], Task]) -> None:
        """Say it until it is heard, LeaseLost says that it is too late, or the worker must end."""
        while True:
            try:
                say()
                return
            except (ServerUnreachable, StoreError) as error:
                log.warning("report waits", task=self.claim.task.task_id, reason=error.message)
                if self._give_up.wait(REPORT_WAIT_SECONDS):
                    raise


def read_tail(path: Path) -> str:
    """The last lines of a file, as much as a task keeps."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode(errors="replace").replace("\x00", "")
    except OSError:
        return ""
    return (text.partition("\n")[2] if size > TAIL_BYTES else text).strip()


def _environment(claim: Claim, actor: str) -> dict[str, str]:
    task = claim.task
    given: dict[str, Any] = {
        "ID": task.task_id,
        "NUMBER": task.id,
        "TITLE": task.title,
        "TYPE": task.type,
        "QUEUE": task.queue,
        "PRIORITY": task.priority,
        "ATTEMPT": claim.attempt,
        "KEY": claim.key,
        "LABELS": " ".join(task.labels),
        "REPOS": " ".join(task.repos),
        "MODEL": task.model or "",
        "WORKFLOW": task.workflow or "",
    }
    named = {f"SHOAL_TASK_{name}": str(value) for name, value in given.items()}
    return dict(os.environ) | named | {"SHOAL_ACTOR": actor}
