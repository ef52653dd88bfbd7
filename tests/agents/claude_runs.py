"""What the tests of Claude Code are made of: a home, runs as a worker makes them, what is to be told of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from shoal.adapters.agents.agent import Assignment, Malformed
from shoal.adapters.agents.claude import Claude
from shoal.model.cost import Usage
from shoal.model.session import Item, Said, Spent, Started, ToolBegun, ToolEnded
from shoal.settings import AgentSettings
from tests.agents.messages_api import MessagesApi, Served
from tests.agents.programs import program

MODEL = "claude-sonnet-4-5"


class Run:
    """One start of the agent, as a worker does it: what it says is read by a thread."""

    def __init__(self, agent: Claude, assignment: Assignment) -> None:
        self.agent = agent
        self.assignment = assignment
        self.items: list[Item] = []
        self.errors: list[str] = []
        self.malformed: list[str] = []
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CLAUDE", "ANTHROPIC", "IS_SANDBOX"))}
        self.process = subprocess.Popen(
            agent.command(assignment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=assignment.folder, env=inherited | agent.environment(assignment), start_new_session=True,
        )  # fmt: skip
        assert self.process.stdin is not None
        self._write(agent.opening(assignment))
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def tell(self, text: str) -> None:
        self._write(self.agent.message(text))

    def end(self) -> int:
        """Its exit code, when it has ended by itself."""
        code = self.process.wait(60)
        self._join()
        return code

    def kill(self, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(30)
        self._join()

    def of(self, kind: type[Any]) -> list[Any]:
        return [item for item in list(self.items) if isinstance(item, kind)]

    @property
    def session(self) -> str:
        (started,) = self.of(Started)
        return str(started.provider_session)

    def transcript(self) -> list[Item]:
        return list(self.agent.transcript(self.assignment, self.session))

    def _write(self, given: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(given)
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        for line in self.process.stdout:
            try:
                items = list(self.agent.read(line))
            except Malformed as error:
                self.malformed.append(f"{error}: {line.decode()}")
                continue
            for item in items:
                self.items.append(item)
                if self.agent.is_over(item):
                    self.process.stdin.close()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors += [line.decode() for line in self.process.stderr]

    def _join(self) -> None:
        for reader in self._readers:
            reader.join(30)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class House:
    """A home for Claude Code, the folders it works in, and the model that it asks."""

    def __init__(self, folder: Path, api: MessagesApi) -> None:
        self.folder = folder
        self.api = api
        self._runs: list[Run] = []

    def settings(self, **given: Any) -> AgentSettings:
        env = {"HOME": str(self.folder / "home"), "ANTHROPIC_BASE_URL": self.api.url, "ANTHROPIC_API_KEY": "anything"}
        return AgentSettings(**({"program": [str(program("claude"))], "model": MODEL, "env": env} | given))

    def assignment(self, text: str, *, work: str = "work", **given: Any) -> Assignment:
        folder = self.folder / work
        folder.mkdir(exist_ok=True)
        return Assignment(
            folder=folder,
            home=self.folder / "run",
            text=text,
            **({"system": "You work for Shoal.", "claim": b"{}"} | given),
        )

    def start(self, assignment: Assignment, **settings: Any) -> Run:
        self._runs.append(Run(Claude(self.settings(**settings)), assignment))
        return self._runs[-1]

    def run(self, text: str, *, work: str = "work", settings: dict[str, Any] | None = None, **given: Any) -> Run:
        """An episode from its beginning to its end."""
        run = self.start(self.assignment(text, work=work, **given), **(settings or {}))
        run.end()
        return run

    def clear(self) -> None:
        for run in self._runs:
            run.kill()
        assert [line for run in self._runs for line in run.malformed] == []
        assert self.api.strays == []


def usage(session: str, served: Served) -> Usage:
    """What is to be told of an answer that was given."""
    tokens = served.answer.tokens
    return Usage(
        request_key=f"{session}:{served.message_id}",
        provider="anthropic",
        model=MODEL,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
    )


def key(item: Item) -> tuple[str, str]:
    """What an item is known by; Started and Finished are not of the transcript."""
    match item:
        case Said():
            return "said", item.key
        case ToolBegun() | ToolEnded():
            return type(item).__name__, item.tool_call_id
        case Spent():
            return "spent", item.usage.request_key
    raise AssertionError(item)


def total(usages: list[Usage]) -> Counter[str]:
    kinds = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return Counter({kind: sum(getattr(one, kind) for one in usages) for kind in kinds})


def counted_once(*lists: list[Item]) -> list[Usage]:
    """The calls as a ledger keeps them: the first of each key."""
    calls: dict[str, Usage] = {}
    for item in (item for items in lists for item in items if isinstance(item, Spent)):
        calls.setdefault(item.usage.request_key, item.usage)
    return list(calls.values())


def in_transcripts(house: House, text: str) -> int:
    return sum(file.read_text().count(text) for file in (house.folder / "home/.claude/projects").glob("*/*.jsonl"))
