"""Which agent works on a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from shoal.adapters import agents
from shoal.errors import AgentError
from shoal.model.prompt import hash_of
from shoal.model.task import Task
from shoal.settings import AgentSettings, Settings, WorkflowSettings

ON_THE_SPOT = "command"  # the agent that a command line names


class Choice(NamedTuple):
    """An agent by its name in the settings, and the model it is told to use."""

    name: str
    settings: AgentSettings
    model: str | None


def choose(task: Task, settings: Settings) -> Choice:
    """The agent that is named by, or lists, the task's model; else lists its workflow; else its type; else the default.

    A model that no agent lists is what the chosen agent is told to use. Raises AgentError when there is none.
    """
    agents = settings.agents
    if task.model in agents:
        return Choice(task.model, agents[task.model], agents[task.model].model)
    for wanted, listed in ((task.model, "models"), (task.workflow, "workflows"), (task.type, "types")):
        for name, agent in agents.items():
            if wanted in getattr(agent, listed):
                return Choice(name, agent, task.model or agent.model)
    name = default(settings)
    return Choice(name, agents[name], task.model or agents[name].model)


def configuration(choice: Choice, workflow: WorkflowSettings) -> str:
    """A name for what the settings make of an agent's requests; its limits and the tasks that it takes do not count."""
    agent = choice.settings
    told = [agent.kind, agent.program, choice.model, agent.args, agent.env, workflow.allowed_tools, workflow.env]
    return hash_of(msgspec.json.encode(told, order="sorted").decode())


def objection(task: Task, settings: Settings) -> str | None:
    """Why no agent may work on a task: its workflow is not configured, and nothing says what it restricts."""
    known = {"default", *settings.workflows, *(name for one in settings.agents.values() for name in one.workflows)}
    if task.workflow is None or task.workflow in known:
        return None
    return (
        f"the workflow {task.workflow!r} is not configured here; there are {', '.join(sorted(known))}: "
        f"add [workflows.{task.workflow}] to shoal.toml, or `shoal edit {task.task_id} --workflow default`; "
        f"then `shoal reopen {task.task_id}`"
    )


def default(settings: Settings) -> str:
    """The agent for tasks that none claims: the setting `agent`, or the only one there is. Raises AgentError."""
    if settings.agent is not None:
        if settings.agent not in settings.agents:
            raise AgentError(f"the setting agent names {settings.agent!r}, but there is no [agents.{settings.agent}]")
        return settings.agent
    if len(settings.agents) == 1:
        return next(iter(settings.agents))
    if not settings.agents:
        raise AgentError(
            'no agent is configured: add [agents.claude] with kind = "claude" to shoal.toml, '
            "or name a program: shoal work -- ./agent.sh"
        )
    raise AgentError(
        f"several agents are configured and none is the default: "
        f'set agent = "{next(iter(settings.agents))}" at the top of shoal.toml'
    )


def on_the_spot(command: Sequence[str]) -> AgentSettings:
    """The agent that a command line names."""
    program = list(command)
    if "/" in program[0]:
        program[0] = str(Path(program[0]).absolute())  # it is not run in the folder where it was named
    return AgentSettings(kind="command", program=program)


def check(settings: Settings, command: Sequence[str] = ()) -> None:
    """Raise AgentError when a worker with these agents, or this command in their place, could not do its work here."""
    if command:
        try:
            agents.agent(on_the_spot(command)).check(WorkflowSettings())
        except AgentError:
            raise AgentError(
                f"{command[0]} is not found, or may not be executed: name a program that is there, "
                "as in `shoal work -- ./agent.sh`"
            ) from None
        return
    if not any(one.models or one.types or one.workflows for one in settings.agents.values()):
        default(settings)
    for name, agent in settings.agents.items():
        for workflow in (WorkflowSettings(), *settings.workflows.values()):
            try:
                agents.agent(agent).check(workflow)
            except AgentError as error:
                raise AgentError(f"[agents.{name}]: {error.message}") from None
