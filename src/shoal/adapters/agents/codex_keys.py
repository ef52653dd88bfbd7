"""What Codex says of its items, read alike from its stream and its rollout, and the keys that are the same in both.

The stream calls them item_0, item_1, … from the start in every episode; the rollout has the model's own call ids.
Neither knows the other's. So a key is made of what both have: the number of the turn in the session, the content of the
item, and how often the turn had the same before.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct

from shoal.model.session import Said, ToolBegun, ToolEnded, preview

KINDS = {
    "CommandExecution": "command_execution",
    "FileChange": "file_change",
    "McpToolCall": "mcp_tool_call",
    "WebSearch": "web_search",
    "CollabAgentToolCall": "collab_tool_call",
}
CALLS = frozenset(KINDS.values())
_SHELL = re.compile(r"\S+ -l?c (.*)", re.DOTALL)
_QUOTING = re.compile(r"""['"\\]""")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class Problem(Struct):
    """Why something failed."""

    message: str = ""


class Duration(Struct):
    """As the rollout writes it."""

    secs: int = 0
    nanos: int = 0


class CodexItem(Struct):
    """One item, of the stream or of the rollout; each kind has some of these fields."""

    type: str
    id: str = ""
    text: str = ""
    message: str = ""
    command: str | list[str] = ""
    aggregated_output: str | None = None
    exit_code: int | None = None
    status: str | None = None
    changes: list[Any] | dict[str, Any] = []
    stdout: str | None = None
    stderr: str | None = None
    server: str = ""
    tool: str = ""
    arguments: Any = None
    result: Any = None
    error: Problem | None = None
    query: str = ""
    prompt: str | None = None
    receiver_thread_ids: list[str] = []
    agents_states: Any = None
    summary_text: list[str] = []
    content: list[Any] = []
    duration: Duration | None = None


class Keys:
    """Gives out the keys of one session, turn by turn."""

    def __init__(self, turns: int = 0) -> None:
        self.turns = turns
        self._seen: Counter[str] = Counter()

    def next_turn(self) -> None:
        """A turn begins."""
        self.turns += 1
        self._seen.clear()

    def key(self, kind: str, content: str) -> str:
        """The key of the next item of this kind and content."""
        # surrogatepass: half of a character is content like any other.
        digest = hashlib.sha256(f"{kind}\n{content}".encode(errors="surrogatepass")).hexdigest()[:16]
        self._seen[digest] += 1
        return f"{self.turns}-{digest}-{self._seen[digest]}"

    def said(self, role: Any, text: str, at: int | None = None) -> Said:
        """A message with its key."""
        return Said(key=self.key(role, text), role=role, text=preview(text, 4000), at=at)

    def begun(self, item: CodexItem, at: int | None = None) -> ToolBegun:
        """A call of a tool with its key."""
        kind = KINDS.get(item.type, item.type)
        name, arguments, content = _describe(kind, item)
        return ToolBegun(tool_call_id=self.key(kind, content), name=name, arguments=preview(arguments), at=at)

    def command(self, script: str) -> str:
        """The key of a command that has no item of its own."""
        return self.key("command_execution", _unquoted(script))


def ended(key: str, item: CodexItem, *, duration_ms: int | None = None, at: int | None = None) -> ToolEnded:
    """How a call of a tool ended."""
    if item.duration is not None:
        duration_ms = max(0, item.duration.secs * 1000 + item.duration.nanos // 1_000_000)
    error = _error(item)
    return ToolEnded(
        tool_call_id=key,
        result=preview(_result(item)),
        error=None if error is None else preview(error),
        duration_ms=duration_ms if duration_ms is None or duration_ms < 2**53 else None,
        at=at,
    )


def one_line(text: str, otherwise: str) -> str:
    """A text as a name: one line of at most 200 characters."""
    return _UNPRINTABLE.sub(" ", text).strip()[:200].strip() or otherwise


def as_text(value: Any) -> str:
    """A JSON value for people: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _describe(kind: str, item: CodexItem) -> tuple[str, str, str]:
    """Name, arguments for people, and what tells this call from others."""
    if kind == "command_execution":
        script = _script(item.command)
        return kind, script, _unquoted(script if isinstance(item.command, list) else _quoted_script(item.command))
    if kind == "file_change":
        changes = sorted(_changes(item))
        shown = "\n".join(f"{change} {path}".strip() for path, change in changes)
        return kind, shown, "\n".join(path for path, _ in changes)
    if kind == "mcp_tool_call":
        arguments = msgspec.json.encode(item.arguments, order="deterministic").decode()
        name = one_line(f"mcp__{item.server}__{item.tool}", kind)
        return name, "" if item.arguments is None else arguments, f"{name} {arguments}"
    if kind == "web_search":
        return kind, item.query, item.query
    return one_line(item.tool, kind), item.prompt or "", f"{item.tool} {item.prompt or ''}"


def _script(command: str | list[str]) -> str:
    """What was given to the shell, without `/bin/bash -lc`."""
    words = command
    if isinstance(words, str):
        try:
            words = shlex.split(words)
        except ValueError:
            return _quoted_script(str(command))
    return words[2] if len(words) == 3 and words[1] in ("-c", "-lc") else " ".join(words)


def _quoted_script(command: str) -> str:
    shell = _SHELL.fullmatch(command)
    return shell[1] if shell else command


def _unquoted(script: str) -> str:
    # The stream quotes a command as one text, the rollout has its words: without any quoting they are the same.
    return _QUOTING.sub("", script)


def _changes(item: CodexItem) -> list[tuple[str, str]]:
    """Paths and what happened to them: a list in the stream, an object in the rollout."""
    if isinstance(item.changes, dict):
        found = [(path, change.get("type")) for path, change in item.changes.items() if isinstance(change, dict)]
    else:
        found = [(str(change.get("path")), change.get("kind")) for change in item.changes if isinstance(change, dict)]
    return [(path, kind if isinstance(kind, str) else "") for path, kind in found]


def _result(item: CodexItem) -> str:
    if item.aggregated_output is not None:
        return item.aggregated_output
    if item.stdout is not None:
        return item.stdout
    if isinstance(item.result, dict) and isinstance(item.result.get("content"), list):
        return "\n".join(texts(item.result["content"]))
    if item.result is not None:
        return as_text(item.result)
    return "" if item.agents_states is None else as_text(item.agents_states)


def _error(item: CodexItem) -> str | None:
    if item.error is not None:
        return item.error.message or "failed"
    if item.exit_code not in (None, 0):
        return f"exit {item.exit_code}"
    if item.status in ("failed", "declined"):
        return (item.stderr or "").strip() or item.status
    return None


def texts(content: list[Any]) -> list[str]:
    """The texts among the parts of a message or of an MCP tool's answer."""
    return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
