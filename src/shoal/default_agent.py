"""The agent for tasks that none of the configured ones claims, and whether a worker could start without it."""

from __future__ import annotations

from shoal.errors import AgentError
from shoal.settings import Settings


def default_agent(settings: Settings) -> str:
    """The setting `agent`, or the only agent there is. Raises AgentError."""
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


def lists_tasks(settings: Settings) -> bool:
    """Whether an agent claims tasks by what it lists."""
    return any(one.models or one.types or one.workflows for one in settings.agents.values())


def unusable(settings: Settings) -> str | None:
    """Why no worker could use the agents that are configured; without any it may still run a program."""
    if not settings.agents or lists_tasks(settings):
        return None
    try:
        default_agent(settings)
    except AgentError as error:
        return error.message
    return None
