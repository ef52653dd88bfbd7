"""Which agent works on a task."""

from __future__ import annotations

from typing import NamedTuple

from shoal.errors import AgentError
from shoal.model.task import Task
from shoal.settings import AgentSettings, Settings


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
