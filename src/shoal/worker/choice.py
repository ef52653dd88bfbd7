"""Which agent works on a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from shoal.adapters import agents
from shoal.adapters.git.address import address_of
from shoal.default_agent import default_agent, lists_tasks
from shoal.errors import AgentError, BadInput, WorkspaceError
from shoal.mistakes import nearest
from shoal.model.prompt import hash_of
from shoal.model.task import Task
from shoal.settings import AgentSettings, Settings, WorkflowSettings

ON_THE_SPOT = "command"  # the agent that a command line names


class Choice(NamedTuple):
    """An agent by its name in the settings, and the model it is told to use."""

    name: str
    settings: AgentSettings
    model: str | None


def choose(task: Task, settings: Settings, *, agent: str | None = None) -> Choice:
    """The agent that is named by, or lists, the task's model; else lists its workflow; else its type; else the default.

    With `agent` it is this one, whatever the task asks for; a model that is another's is not its own then. A model
    that no agent lists is what the chosen agent is told to use. Raises AgentError when there is none.
    """
    known = settings.agents
    if agent is not None:
        chosen = named(settings, agent)
        others = {task.model} & {*known, *(model for one in known.values() for model in one.models)}
        own = task.model if task.model in chosen.models or not others else None
        return Choice(agent, chosen, own or chosen.model)
    if task.model in known:
        return Choice(task.model, known[task.model], known[task.model].model)
    for wanted, listed in ((task.model, "models"), (task.workflow, "workflows"), (task.type, "types")):
        for name, one in known.items():
            if wanted in getattr(one, listed):
                return Choice(name, one, task.model or one.model)
    name = default_agent(settings)
    return Choice(name, known[name], task.model or known[name].model)


def named(settings: Settings, name: str) -> AgentSettings:
    """The agent that the settings call so. Raises AgentError when there is none."""
    if name not in settings.agents:
        known = ", ".join(sorted(settings.agents)) or "none"
        raise AgentError(
            f"there is no [agents.{name}] in shoal.toml; the agents there are: {known}{nearest(name, settings.agents)}"
            " (who does the work, in the ledger, is --as)"
        )
    return settings.agents[name]


def configuration(choice: Choice, workflow: WorkflowSettings) -> str:
    """A name for what the settings make of an agent's requests; its limits and the tasks that it takes do not count."""
    agent = choice.settings
    told = [agent.kind, agent.program, choice.model, agent.args, agent.env, workflow.allowed_tools, workflow.env]
    return hash_of(msgspec.json.encode(told, order="sorted").decode())


def objection(task: Task, settings: Settings) -> str | None:
    """Why no agent may work on a task: its workflow is not configured, and nothing says what it restricts; or nothing
    says where its repository is.
    """
    if (astray := next(without_address(task.repos, settings), None)) is not None:
        return (
            f"{astray}; or name another: `shoal edit {task.task_id} --repo owner/name`; "
            f"then `shoal reopen {task.task_id}`"
        )
    known = {"default", *settings.workflows, *(name for one in settings.agents.values() for name in one.workflows)}
    if task.workflow is None or task.workflow in known:
        return None
    return (
        f"the workflow {task.workflow!r} is not configured here; there are {', '.join(sorted(known))}: "
        f"add [workflows.{task.workflow}] to shoal.toml, or `shoal edit {task.task_id} --workflow default`; "
        f"then `shoal reopen {task.task_id}`"
    )


def without_address(repositories: Iterable[str], settings: Settings) -> Iterator[str]:
    """Of repositories those of which nobody could say where they are, and why."""
    for name in repositories:
        known = settings.repositories.get(name)
        try:
            address_of(name, known.url if known is not None else None)
        except WorkspaceError as error:
            yield error.message + ("" if known else nearest(name, settings.repositories))


def on_the_spot(command: Sequence[str]) -> AgentSettings:
    """The agent that a command line names."""
    program = list(command)
    if "/" in program[0]:
        program[0] = str(Path(program[0]).absolute())  # it is not run in the folder where it was named
    return AgentSettings(kind="command", program=program)


def check(settings: Settings, command: Sequence[str] = (), *, agent: str | None = None) -> None:
    """Raise AgentError when a worker with these agents, or with this `agent` of them alone, or with this command in
    their place, could not do its work here.
    """
    if command:
        if agent is not None:
            raise BadInput("either --agent or a program of your own works on the tasks; leave one out", field="agent")
        try:
            agents.agent(on_the_spot(command)).check(WorkflowSettings())
        except AgentError:
            raise AgentError(
                f"{command[0]} is not found, or may not be executed: name a program that is there, "
                "as in `shoal work -- ./agent.sh`"
            ) from None
        return
    if agent is not None:
        named(settings, agent)
    elif not lists_tasks(settings):
        default_agent(settings)
    for name, one in settings.agents.items():
        if agent not in (None, name):
            continue
        for workflow in (WorkflowSettings(), *settings.workflows.values()):
            try:
                agents.agent(one).check(workflow)
            except AgentError as error:
                raise AgentError(f"[agents.{name}]: {error.message}") from None
