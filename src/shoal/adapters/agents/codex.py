"""Codex: `codex exec --json`, the prompt on standard input, which must be closed behind it.

Its stream has messages and calls of tools; the tokens of each model call are read from its rollout, while it runs and
after it. What both have bears the same key (codex_keys.py), so that nothing is counted twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.adapters.agents import codex_rollout
from shoal.adapters.agents.agent import Assignment, Malformed
from shoal.adapters.agents.codex_keys import CALLS, CodexItem, Keys, Problem, ended, one_line
from shoal.adapters.agents.codex_rollout import UNREADABLE, Meter, Tokens
from shoal.adapters.agents.program import configured_environment, find_program
from shoal.clock import monotonic_seconds
from shoal.errors import AgentError
from shoal.model.session import Finished, Item, Said, Spent, Started, ToolEnded, preview
from shoal.settings import AgentSettings, WorkflowSettings

INSTALL = "npm install -g @openai/codex"
UNSANDBOXED = "--dangerously-bypass-approvals-and-sandbox"
# With one of these in `args`, people decide themselves what Codex may do.
_SANDBOX = re.compile(
    rf"(--sandbox|--approve-for-me|--full-auto|{UNSANDBOXED})(=|\Z)|-s(?!-)"
    r"|(-c|--config)?=?(sandbox_mode|sandbox_workspace_write|default_permissions|permissions)[.=]"
)
ARGUMENT_LIMIT = 100_000  # bytes; Linux takes no argument of more than 128 KiB


class _Line(Struct):
    """One line of the stream; each type has some of these fields."""

    type: str
    thread_id: str = ""
    item: CodexItem | None = None
    usage: Tokens | None = None
    error: Problem | None = None
    message: str = ""


class Codex:
    """Runs Codex, and understands what it says."""

    provider: str | None = "openai"
    takes_messages = False
    separates_errors = True

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._home = _home({})
        self._model: str | None = settings.model
        self._thread = ""
        self._keys = Keys()
        self._open: dict[str, tuple[str, float]] = {}
        self._meter: Meter | None = None
        self._counted = Tokens()
        self._text = ""

    def check(self, workflow: WorkflowSettings) -> None:
        """Raise AgentError when its program, or a variable that it needs, is not here. Whether it is logged in shows
        when it runs.
        """
        environment = configured_environment(self._settings, workflow)
        find_program(self._settings, environment, own="codex", install=INSTALL)

    def has_session(self, assignment: Assignment, provider_session: str) -> bool:
        """Whether its rollout is here."""
        return codex_rollout.exists(
            _home(configured_environment(self._settings, assignment.workflow)), provider_session
        )

    def command(self, assignment: Assignment) -> list[str]:
        """The program and its arguments. AgentError when it is not installed, or cannot be held to the workflow."""
        if assignment.workflow.allowed_tools is not None:
            raise AgentError(
                "Codex cannot be held to allowed_tools; run this workflow with another agent, "
                'or without the list and with args = ["--sandbox", "read-only"]'
            )
        environment = self.environment(assignment)
        program = find_program(self._settings, environment, own="codex", install=INSTALL)
        given = ["--json", "--skip-git-repo-check", "--cd", str(assignment.folder.absolute())]
        if not any(map(_SANDBOX.match, self._settings.args)):
            given.append(UNSANDBOXED)
        if self._model:
            given += ["--model", self._model]
        if assignment.system and len(_as_toml(assignment.system).encode()) <= ARGUMENT_LIMIT:
            # A resumed session keeps those that it began with; they are given all the same, for what it may spawn.
            given += ["-c", f"developer_instructions={_as_toml(assignment.system)}"]
        resume = ["resume", assignment.resumes] if assignment.resumes else []
        return [*program, "exec", *given, *self._settings.args, *resume, "-"]

    def environment(self, assignment: Assignment) -> dict[str, str]:
        """What is added to the worker's environment."""
        added = configured_environment(self._settings, assignment.workflow)
        self._home = _home(added)
        self._model = assignment.model or self._settings.model
        if assignment.resumes and self._meter is None:
            self._keys = Keys(codex_rollout.turns(self._home, assignment.resumes))
            self._meter = Meter(self._home, assignment.resumes)
            for _ in self._meter.spent():
                pass  # of earlier episodes
            self._meter.calls = 0
        return added

    def opening(self, assignment: Assignment) -> bytes:
        """The prompt. Codex reads it to its end: standard input is closed after it."""
        if not assignment.resumes and len(_as_toml(assignment.system).encode()) > ARGUMENT_LIMIT:
            return f"{assignment.system}\n\n{assignment.text}".encode(errors="replace")
        return assignment.text.encode(errors="replace")

    def message(self, text: str) -> bytes:
        """Nothing: it takes no messages while it runs."""
        return b""

    def read(self, line: bytes) -> Iterable[Item]:
        """What a line of standard output says. Raises Malformed."""
        if not line.strip():
            return []
        try:
            said = msgspec.json.decode(line, type=_Line)
        except UNREADABLE as error:
            raise Malformed(f"not a line of Codex: {error}") from None
        # As a list: what is wrong with a line is raised here, not when somebody looks at its items.
        return [*self._items(said), *self._spent()]

    def is_over(self, item: Item) -> bool:
        """Codex ends by itself after the last word."""
        return isinstance(item, Finished)

    def transcript(self, assignment: Assignment, provider_session: str) -> Iterable[Item]:
        """What the rollout says of a session; items that the stream had too have the same keys."""
        home = _home(configured_environment(self._settings, assignment.workflow))
        return codex_rollout.items(home, provider_session)

    def _items(self, said: _Line) -> Iterator[Item]:
        if said.type == "thread.started":
            self._thread = said.thread_id
            self._meter = self._meter or Meter(self._home, said.thread_id)
            yield Started(
                provider_session=one_line(said.thread_id, "") or None, model=one_line(self._model or "", "") or None
            )
        elif said.type == "turn.started":
            self._keys.next_turn()
        elif said.type in ("item.started", "item.updated", "item.completed") and said.item is not None:
            yield from self._item(said.item, done=said.type == "item.completed")
        elif said.type == "turn.completed":
            yield from self._completed(said.usage or Tokens())
        elif said.type == "turn.failed":
            yield from self._spent()
            message = said.error.message if said.error else ""
            yield Finished(
                ok=False, text=preview(self._text, 4000), error=preview(message or "failed"), turns=self._turns
            )
        elif said.type == "error":
            yield self._keys.said("system", said.message)
        else:
            raise Malformed(f"Codex said {said.type}, which is not known")

    def _item(self, item: CodexItem, *, done: bool) -> Iterator[Item]:
        if item.type in CALLS:
            yield from self._call(item, done=done)
        elif item.type in ("agent_message", "reasoning", "error"):
            if done:
                yield self._said(item)
        elif item.type != "todo_list":
            raise Malformed(f"Codex has an item of type {item.type}, which is not known")

    def _said(self, item: CodexItem) -> Said:
        if item.type == "agent_message":
            self._text = item.text
            return self._keys.said("assistant", item.text)
        if item.type == "reasoning":
            return self._keys.said("reasoning", item.text)
        return self._keys.said("system", item.message)

    def _call(self, item: CodexItem, *, done: bool) -> Iterator[Item]:
        # What is searched for is only known at the end of a search.
        if item.id not in self._open and (done or item.type != "web_search"):
            begun = self._keys.begun(item)
            self._open[item.id] = begun.tool_call_id, monotonic_seconds()
            yield begun
        if done:
            key, since = self._open.pop(item.id)
            yield self._ended(key, since, item)

    def _ended(self, key: str, since: float, item: CodexItem) -> ToolEnded:
        passed = round((monotonic_seconds() - since) * 1000)
        return ended(key, item, duration_ms=None if item.type == "web_search" else passed)

    def _completed(self, total: Tokens) -> Iterator[Item]:
        yield from self._spent()
        if self._meter is None or not self._meter.works:
            # No rollout (`--ephemeral`): what the turn adds to the sum of the session is all that is known.
            key = f"codex:{one_line(self._thread, 'unknown')[:100]}:turn-{self._keys.turns}"
            added = total.minus(self._counted)
            yield Spent(
                added.usage(request_key=key, provider=self.provider or "openai", model=self._model or "unknown")
            )
            self._counted = total
        yield Finished(ok=True, text=preview(self._text, 4000), turns=self._turns)

    def _spent(self) -> list[Item]:
        return [] if self._meter is None else list(self._meter.spent())

    @property
    def _turns(self) -> int | None:
        """Model calls of this episode, as far as they are known."""
        return (self._meter.calls if self._meter else 0) or None


def _home(added: dict[str, str]) -> Path:
    """Codex's own folder, $CODEX_HOME."""
    named = added.get("CODEX_HOME") or os.environ.get("CODEX_HOME")
    return Path(named) if named else Path(added.get("HOME") or Path.home()) / ".codex"


def _as_toml(text: str) -> str:
    """A text as a string of TOML: JSON's, but for one character that only JSON takes as it is."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f").replace("\\u0000", "\\ufffd")
