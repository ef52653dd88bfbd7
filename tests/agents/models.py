"""The two scripted models behind one shape, so that a test tells the same story with each agent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from tests.agents import messages_api, responses_api
from tests.agents.messages_api import MessagesApi
from tests.agents.programs import program
from tests.agents.responses_api import ResponsesAPI


@dataclass(frozen=True)
class Tokens:
    """What a call uses: the input leaves out what the cache gave and took."""

    input: int = 100
    output: int = 20
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True)
class Step:
    """One answer of the model: a shell command to run, or what it says at last; or nothing at all, for ever."""

    says: str = ""
    runs: str = ""
    hangs: bool = False
    tokens: Tokens = Tokens()


class Model(Protocol):
    """A scripted model and the agent that asks it."""

    kind: str
    tool: str

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def settings(self, folder: Path) -> dict[str, Any]:
        """What shoal.toml says of the agent."""
        ...

    def script(self, word: str, *steps: Step) -> None:
        """What a task is answered whose title has this word."""
        ...

    def asked(self, word: str) -> list[str]:
        """What each request of such a task said, as JSON."""
        ...

    def stable(self, word: str) -> list[str]:
        """What stood in front of the conversation in each request: tools, then system text."""
        ...


class ClaudeModel:
    """Claude Code and the Messages API."""

    kind = "claude"
    tool = "Bash"

    def __init__(self) -> None:
        self._api = MessagesApi()

    def __enter__(self) -> Self:
        self._api.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._api.__exit__()

    def settings(self, folder: Path) -> dict[str, Any]:
        env = {"HOME": str(folder / "claude"), "ANTHROPIC_BASE_URL": self._api.url, "ANTHROPIC_API_KEY": "anything"}
        return {"kind": "claude", "program": [str(program("claude"))], "model": "claude-sonnet-4-5", "env": env}

    def script(self, word: str, *steps: Step) -> None:
        self._api.script(word, *map(self._answer, steps))

    def asked(self, word: str) -> list[str]:
        return [json.dumps(served.body["messages"]) for served in self._api.served(word)]

    def stable(self, word: str) -> list[str]:
        return [json.dumps([served.body.get("tools"), served.body["system"]]) for served in self._api.served(word)]

    def _answer(self, step: Step) -> messages_api.Answer:
        used = step.tokens
        return messages_api.Answer(
            text=step.says,
            tools=(messages_api.Tool("Bash", {"command": step.runs, "description": "work"}),) if step.runs else (),
            hangs=step.hangs,
            tokens=messages_api.Tokens(
                input=used.input, output=used.output, cache_read=used.cache_read, cache_write=used.cache_write
            ),
        )


class CodexModel:
    """Codex and the Responses API."""

    kind = "codex"
    tool = "command_execution"

    def __init__(self) -> None:
        self._api = ResponsesAPI()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    def settings(self, folder: Path) -> dict[str, Any]:
        env = responses_api.codex_home(folder / "codex", self._api)
        return {"kind": "codex", "program": [str(program("codex"))], "model": responses_api.MODEL, "env": env}

    def script(self, word: str, *steps: Step) -> None:
        self._api.script(word, *map(self._answer, steps))

    def asked(self, word: str) -> list[str]:
        return [json.dumps(request["input"]) for request in self._api.requests(word)]

    def stable(self, word: str) -> list[str]:
        found = []
        for request in self._api.requests(word):
            # Without the names that Codex gives its messages: they are no part of what a model reads.
            developer = [one["content"] for one in request["input"] if one.get("role") == "developer"]
            found.append(json.dumps([request.get("tools"), request.get("instructions"), developer]))
        return found

    def _answer(self, step: Step) -> responses_api.Step:
        if step.hangs:
            return responses_api.Hang()
        used = step.tokens
        total = used.input + used.cache_read + used.cache_write
        usage = responses_api.Usage(total, used.cache_read, used.cache_write, used.output)
        outputs = [responses_api.Shell(step.runs)] if step.runs else []
        return responses_api.answer(*([step.says] if step.says else []), *outputs, usage=usage)
