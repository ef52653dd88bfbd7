"""Any program as an agent: the task as JSON on standard input, the prompt in a file, items as lines of JSON.

The guide for those who write one is docs/guides/agents.md, "Your own program".
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import msgspec

from shoal.adapters.agents.agent import Assignment, Malformed
from shoal.adapters.agents.program import configured_environment, find_program
from shoal.errors import AgentError
from shoal.model.session import Finished, Item, Said, preview
from shoal.settings import AgentSettings, WorkflowSettings

PROMPT_FILE = "prompt.md"
LINES_KEPT = 1000  # of plain text, as messages; the log has all of them


class Command:
    """Runs a program of the user's own."""

    provider: str | None = None
    takes_messages = False
    separates_errors = False

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._run = secrets.token_hex(6)
        self._lines = 0

    def check(self, workflow: WorkflowSettings) -> None:
        """Raise AgentError when its program, or a variable that it needs, is not here."""
        self._program(configured_environment(self._settings, workflow))

    def has_session(self, assignment: Assignment, provider_session: str) -> bool:
        """Its sessions are its own affair: it named one, so it may be asked for it."""
        return True

    def command(self, assignment: Assignment) -> list[str]:
        """The program and its arguments. Raises AgentError when it cannot be found."""
        return [*self._program(self.environment(assignment)), *self._settings.args]

    def environment(self, assignment: Assignment) -> dict[str, str]:
        """What is added to the worker's environment. Writes the prompt into its file."""
        prompt = assignment.home / PROMPT_FILE
        prompt.parent.mkdir(parents=True, exist_ok=True)
        parts = [assignment.text] if assignment.resumes else [assignment.system, assignment.text]
        text = "\n\n".join(part for part in parts if part)
        prompt.write_text(text + "\n", encoding="utf-8", errors="replace")
        added = configured_environment(self._settings, assignment.workflow)
        added["SHOAL_PROMPT_FILE"] = str(prompt.absolute())
        added["SHOAL_MODEL"] = assignment.model or self._settings.model or ""
        added["SHOAL_RESUMES"] = assignment.resumes or ""
        if assignment.workflow.allowed_tools is not None:
            added["SHOAL_ALLOWED_TOOLS"] = " ".join(assignment.workflow.allowed_tools)
        return added

    def opening(self, assignment: Assignment) -> bytes:
        """The claimed task as JSON; standard input is closed after it."""
        return assignment.claim

    def message(self, text: str) -> bytes:
        """Nothing: it takes no messages while it runs."""
        return b""

    def read(self, line: bytes) -> Iterable[Item]:
        """An item when the line is one, else a message. Raises Malformed."""
        if line.lstrip().startswith(b"{"):
            try:
                if "item" in msgspec.json.decode(line, type=dict[str, msgspec.Raw]):
                    return [msgspec.json.decode(line, type=Item)]
            except msgspec.ValidationError as error:
                raise Malformed(f"not an item: {error}") from None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # not JSON: a line of text that happens to begin so
        text = line.decode(errors="replace").strip()
        if not text or self._lines >= LINES_KEPT:
            return []
        self._lines += 1
        return [Said(key=f"{self._run}-{self._lines}", role="assistant", text=preview(text, 4000))]

    def is_over(self, item: Item) -> bool:
        """It ends by itself after the last word."""
        return isinstance(item, Finished)

    def transcript(self, assignment: Assignment, provider_session: str) -> Iterable[Item]:
        """Nothing: what it has to say is in its stream."""
        return ()

    def _program(self, environment: dict[str, str]) -> list[str]:
        if not self._settings.program:
            raise AgentError('an agent of kind command has no program; name it in shoal.toml: program = ["./agent.sh"]')
        return find_program(self._settings, environment, own="", install="")
