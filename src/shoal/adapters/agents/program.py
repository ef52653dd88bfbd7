"""Where an agent's program is, and the environment that its configuration adds. Nothing of any one kind of agent."""

from __future__ import annotations

import os
import shutil

from shoal.errors import AgentError
from shoal.settings import AgentSettings, WorkflowSettings


def find_program(settings: AgentSettings, environment: dict[str, str], *, own: str, install: str) -> list[str]:
    """The program to start with the arguments that belong to it: the configured one, else the kind's `own`.

    It runs in the folder of its task, so relative paths are meant from where the worker was started. Raises AgentError
    when it is not there; `install` is the command that brings the kind's own.
    """
    name, *rest = settings.program or [own]
    found = shutil.which(name, path=environment.get("PATH", os.environ.get("PATH")))
    if found is None:
        step = "mend `program` in shoal.toml" if settings.program else f"install it with `{install}`"
        raise AgentError(f"{name} is not found: {step}, or name where it is with `program` of the agent in shoal.toml")
    paths = (os.path.abspath(word) if os.sep in word and os.path.exists(word) else word for word in rest)
    return [os.path.abspath(found), *paths]


def configured_environment(settings: AgentSettings, workflow: WorkflowSettings) -> dict[str, str]:
    """What the agent's and then the workflow's `env` say; a value that is only $NAME takes the worker's own.

    Raises AgentError when the worker has no such variable.
    """
    added = {}
    for name, value in (settings.env | workflow.env).items():
        taken = value[1:] if value.startswith("$") and value[1:].isidentifier() else None
        if taken is not None and taken not in os.environ:
            raise AgentError(f"the agent's env {name} takes ${taken}, which the worker does not have: set it there")
        added[name] = value if taken is None else os.environ[taken]
    return added
