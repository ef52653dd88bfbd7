"""The work of one attempt: the agent is run, what it did is kept and checked, and it is run again until the success
criteria hold. How that is told to the ledger in the end: attempt.py.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from shoal.adapters import agents
from shoal.adapters.agents.agent import Agent, Assignment
from shoal.adapters.processes.commands import RunCommand
from shoal.adapters.processes.groups import Limits
from shoal.adapters.processes.log_file import read_tail
from shoal.errors import GitError, LeaseLost, ShoalError
from shoal.ledger import Ledger
from shoal.model.prompt import Failure, Prompt, Way
from shoal.model.session import Branch, Item, Outcome, Recorded, Session, Started, Told
from shoal.model.task import Claim, Task
from shoal.settings import Settings, WorkflowSettings
from shoal.worker.choice import Choice, configuration
from shoal.worker.conclusion import Conclusion, How
from shoal.worker.episode import Ended, Episode
from shoal.worker.judgement import checked, own_changes
from shoal.worker.open_episodes import OpenEpisodes, costs_of
from shoal.worker.processes import Processes, Stopped, StopReason
from shoal.worker.pull_requests import pull_requests
from shoal.worker.reports import Reports
from shoal.worker.result import read_result, whole_result
from shoal.worker.verification import Verdict, verify
from shoal.worker.workspace import Workspace

log = structlog.get_logger()
TAIL_BYTES = 4000  # of a log, as much as a task keeps
RETRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
NOT_STARTED = 127
ERROR_LIMIT = 4000
NOTES, NOTE_LIMIT = 200, 4000
NAME_LIMIT = 200
LOOKS = 3  # at a task that changes while it is checked


class Work(Struct, frozen=True, kw_only=True):
    """What an attempt works with: its task, its agent, its folder, and where on this machine the rest of it stands.

    The agent is `actor` in the ledger. `home` is for files of the episodes, `environment` for whatever runs in the
    folder, the `seal` for nobody else.
    """

    claim: Claim
    choice: Choice
    actor: str
    workspace: Workspace
    environment: dict[str, str]
    limits: Limits
    home: Path
    log_file: Path
    result_file: Path
    seal: str
    timeout_seconds: float | None


class Episodes:
    """The episodes of one agent for one attempt."""

    def __init__(
        self,
        work: Work,
        *,
        ledger: Ledger,
        settings: Settings,
        processes: Processes,
        run_command: RunCommand,
        open_episodes: OpenEpisodes,
        reports: Reports,
    ) -> None:
        self._work = work
        self._claim = work.claim
        self._task = work.claim.task
        self._choice = work.choice
        self._workspace = work.workspace
        self._ledger = ledger
        self._settings = settings
        self._processes = processes
        self._run_command = run_command
        self._open_episodes = open_episodes
        self._reports = reports
        self._workflow = settings.workflows.get(work.claim.task.workflow or "default", WorkflowSettings())
        self._environment = work.environment
        self._session: Session | None = None
        self._heard = 0
        self._notes: list[str] = []

    def run(self) -> Conclusion:
        """Run the agent until its work holds, or not. Raises Stopped and LeaseLost."""
        way = Way.FIRST if self._claim.attempt == 1 else Way.CONTINUATION
        failures: list[Failure] = []
        left = self._settings.episodes
        while True:
            ended, branches = self._episode(way, failures)
            if ended.outcome is not Outcome.COMPLETED:
                return self._ended_badly(ended)
            if ended.unheard:
                way, failures = Way.BATCH, []
                continue
            left -= 1
            given, problems = read_result(self._work.result_file)
            text = self._final_text(ended)  # before the checks write into the log
            verdict = self._verify(text, given, problems, branches)
            if not verdict.failed:
                return self._ended_well(ended, text, given, branches, verdict)
            way = Way.CONTINUATION
            failures = verdict.failed
            if left == 0:
                number = self._settings.episodes
                listed = "\n".join(f"- {failure}" for failure in failures)
                what = f"after {number} episode{'' if number == 1 else 's'} these do not hold:\n{listed}"
                return Conclusion(how=How.FAIL, text=what, permanent=True)

    def _episode(self, way: Way, failures: list[Failure]) -> tuple[Ended, list[Branch]]:
        """One episode, reported, and what it left in its repositories."""
        attempt = self._claim.attempt
        session = self._session = self._reports.ask(self._begin)
        outcome, error = Outcome.LOST, "the worker broke"
        branches: list[Branch] = []
        reported = None
        try:
            ended = self._run_agent(session, way, failures)
            reported = None if ended.finished is None else ended.finished.cost_usd_micros
            outcome, error = ended.outcome, ended.reason or ""
            self._heard = max(self._heard, ended.heard)
        except Stopped as stopped:
            lost = stopped.reason is StopReason.LOST
            outcome, error = Outcome.LOST if lost else Outcome.STOPPED, "" if lost else "the worker was stopped"
            raise
        except ShoalError as problem:
            outcome, error = Outcome.FAILED, problem.message
            raise
        finally:
            branches = self._keep()
            with suppress(LeaseLost):
                self._reports.tell(
                    "sessions.end",
                    session=session.id,
                    attempt=attempt,
                    outcome=outcome,
                    error=error or None,
                    cost_usd_micros=reported,
                    branches=branches,
                    seal=self._work.seal,
                )
            self._open_episodes.forget(session)
        return ended, branches

    def _keep(self) -> list[Branch]:
        task_id, attempt = self._claim.task.task_id, self._claim.attempt
        try:
            return self._workspace.keep(f"{task_id}: what attempt {attempt} left uncommitted")
        finally:
            self._take_notes()
            if self._settings.ephemeral:
                self._bring_away()

    def _bring_away(self) -> None:
        """Send what could not be pushed along with the report: this home goes."""
        for one in self._workspace.unpushed():
            send = partial(
                self._ledger.tasks.rescue,
                self._claim.task.id,
                attempt=self._claim.attempt,
                repository=one.repository[:NAME_LIMIT],
                reason=one.reason[:ERROR_LIMIT],
                name=one.name,
                data=one.data,
                branches=one.branches,
            )
            try:
                self._reports.ask(send)
            except (ShoalError, OSError) as error:
                log.error("work is lost with this home", task=self._claim.task.task_id, reason=str(error))

    def _run_agent(self, session: Session, way: Way, failures: list[Failure]) -> Ended:
        """The agent's program, from the prompt to its end."""
        task = self._claim.task
        waiting: Recorded = self._reports.ask(lambda: self._record(session, [], 0, self._heard))
        if waiting.stop is not None:
            return Ended(outcome=Outcome.OVER_LIMIT, code=None, reason=waiting.stop)
        prompt = self._prompt(session, way, failures, waiting.told)
        settings = self._choice.settings
        agent = agents.agent(settings)
        assignment = self._assignment(agent, prompt, session.provider_session)
        # The checks run in what the agent had, so that it could try them.
        self._environment = self._work.environment | agent.environment(assignment)
        for warning in prompt.warnings if task.workflow else ():
            log.warning("prompt", task=task.task_id, warning=warning)
        episode = Episode(
            agent,
            assignment,
            processes=self._processes,
            environment=self._environment,
            log_file=self._work.log_file,
            limits=self._work.limits,
            timeout_seconds=task.timeout_seconds or settings.timeout_seconds or self._work.timeout_seconds,
            heard=max([self._heard, *(one.id for one in waiting.told)]),
            record=lambda items, malformed, heard: self._record(session, items, malformed, heard),
            keep=lambda items, malformed, heard: self._reports.leave(
                "sessions.record",
                session=session.id,
                attempt=self._claim.attempt,
                items=items,
                malformed=malformed,
                heard=heard,
            ),
        )
        try:
            return episode.go()
        except OSError as error:
            return Ended(outcome=Outcome.FAILED, code=NOT_STARTED, reason=f"the agent cannot be started: {error}")

    def _prompt(self, session: Session, way: Way, failures: list[Failure], told: list[Told]) -> Prompt:
        self._take_notes()
        notes, self._notes = self._notes, []
        prompt: Prompt = self._reports.ask(
            lambda: self._ledger.acting_as(self._work.actor).tasks.prompt(
                self._claim.task.id,
                agent=self._choice.name,
                way=way,
                session=session.id,
                failures=failures,
                told=told,
                workspace_notes=[note.replace("\x00", "")[:NOTE_LIMIT] for note in notes[:NOTES]],
            )
        )
        return prompt

    def _assignment(self, agent: Agent, prompt: Prompt, before: str | None) -> Assignment:
        """What the agent is started with; where it still has the session from `before`, it is told what is new only."""
        assignment = Assignment(
            folder=self._workspace.folder,
            home=self._work.home,
            system=prompt.system,
            text=f"{prompt.conversation}\n\n{prompt.latest}".strip(),
            claim=msgspec.json.encode(self._claim),
            model=self._choice.model,
            workflow=self._workflow,
        )
        if before is not None and agent.has_session(assignment, before):
            assignment = replace(assignment, text=prompt.latest, resumes=before)
        return assignment

    def _take_notes(self) -> None:
        """Log what happened to the workspace meanwhile, and have it for the next prompt."""
        for note in self._workspace.take_notes():
            log.warning("workspace", task=self._claim.task.task_id, attempt=self._claim.attempt, note=note)
            self._notes.append(note)

    def _begin(self) -> Session:
        task, choice, settings = self._claim.task, self._choice, self._choice.settings
        resumes = None if self._session is None else self._session.id
        if resumes is None:
            earlier = self._ledger.tasks.sessions(task.id, limit=1)
            if earlier and (earlier[0].agent, earlier[0].kind) == (choice.name, settings.kind):
                resumes = earlier[0].id
        agent = agents.agent(settings)
        branches: list[Branch] = []
        with suppress(GitError, OSError):  # they are told at the end again; now, for whoever goes on when we die
            branches = self._workspace.branches()
        return self._ledger.tasks.begin_session(
            task.id,
            attempt=self._claim.attempt,
            agent=choice.name,
            kind=settings.kind,
            provider=agent.provider,
            model=choice.model,
            workflow=task.workflow,
            workspace=str(self._workspace.folder),
            log=str(self._work.log_file),
            takes_messages=agent.takes_messages,
            branches=branches,
            max_usd_micros=None if settings.max_usd is None else round(settings.max_usd * 1_000_000),
            max_tokens=settings.max_tokens,
            max_turns=settings.max_turns,
            resumes=resumes,
            configuration=configuration(choice, self._workflow),
            seal=self._work.seal,
        )

    def _record(self, session: Session, items: list[Item], malformed: int, heard: int) -> Recorded:
        for item in items:
            if isinstance(item, Started) and item.provider_session is not None:
                self._open_episodes.remember(session, item.provider_session, self._environment)
        try:
            return self._ledger.sessions.record(
                session.id, attempt=self._claim.attempt, items=items, malformed=malformed, heard=heard
            )
        except LeaseLost:
            # The money was spent all the same.
            if costs := costs_of(items, session, attempt=self._claim.attempt):
                self._ledger.costs.record(costs=costs)
            raise

    def _ended_badly(self, ended: Ended) -> Conclusion:
        is_command = self._choice.settings.kind == "command"
        tail = read_tail(self._work.log_file, TAIL_BYTES)
        said = (ended.finished.error if ended.finished is not None else None) or ""
        if ended.outcome is Outcome.OVER_LIMIT:
            return Conclusion(how=How.FAIL, text=ended.reason or said or "over a limit", permanent=True)
        if ended.code == RETRY_LATER and is_command:
            return Conclusion(how=How.RELEASE, text=f"exit {ended.code}\n{tail}".strip())
        why = ended.reason or said or f"exit {ended.code}"
        if ended.outcome is Outcome.FAILED and not is_command and not ended.began and ended.code != NOT_STARTED:
            spoken = "\n".join(line for line in tail.splitlines() if not line.startswith("{"))
            why = f"the agent could not begin: {why if spoken in why else f'{why}: {spoken}'}"[:ERROR_LIMIT]
            if self._task.model is not None and self._task.model in why:
                return Conclusion(how=How.FAIL, text=why, permanent=True)  # the task asks for a model that is not there
            # Not logged in, no provider, no quota left: the next task would fare no better.
            return Conclusion(how=How.RELEASE, text=why, fault=True)
        # What an agent names as its error says it; the end of its stream would be JSON.
        behind = tail if is_command else (ended.said or ("" if said else tail))
        return Conclusion(how=How.FAIL, text=(why if behind in why else f"{why}\n{behind}").strip())

    def _verify(self, text: str, given: Any, problems: list[Failure], branches: list[Branch]) -> Verdict:
        # As it is now, and still is after the checks: people change what they ask for while an agent works.
        task = self._now()
        for _ in range(LOOKS):
            self._task = task
            verdict = verify(
                task,
                folder=self._workspace.folder,
                result=given,
                result_text=text,
                branches=branches,
                pull_requests=pull_requests(text, task, self._settings.repositories),
                run_command=self._run_command,
                environment=self._environment,
            )
            task = self._now()
            if checked(task) == checked(self._task):
                manual = verdict.manual
                break
        else:
            manual = [*verdict.manual, "it was changed again and again while it was checked"]
        actor = self._work.actor
        if own := self._reports.ask(lambda: own_changes(self._ledger, self._claim, task, actor=actor)):
            manual = [*manual, f"changed during the work in the name of its agent ({actor}): {', '.join(own)}"]
        verdict = Verdict([*problems, *verdict.failed], manual)
        if task.success_criteria or verdict.failed or manual:
            self._reports.tell(
                "tasks.verified",
                task=task.id,
                attempt=self._claim.attempt,
                failed=[str(failure) for failure in verdict.failed],
                manual=verdict.manual,
                seal=self._work.seal,
            )
        return verdict

    def _now(self) -> Task:
        """The task as it is."""
        task: Task = self._reports.ask(lambda: self._ledger.tasks.get(self._claim.task.id))
        return task

    def _ended_well(self, ended: Ended, text: str, given: Any, branches: list[Branch], verdict: Verdict) -> Conclusion:
        result = whole_result(given, branches, exit_code=ended.code, log=self._work.log_file)
        report = ended.finished.text if ended.finished is not None else ""
        changed = [one for one in branches if one.commits]
        lines = [f"- {one.repository}: {one.commits} commit(s) on `{one.branch}`" for one in changed]
        return Conclusion(
            how=How.SUBMIT if verdict.manual else How.COMPLETE,
            text=text,
            result=result,
            report="\n\n".join(part for part in (report, "\n".join(lines)) if part),
            pull_requests=pull_requests(text, self._task, self._settings.repositories),
        )

    def _final_text(self, ended: Ended) -> str:
        if self._choice.settings.kind == "command" and ended.finished is None:
            return read_tail(self._work.log_file, TAIL_BYTES)
        return (ended.finished.text if ended.finished is not None else "") or ended.said or ""
