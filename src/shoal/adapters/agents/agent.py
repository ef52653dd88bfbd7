"""The shape of an agent: how its program is started, spoken to, understood. What comes of it: worker/episode.py."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from shoal.model.session import Item
from shoal.settings import AgentSettings, WorkflowSettings


class Assignment(Struct, frozen=True, kw_only=True):
    """All that an episode of an agent is started from.

    `system` is the stable part of the prompt, `text` what this episode is told; an episode that `resumes` the
    provider's session of that name is only told what is new. `home` is a folder of the worker's for files of the
    episode; `claim` is the claimed task as JSON.
    """

    folder: Path
    home: Path
    system: str
    text: str
    claim: bytes
    model: str | None = None
    resumes: str | None = None
    workflow: WorkflowSettings = WorkflowSettings()


class Malformed(ValueError):
    """A line of the stream that cannot be read; it is counted, kept in the log, and never fatal."""


class Agent(Protocol):
    """One kind of agent, as configured."""

    provider: str | None
    takes_messages: bool  # whether `message` reaches it while it runs
    separates_errors: bool  # whether its standard error is for the log alone, and no part of the stream

    def __init__(self, settings: AgentSettings) -> None: ...

    def check(self, workflow: WorkflowSettings) -> None:
        """Raise AgentError when its program is missing here, or a variable that its or the workflow's env takes."""
        ...

    def has_session(self, assignment: Assignment, provider_session: str) -> bool:
        """Whether this machine has what it needs to go on with a session."""
        ...

    def command(self, assignment: Assignment) -> list[str]:
        """The program and its arguments. Raises AgentError when it is not installed, with how to install it."""
        ...

    def environment(self, assignment: Assignment) -> dict[str, str]:
        """What is added to the worker's environment."""
        ...

    def opening(self, assignment: Assignment) -> bytes:
        """What it is sent on standard input at its start."""
        ...

    def message(self, text: str) -> bytes:
        """What is sent on standard input to tell it something; only when it `takes_messages`."""
        ...

    def read(self, line: bytes) -> Iterable[Item]:
        """What a line of standard output says. Raises Malformed. One Agent reads one episode: it may remember."""
        ...

    def is_over(self, item: Item) -> bool:
        """Whether nothing more comes after this item: standard input is closed then."""
        ...

    def transcript(self, assignment: Assignment, provider_session: str) -> Iterable[Item]:
        """What the agent's own transcript says of a session; items that the stream had too have the same keys."""
        ...
