"""One attempt at a task: prepare its folder, let its agent work, report how it ended, clean up."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from msgspec import Struct

from shoal.adapters.processes.commands import Commands, RunCommand
from shoal.adapters.processes.groups import Groups, Limits
from shoal.errors import (
    AgentError,
    LeaseLost,
    NotFound,
    NoVault,
    ServerUnreachable,
    ShoalError,
    StoreError,
    WorkspaceError,
)
from shoal.ledger import Ledger
from shoal.ledger.outbox import VARIABLE, Outbox
from shoal.model.task import Claim
from shoal.settings import Settings
from shoal.worker.choice import ON_THE_SPOT, Choice, choose, objection, on_the_spot
from shoal.worker.conclusion import Conclusion, How
from shoal.worker.episodes import ERROR_LIMIT, Episodes, Work
from shoal.worker.logins import Logins
from shoal.worker.open_episodes import OpenEpisodes
from shoal.worker.preparation import Rescued
from shoal.worker.processes import Processes, Stopped, StopReason
from shoal.worker.reports import Reports
from shoal.worker.workspace import Workspace
from shoal.worker.workspaces import Workspaces

log = structlog.get_logger()
REPORT_SECONDS = 5.0  # for the last report of an attempt that is stopped, beside the grace time
OF_THE_LEDGER = (LeaseLost, NotFound, ServerUnreachable, StoreError)


class Terms(Struct, frozen=True):
    """How a worker runs its agents. `folder` is for workspaces, mirrors and files of episodes; a `command` of its own
    stands in for the agents that are configured, and `agent` names the one of them that takes every task.
    """

    settings: Settings
    folder: Path
    logs: Path
    grace_seconds: float
    timeout_seconds: int | None
    retry_later_seconds: int
    command: list[str] = []
    agent: str | None = None


class Attempt:
    """A claimed task and the agent that works on it."""

    def __init__(
        self,
        claim: Claim,
        *,
        ledger: Ledger,
        groups: Groups,
        terms: Terms,
        workspaces: Workspaces,
        open_episodes: OpenEpisodes,
        outbox: Outbox,
        give_up: threading.Event,
    ) -> None:
        self.claim = claim
        self._ledger = ledger
        self._terms = terms
        self._workspaces = workspaces
        self._open_episodes = open_episodes
        waits = terms.settings.unreachable_seconds
        self._reports = Reports(ledger, outbox=outbox, waits=waits, give_up=give_up, task=claim.task.task_id)
        self._processes = Processes(groups, grace_seconds=terms.grace_seconds)
        self._name = f"{claim.task.task_id}.{claim.attempt}"
        self._home = terms.folder / "episodes" / self._name
        self._result_file = self._home / "result.json"
        self.log_file = terms.logs / f"{self._name}.log"
        self._seal = secrets.token_hex(16)  # the agent, which knows the attempt, cannot say itself that it is done
        self.fault: str | None = None  # what the worker's set-up lacks, where the attempt could not be made for it
        self._agent: str | None = None
        self.worked = False  # whether its agent could do its work, well or badly

    def stop(self, reason: StopReason, grace_seconds: float) -> None:
        """End the work."""
        self._processes.stop(reason, grace_seconds)

    def run(self) -> None:
        """Work to the end and report it."""
        task = self.claim.task
        task_log = log.bind(task=task.task_id, attempt=self.claim.attempt)
        try:
            self._reports.tell("tasks.start", task=task.id, attempt=self.claim.attempt)
            self._open_episodes.settle(task.task_id)
            conclusion = self._come_to_a_conclusion()
            if conclusion is None:
                task_log.warning("attempt lost")
                return
            if conclusion.fault:
                self.fault = conclusion.text
            try:
                self._conclude(conclusion)
            except OF_THE_LEDGER:
                raise
            except ShoalError as error:  # what came of it is not such that the ledger takes it
                self._conclude(Conclusion(how=How.FAIL, text=error.message))
            why = {} if conclusion.is_done else {"reason": _in_short(conclusion.text)}
            task_log.info("attempt ended", how=conclusion.how.value, agent=self._agent, **why)
        except (LeaseLost, NotFound) as error:
            task_log.warning("attempt lost", reason=error.message)
        except Exception:
            task_log.exception("attempt broke")
        finally:
            shutil.rmtree(self._home, ignore_errors=True)

    def _come_to_a_conclusion(self) -> Conclusion | None:
        """Work, whatever goes wrong; None when the task is no longer ours."""
        try:
            return self._work()
        except Stopped as stopped:
            if stopped.reason is StopReason.LOST:
                return None
            return Conclusion(how=How.RELEASE, text="the worker was stopped")
        except OF_THE_LEDGER:
            raise
        except AgentError as error:
            if isinstance(error, WorkspaceError):
                return Conclusion(how=How.FAIL, text=error.message)
            return Conclusion(how=How.RELEASE, text=error.message, fault=True)
        except ShoalError as error:
            return Conclusion(how=How.FAIL, text=error.message)
        except Exception as error:
            log.exception("attempt broke", task=self.claim.task.task_id, attempt=self.claim.attempt)
            return Conclusion(how=How.FAIL, text=f"the worker broke: {error!r}")

    def _work(self) -> Conclusion:
        task = self.claim.task
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._home.mkdir(parents=True, exist_ok=True)
        refused = objection(task, self._terms.settings)
        if refused is not None:
            return Conclusion(how=How.FAIL, text=refused, permanent=True)
        choice = self._choose()
        self._agent = choice.name
        limits = Limits(memory_mb=choice.settings.max_memory_mb, open_files=choice.settings.max_open_files)
        logins = Logins(self.claim, self._ledger, self._reports.ask)
        environment = self._environment(choice, logins)
        run_command = Commands(
            self._processes,
            log=self.log_file,
            environment=environment,
            limits=limits,
            grace_seconds=self._terms.grace_seconds,
            check=self._processes.check,
        )
        workspace = self._prepare(run_command, logins)
        over = False
        try:
            conclusion = self._episodes(choice, workspace, environment, limits, run_command).run()
            self._processes.check()
            self.worked = not conclusion.fault
            # One that never began has nothing to look at either.
            over = conclusion.is_done or conclusion.fault
        except AgentError as error:
            over = not isinstance(error, WorkspaceError)
            raise
        finally:
            workspace.close(remove=over)
            for note in workspace.take_notes():
                log.info("workspace", task=task.task_id, note=note)
        return conclusion

    def _episodes(
        self,
        choice: Choice,
        workspace: Workspace,
        environment: dict[str, str],
        limits: Limits,
        run_command: RunCommand,
    ) -> Episodes:
        work = Work(
            claim=self.claim,
            choice=choice,
            actor=self._actor(choice),
            workspace=workspace,
            environment=environment | workspace.environment | {"SHOAL_WORKSPACE": str(workspace.folder)},
            limits=limits,
            home=self._home,
            log_file=self.log_file,
            result_file=self._result_file,
            seal=self._seal,
            timeout_seconds=self._terms.timeout_seconds,
        )
        return Episodes(
            work,
            ledger=self._ledger,
            settings=self._terms.settings,
            processes=self._processes,
            run_command=run_command,
            open_episodes=self._open_episodes,
            reports=self._reports,
        )

    def _choose(self) -> Choice:
        if not self._terms.command:
            return choose(self.claim.task, self._terms.settings, agent=self._terms.agent)
        return Choice(ON_THE_SPOT, on_the_spot(self._terms.command), self.claim.task.model)

    def _prepare(self, run_command: RunCommand, logins: Logins) -> Workspace:
        """The folder of the attempt; a command of the worker's own runs where the worker does, unless there is code."""
        task = self.claim.task
        if self._terms.command and not task.repos:
            return Workspace.in_place(Path.cwd())
        earlier = self._reports.ask(lambda: self._ledger.tasks.sessions(task.id))
        try:
            return self._workspaces.prepare(
                task,
                self.claim.attempt,
                branches=[branch for session in reversed(earlier) for branch in session.branches],
                rescued=self._rescued() if task.repos else [],
                token=logins.of,
                run_command=run_command,
                stop=lambda: self._processes.stop_reason is not None,
                late=self._processes.is_late,
            )
        except WorkspaceError:
            self._processes.check()  # it may be for this that it could not be made
            raise

    def _rescued(self) -> list[Rescued]:
        """What earlier attempts could not push, and how to get it."""
        task = self.claim.task.id

        def fetch(file: str) -> bytes:
            data: bytes = self._reports.ask(lambda: self._ledger.tasks.rescued_file(task, file=file)).data
            return data

        return [
            Rescued(f"{one.task_id}.{one.attempt}", one.repository, one.branches, partial(fetch, one.file))
            for one in self._reports.ask(lambda: self._ledger.tasks.rescues(task))
            if one.file is not None and one.branches
        ]

    def _conclude(self, conclusion: Conclusion) -> None:
        """Tell the ledger how it ended; a task's page first, which only the attempt that holds the task may write."""
        tell = partial(self._reports.tell, task=self.claim.task.id, attempt=self.claim.attempt)
        text = conclusion.text
        if conclusion.is_done:
            self._report(conclusion)
            end = "tasks.complete" if conclusion.how is How.COMPLETE else "tasks.submit"
            tell(end, summary=text or None, result=conclusion.result, seal=self._seal)
        elif conclusion.how is How.RELEASE:
            delay = 0 if self._processes.stop_reason else self._terms.retry_later_seconds
            tell("tasks.release", delay_seconds=delay, reason=text)
        else:
            tell("tasks.fail", error=_cut(text), permanent=conclusion.permanent)

    def _report(self, conclusion: Conclusion) -> None:
        """Write what came of it into the task's page, where there is a vault."""
        if not conclusion.report:
            return
        claim = self.claim
        given = {"text": conclusion.report, "pull_requests": conclusion.pull_requests}
        try:
            self._reports.tell("tasks.result", task=claim.task.id, attempt=claim.attempt, **given)
        except NoVault:
            log.debug("no vault to report to", task=claim.task.task_id)

    def _environment(self, choice: Choice, logins: Logins) -> dict[str, str]:
        claim, task = self.claim, self.claim.task
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
            "MODEL": choice.model or "",
            "WORKFLOW": task.workflow or "",
        }
        named = {f"SHOAL_TASK_{name}": str(value) for name, value in given.items()}
        place = {"SHOAL_RESULT_FILE": str(self._result_file)}
        address = self._ledger.address
        where = {"SHOAL_URL": address} if address.startswith("http") else {"SHOAL_HOME": str(self._terms.folder)}
        secrets = self._terms.settings.secrets
        own = logins.environment({name: value for name, value in os.environ.items() if name not in secrets})
        kept = {VARIABLE: str(self._terms.folder)}
        return own | named | place | where | kept | {"SHOAL_ACTOR": self._actor(choice)}

    def _actor(self, choice: Choice) -> str:
        """Who an agent is in the ledger, so that its notes are its own: by its name, unless it has none."""
        return self._ledger.actor if self._terms.command else choice.name


def _cut(text: str) -> str:
    """The beginning of an error says what it is, its end says most."""
    return text if len(text) <= ERROR_LIMIT else f"{text[:500]} … {text[503 - ERROR_LIMIT :]}"


def _in_short(text: str) -> str:
    """The first line, with the first of what it announces: `these do not hold: tests pass: exit 1`."""
    first, *others = text.strip().split("\n")
    return f"{first} {others[0].removeprefix('- ')}" if others and first.endswith(":") else first
