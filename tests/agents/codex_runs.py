"""What the tests of Codex are made of: a folder to work in, runs as a worker makes them, what is to be told of them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shoal.adapters.agents import agent
from shoal.adapters.agents.agent import Agent, Assignment, Malformed
from shoal.model.session import Item, Spent, Started, ToolBegun
from shoal.settings import AgentSettings, WorkflowSettings
from tests.agents.responses_api import MODEL, ResponsesAPI, Step, codex_home
from tests.fleet import environment as clean_environment

Kind = TypeVar("Kind")


class Run:
    """One episode of Codex, ended or not, and what its adapter made of it."""

    def __init__(self, agent: Agent, assignment: Assignment) -> None:
        self.agent = agent
        self.assignment = assignment
        self.errors = assignment.home / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                agent.command(assignment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=assignment.folder,
                env=clean_environment(**agent.environment(assignment)),
                start_new_session=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(agent.opening(assignment))
        self.process.stdin.close()
        self.items: list[Item] = []
        self.malformed: list[bytes] = []

    def read(self, *, until: Callable[[Item], bool] = lambda _: False) -> Run:
        """Read to the end, or until an item."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                found = list(self.agent.read(line))
            except Malformed:
                self.malformed.append(line)
                continue
            self.items += found
            if any(map(until, found)):
                return self
        return self

    def end(self) -> Run:
        """Read to the end, and wait for the program."""
        self.read()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.end()

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [item for item in self.items if isinstance(item, kind)]

    @property
    def session(self) -> str:
        return next(item.provider_session for item in self.of(Started) if item.provider_session)

    def transcript(self) -> list[Item]:
        return list(self.agent.transcript(self.assignment, self.session))


class Bench:
    """A folder in which Codex works, and its home."""

    def __init__(self, folder: Path, codex: str, api: ResponsesAPI) -> None:
        self.api = api
        self.folder = folder / "work"
        self.folder.mkdir()
        self.home = folder
        self.settings = AgentSettings(kind="codex", program=[codex], env=codex_home(folder / "codex", api))

    def start(
        self,
        text: str,
        *,
        system: str = "",
        resumes: str | None = None,
        folder: Path | None = None,
        args: list[str] | None = None,
        workflow: WorkflowSettings | None = None,
    ) -> Run:
        settings = AgentSettings(
            kind="codex", program=self.settings.program, env=self.settings.env, args=args or [], model=MODEL
        )
        assignment = Assignment(
            folder=folder or self.folder,
            home=self.home,
            system=system,
            text=text,
            claim=b"{}",
            resumes=resumes,
            workflow=workflow or WorkflowSettings(),
        )
        return Run(agent(settings), assignment)

    def run(self, *steps: Step, word: str = "T1", **given: object) -> Run:
        """Start it with a script, and read to the end."""
        self.api.script(word, *steps)
        return self.start(f"Do {word}.", **given).end()  # type: ignore[arg-type]


def counted(*groups: list[Item]) -> dict[str, tuple[int, int, int, int]]:
    """Input, output, cache reads and writes by the key of the call; the same key is counted once."""
    usages = [item.usage for group in groups for item in group if isinstance(item, Spent)]
    return {
        usage.request_key: (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
        for usage in usages
    }


def calls(items: list[Item]) -> dict[str, tuple[str, str]]:
    return {item.tool_call_id: (item.name, item.arguments) for item in items if isinstance(item, ToolBegun)}
