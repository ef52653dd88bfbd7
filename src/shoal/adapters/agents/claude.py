"""Claude Code: how it is started, spoken to, resumed; where its transcripts lie. What its lines say: claude_lines.py.

It runs in print mode with JSON lines both ways, under its user's own login and settings. Nothing that needs a person's
consent stops it: the tools it may use are named beforehand, and any other call is refused and told to the model.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from shoal.adapters.agents.agent import Assignment, Malformed
from shoal.adapters.agents.claude_calls import PROVIDER
from shoal.adapters.agents.claude_lines import Reading
from shoal.adapters.agents.program import configured_environment, find_program
from shoal.clock import Clock, SystemClock
from shoal.errors import AgentError
from shoal.model.session import Finished, Item
from shoal.settings import AgentSettings, WorkflowSettings

INSTALL = "npm install -g @anthropic-ai/claude-code"
SYSTEM_FILE = "system.md"
# All that asks for consent, under older and newer names; the rest needs none.
TOOLS = [
    "Agent",
    "Bash",
    "Edit",
    "Glob",
    "Grep",
    "NotebookEdit",
    "Read",
    "Skill",
    "Task",
    "WebFetch",
    "WebSearch",
    "Write",
]
SKIPPING = {"--dangerously-skip-permissions", "--allow-dangerously-skip-permissions"}
DECIDING = SKIPPING | {"--permission-mode", "--permission-prompt-tool"}


class Claude:
    """Claude Code, as configured."""

    provider: str | None = PROVIDER
    takes_messages = True
    separates_errors = True

    def __init__(self, settings: AgentSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._run = uuid.uuid4()
        self._stream = Reading(clock or SystemClock(), run=str(self._run))

    def check(self, workflow: WorkflowSettings) -> None:
        """Raise AgentError when its program, or a variable that it needs, is not here. Whether it is logged in shows
        when it runs.
        """
        environment = configured_environment(self._settings, workflow)
        find_program(self._settings, environment, own="claude", install=INSTALL)

    def has_session(self, assignment: Assignment, provider_session: str) -> bool:
        """Whether its transcript is here."""
        return bool(_transcripts(self.environment(assignment), provider_session))

    def command(self, assignment: Assignment) -> list[str]:
        """The program and its arguments; writes the system prompt to a file in the assignment's `home`.

        A file because one argument may not be longer than 128 KiB. Raises AgentError when it is not installed, or when
        the configuration contradicts itself.
        """
        environment = self.environment(assignment)
        program = find_program(self._settings, environment, own="claude", install=INSTALL)
        options = {
            "--model": assignment.model or self._settings.model,
            "--max-turns": self._settings.max_turns,
            "--max-budget-usd": self._settings.max_usd,
            "--append-system-prompt-file": _write_system(assignment),
            "--resume": self._resumed(assignment, environment),
        }
        return [
            *program,
            *["-p", "--verbose", "--input-format=stream-json", "--output-format=stream-json"],
            # Without partial messages the stream never says how many tokens a call put out.
            *["--include-partial-messages", "--replay-user-messages"],
            # What differs from folder to folder comes after the stable part, so that the provider's cache is hit.
            "--exclude-dynamic-system-prompt-sections",
            *(f"{name}={value}" for name, value in options.items() if value is not None),
            *self._permissions(assignment),
            *self._settings.args,
        ]

    def environment(self, assignment: Assignment) -> dict[str, str]:
        """What is added to the worker's environment: no telemetry or updates unless configured, then what is."""
        quiet = "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"
        own = {} if quiet in os.environ else {quiet: "1"}
        return own | configured_environment(self._settings, assignment.workflow)

    def opening(self, assignment: Assignment) -> bytes:
        """The prompt as the first message."""
        return _message(assignment.text, self._run)

    def message(self, text: str) -> bytes:
        """A further message; in the middle of a turn the model reads it with the next tool result.

        One that is written before standard input is closed is answered, in a turn of its own if need be.
        """
        return _message(text, uuid.uuid4())

    def read(self, line: bytes) -> Iterable[Item]:
        """What a line of standard output says. Raises Malformed."""
        return self._stream.read(line)

    def is_over(self, item: Item) -> bool:
        """Whether standard input is to be closed: it has answered.

        Messages that it had not read yet, and what it left running in the background, may still lead to further turns
        before it ends, each with a Finished of its own: the last one counts for all.
        """
        return isinstance(item, Finished)

    def transcript(self, assignment: Assignment, provider_session: str) -> Iterator[Item]:
        """What the transcripts of a session and of its sub-agents say, then the tokens that no line told.

        The latter only the one knows who read the episode's stream: those of a call that was cut off, and of calls
        beside the conversation (to search the web, say), which only the sums in the stream's last line have.
        """
        files = _transcripts(self.environment(assignment), provider_session)
        reading = Reading(SystemClock(), run=str(self._run), session=provider_session)
        for file in files:
            with file.open("rb") as lines:
                for line in lines:
                    try:
                        yield from reading.read(line)
                    except Malformed:
                        continue
        yield from reading.calls()
        yield from self._stream.untold(reading)

    def _permissions(self, assignment: Assignment) -> list[str]:
        """Which tools it may use. Never --dangerously-skip-permissions, which root cannot have, by our own choice."""
        chosen = {argument.partition("=")[0] for argument in self._settings.args} & DECIDING
        allowed = assignment.workflow.allowed_tools
        if allowed is None:
            return [] if chosen else ["--permission-mode=dontAsk", "--allowedTools", *TOOLS]
        if chosen:
            raise AgentError(
                f"the workflow allows only some tools, but the agent's args decide by {', '.join(sorted(chosen))}: "
                "take that out of `args` in shoal.toml, or `allowed_tools` out of the workflow"
            )
        if wrong := [rule for rule in allowed if not re.match(r"[A-Za-z]", rule)]:
            raise AgentError(
                f"{wrong[0]!r} is no tool of Claude Code: mend `allowed_tools` of the workflow in shoal.toml"
            )
        names = dict.fromkeys(rule.partition("(")[0] for rule in allowed)
        built_in = ",".join(name for name in names if not name.startswith("mcp__"))
        return ["--permission-mode=dontAsk", f"--tools={built_in}", *(["--allowedTools", *allowed] if allowed else [])]

    def _resumed(self, assignment: Assignment, environment: dict[str, str]) -> str | None:
        if assignment.resumes is None:
            return None
        files = _transcripts(environment, assignment.resumes)
        # By its name a session is found only from the folder that it began in, and a new attempt has a new folder.
        return str(files[0]) if files else assignment.resumes


def _message(text: str, name: uuid.UUID) -> bytes:
    # What begins with a slash is taken for a command: `/clear` would drop the conversation.
    said = f" {text}" if text.startswith("/") else text
    content = {"role": "user", "content": [{"type": "text", "text": said}]}
    return msgspec.json.encode({"type": "user", "uuid": str(name), "message": content}) + b"\n"


def _write_system(assignment: Assignment) -> Path | None:
    if not assignment.system:
        return None
    assignment.home.mkdir(parents=True, exist_ok=True)
    file = assignment.home / SYSTEM_FILE
    file.write_text(assignment.system, encoding="utf-8")
    return file.absolute()


def _transcripts(environment: dict[str, str], session: str) -> list[Path]:
    """The session's own, then those of its sub-agents; none when it is not here."""
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]*", session):
        return []
    known = os.environ | environment
    config = known.get("CLAUDE_CONFIG_DIR") or str(Path(known.get("HOME") or "~").expanduser() / ".claude")
    own = sorted(Path(config, "projects").glob(f"*/{session}.jsonl"))
    return [*own, *(agent for file in own for agent in sorted(file.with_suffix("").rglob("agent-*.jsonl")))]
