"""What an agent is told: sections in tags, messages, and the only order in which they stand. What goes into them:
services/prompts.py.

The order is a contract with providers' caches, which keep what begins the same: the stable system text, the
conversation so far, new tool results, and one last block of what is different every time. `build` is the way to
messages, and a Prompt whose messages stand otherwise cannot be made.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta, Struct

from shoal.errors import BadInput
from shoal.model.fields import Name


class Way(StrEnum):
    """Why an agent is started: for the first time, to go on, or with several results or messages at once."""

    FIRST = "first"
    CONTINUATION = "continuation"
    BATCH = "batch"


class Cause(StrEnum):
    """What a continuation comes after."""

    VERIFICATION = "verification"
    REJECTION = "rejection"
    INTERRUPT = "interrupt"
    CRASH = "crash"
    FAILURE = "failure"


class Part(StrEnum):
    """The parts of a prompt, in their order."""

    SYSTEM = "system"
    CONVERSATION = "conversation"
    TOOL_RESULTS = "tool_results"
    DYNAMIC = "dynamic"


Role = Literal["system", "user", "assistant", "tool"]
ROLES: dict[Part, tuple[Role, ...]] = {
    Part.SYSTEM: ("system",),
    Part.CONVERSATION: ("user", "assistant", "tool"),
    Part.TOOL_RESULTS: ("tool",),
    Part.DYNAMIC: ("user",),
}
# The sections of each part, in their order.
SECTIONS: dict[Part, tuple[str, ...]] = {
    Part.SYSTEM: ("role", "rules", "workflow", "tools"),
    Part.CONVERSATION: ("left_out", "said", "called"),
    Part.TOOL_RESULTS: ("tool_result",),
    Part.DYNAMIC: (
        *("task", "body", "dependencies", "history", "results", "context", "notes", "comment"),
        *("memory", "workspace", "workspace_notes", "message", "failure", "next", "time"),
    ),
}
# Characters, of all sections of a name together. What they hold is cut there, and says so.
LIMITS = {
    "workflow": 20_000,
    "said": 4_000,
    "conversation": 60_000,
    "tool_result": 60_000,
    "task": 12_000,
    "body": 40_000,
    "dependencies": 8_000,
    "history": 6_000,
    "results": 8_000,
    "context": 16_000,
    "notes": 12_000,
    "comment": 8_000,
    "memory": 8_000,
    "workspace": 4_000,
    "workspace_notes": 6_000,
    "message": 20_000,
    "failure": 20_000,
}
BYTES_PER_TOKEN = 4
TAG = "shoal_"  # every tag of a prompt begins so
# Whatever could be read as the beginning of one of these tags, in all the characters that look like one.
_FORGED = re.compile(r"[<＜﹤‹〈⟨](?=[^\w<]{0,8}shoal)", re.IGNORECASE)
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_QUOTED = str.maketrans({"&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;", "\n": " ", "\r": " ", "\t": " "})


class Section(Struct, frozen=True):
    """A text in a tag of its own. Nothing in the text can close the tag or open another one of ours."""

    name: str
    text: str
    attributes: dict[str, str] = {}

    def __str__(self) -> str:
        named = "".join(f' {key}="{plain(value).translate(_QUOTED)}"' for key, value in self.attributes.items())
        return f"<{TAG}{self.name}{named}>\n{escaped(self.text.strip(chr(10)))}\n</{TAG}{self.name}>"


class Turn(Struct, frozen=True):
    """One step of the conversation so far."""

    role: Literal["user", "assistant", "tool"]
    section: Section


class PromptContext(Struct, frozen=True):
    """Everything that a prompt is made of."""

    system: list[Section]
    conversation: list[Turn]
    tool_messages: list[Section]
    dynamic: list[Section]


class Message(Struct, frozen=True):
    """One message, and which part of the prompt it belongs to."""

    role: Role
    text: str
    part: Part


class Size(Struct, frozen=True):
    """How large a part is, or one of its sections; tokens are estimated as a quarter of the bytes."""

    part: Part
    section: str | None
    characters: int
    tokens: int


class ToolResult(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool answered that an agent has not seen yet; with `error` it failed."""

    tool_call_id: Name
    name: Name
    result: str = ""
    error: str | None = None


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """A success criterion that did not hold, or another demand, and why."""

    criterion: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.criterion}: {self.reason}"


class Prompt(Struct, frozen=True, kw_only=True):
    """What an agent is told. `stable_hash` names the system text: the same for every episode of a configuration.

    An agent gets `system` as its system prompt, and `conversation` and `latest` as the user's message; one that
    resumes its provider's session gets `latest` alone. `query` are the words by which memory was looked for.
    """

    task_id: str
    way: Way
    cause: Cause | None
    agent: str | None
    workflow: str
    messages: list[Message]
    sizes: list[Size]
    stable_hash: str
    query: list[str] = []
    warnings: Annotated[list[str], Meta(description="What is not as was asked for, such as an unknown workflow.")] = []

    def __post_init__(self) -> None:
        check(self.messages)

    @property
    def system(self) -> str:
        """The stable text."""
        return self._text(Part.SYSTEM)

    @property
    def conversation(self) -> str:
        """What was said before; empty in a new conversation."""
        return self._text(Part.CONVERSATION)

    @property
    def latest(self) -> str:
        """What is new: tool results, and the block of dynamic context."""
        return self._text(Part.TOOL_RESULTS, Part.DYNAMIC)

    def _text(self, *parts: Part) -> str:
        return "\n\n".join(message.text for message in self.messages if message.part in parts)


def build(context: PromptContext) -> list[Message]:
    """The messages of a prompt, in the only order. Raises BadInput for a section that does not belong to its part."""
    _check_sections(Part.SYSTEM, context.system)
    _check_sections(Part.DYNAMIC, context.dynamic)
    for part, sections in (
        (Part.CONVERSATION, [turn.section for turn in context.conversation]),
        (Part.TOOL_RESULTS, context.tool_messages),
    ):
        _check_names(part, sections)
    messages = [
        Message("system", _joined(context.system), Part.SYSTEM),
        *(Message(turn.role, str(turn.section), Part.CONVERSATION) for turn in context.conversation),
        *(Message("tool", str(section), Part.TOOL_RESULTS) for section in context.tool_messages),
        Message("user", _joined(context.dynamic), Part.DYNAMIC),
    ]
    check(messages)
    return messages


def check(messages: Sequence[Message]) -> None:
    """Refuse messages in any other order: one system message, conversation, tool results, one dynamic message."""
    order = list(Part)
    before: Part | None = None
    for number, message in enumerate(messages, start=1):
        named = f"message {number} ({message.part.value}, {message.role})"
        if before is None and message.part is not Part.SYSTEM:
            raise BadInput(f"{named} stands first; a prompt begins with its system text", field="messages")
        if before is not None and order.index(message.part) < order.index(before):
            raise BadInput(
                f"{named} stands behind {before.value}; the order is {', '.join(order)}, and no other", field="messages"
            )
        if message.part is before and message.part in (Part.SYSTEM, Part.DYNAMIC):
            raise BadInput(f"{named} is the second of its part; there is one", field="messages")
        if message.role not in ROLES[message.part]:
            raise BadInput(
                f"{named} must be {' or '.join(ROLES[message.part])} in the part {message.part.value}", field="messages"
            )
        before = message.part
    if before is not Part.DYNAMIC:
        raise BadInput("the last message must be the block of dynamic context", field="messages")


def measure(context: PromptContext) -> list[Size]:
    """How large each part is, and within it each section."""
    contents: dict[Part, list[Section]] = {
        Part.SYSTEM: context.system,
        Part.CONVERSATION: [turn.section for turn in context.conversation],
        Part.TOOL_RESULTS: context.tool_messages,
        Part.DYNAMIC: context.dynamic,
    }
    sizes = []
    for part, sections in contents.items():
        sizes.append(_size(part, None, _joined(sections)))
        named = {section.name for section in sections}
        for name in (name for name in SECTIONS[part] if name in named):
            own = _joined(section for section in sections if section.name == name)
            sizes.append(_size(part, name, own))
    return sizes


def hash_of(text: str) -> str:
    """A name for a text: the same for the same text only."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(text: str) -> str:
    """A text without characters that no program should be handed: NUL, escapes of terminals, halves of characters."""
    return _UNSEEN.sub("�", text.replace("\r\n", "\n").replace("\r", "\n"))


def escaped(text: str) -> str:
    """A text in which nothing reads as one of our tags; code in it stays as it is."""
    return _FORGED.sub("&lt;", plain(text))


def cut(text: str, limit: int, *, more: str, keep: Literal["beginning", "end"] = "beginning") -> str:
    """So much of a text, and a line that says what is left out and what shows `more`."""
    text = plain(text).strip("\n")
    if len(text) <= limit:
        return text
    gone = len(text) - limit
    if keep == "beginning":
        return f"{text[:limit].rstrip()}\n[{gone:,} more characters are left out; all of it: {more}]"
    return f"[{gone:,} characters before this are left out; all of it: {more}]\n{text[gone:].lstrip()}"


def one_line(text: str, limit: int) -> str:
    """A text on one line, and so much of it."""
    text = " ".join(plain(text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _joined(sections: Iterable[Section]) -> str:
    return "\n\n".join(map(str, sections))


def _size(part: Part, section: str | None, text: str) -> Size:
    return Size(part, section, len(text), -(-len(text.encode()) // BYTES_PER_TOKEN))


def _check_names(part: Part, sections: Iterable[Section]) -> None:
    for section in sections:
        if section.name not in SECTIONS[part]:
            raise BadInput(f"the section {section.name} does not belong into {part.value}", field="messages")


def _check_sections(part: Part, sections: list[Section]) -> None:
    _check_names(part, sections)
    order = SECTIONS[part]
    for before, after in pairwise(sections):
        if order.index(after.name) < order.index(before.name):
            raise BadInput(f"the section {after.name} stands behind {before.name} in {part.value}", field="messages")
