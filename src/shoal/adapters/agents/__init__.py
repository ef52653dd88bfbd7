"""Coding agents: a file per kind, all of the shape in agent.py."""

from __future__ import annotations

from shoal.adapters.agents.agent import Agent
from shoal.settings import AgentSettings


def agent(settings: AgentSettings) -> Agent:
    """The agent of this kind, for one episode."""
    if settings.kind == "codex":
        from shoal.adapters.agents.codex import Codex

        return Codex(settings)
    if settings.kind == "command":
        from shoal.adapters.agents.command import Command

        return Command(settings)
    from shoal.adapters.agents.claude import Claude

    return Claude(settings)
