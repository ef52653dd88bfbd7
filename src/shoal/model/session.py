"""What a session is, and the items that an agent's stream or transcript says of it. How they are read from a provider's
own format: adapters/agents; how they are kept: services/sessions.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from shoal.errors import BadInput
from shoal.mistakes import explain
from shoal.model.cost import Usage
from shoal.model.fields import NO_NUL, ONE_LINE, Count, Moment, Name

PREVIEW_LIMIT = 500
MESSAGE_LIMIT = 4000
# What git takes as a branch, and what is no option and no refspec besides.
BRANCH_NAME = (
    r"^(?![-/.])(?!.*(\.\.|//|/\.|@\{|\.lock(/|(?![\s\S]))|[./](?![\s\S])))"
    r"[^\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]+(?![\s\S])"
)
COMMIT = r"^(?!0*(?![\s\S]))([0-9a-f]{40}|[0-9a-f]{64})(?![\s\S])"
Preview = Annotated[str, Meta(max_length=PREVIEW_LIMIT, pattern=NO_NUL, description="The beginning of a longer text.")]
MessageText = Annotated[str, Meta(max_length=MESSAGE_LIMIT, pattern=NO_NUL)]


class Outcome(StrEnum):
    """How an episode of an agent ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OVER_LIMIT = "over_limit"
    STOPPED = "stopped"
    LOST = "lost"


class Branch(Struct, frozen=True):
    """Where a session's work on a repository stands: `head` is its newest commit, `base` the one it began at.

    What comes in is held against `check_branches`; what older ledgers took can still be read.
    """

    repository: str
    branch: str
    base: str
    head: str
    commits: int = 0
    pushed: bool = False


class _Branch(Struct, frozen=True):
    repository: Annotated[str, Meta(min_length=1, max_length=1000, pattern=ONE_LINE)]
    branch: Annotated[str, Meta(max_length=250, pattern=BRANCH_NAME)]
    base: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}(?![\s\S])")]
    head: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}(?![\s\S])")]
    commits: Count
    pushed: bool


class _WholeBranch(_Branch, frozen=True):
    head: Annotated[str, Meta(pattern=COMMIT)]


class Started(Struct, frozen=True, tag="started", tag_field="item"):
    """The agent has begun; `provider_session` is what its provider calls the session."""

    provider_session: Name | None = None
    model: Name | None = None


class Said(Struct, frozen=True, tag="said", tag_field="item"):
    """A message. `key` names it within the session, so that reading it twice keeps it once."""

    key: Name
    role: Literal["assistant", "reasoning", "user", "system"]
    text: MessageText
    at: Moment | None = None


class ToolBegun(Struct, frozen=True, tag="tool_begun", tag_field="item"):
    """The agent calls a tool."""

    tool_call_id: Name
    name: Name
    arguments: Preview = ""
    at: Moment | None = None


class ToolEnded(Struct, frozen=True, tag="tool_ended", tag_field="item"):
    """A tool has answered, or failed with `error`."""

    tool_call_id: Name
    result: Preview = ""
    error: Preview | None = None
    duration_ms: Count | None = None
    at: Moment | None = None


class Spent(Struct, frozen=True, tag="spent", tag_field="item"):
    """What one model call used."""

    usage: Usage


class Finished(Struct, frozen=True, tag="finished", tag_field="item"):
    """The agent's own last word on an episode: the final text, and what it says that all of it cost."""

    ok: bool
    text: MessageText = ""
    error: Preview | None = None
    turns: Count | None = None
    cost_usd_micros: Count | None = None
    over_limit: bool = False


Item = Started | Said | ToolBegun | ToolEnded | Spent | Finished


class Session(Struct, frozen=True):
    """One conversation of an agent about a task; its fields stand in the order in which sessions.sql selects them.

    `attempt` is the latest that continued it, `episodes` how often the agent was started in it, `malformed` how many
    lines of its stream could not be read. A limit that is null does not hold; `stop` says which one was exceeded. `log`
    is a file on the worker's machine; a path that does not begin with / is one in the vault, where it was moved.
    Without `outcome` an episode is under way; it is `lost` when the attempt lost the task. `configuration` names what
    the agent's requests begin with: settings and the stable part of the prompt.
    """

    id: int
    task: int
    attempt: int
    agent: str
    kind: str
    provider: str | None
    model: str | None
    workflow: str | None
    provider_session: str | None
    workspace: str | None
    log: str | None
    branches: list[Branch]
    max_usd_micros: int | None
    max_tokens: int | None
    max_turns: int | None
    episodes: int
    turns: int
    malformed: int
    outcome: Outcome | None
    error: str | None
    started_at: int
    ended_at: int | None
    takes_messages: bool
    stop: str | None
    configuration: str | None
    task_id: str


class ToolCall(Struct, frozen=True):
    """A tool that an agent called: previews of what it was given and what came back.

    `name` is empty when only its end was seen. Without `result` and `error` it runs.
    """

    tool_call_id: str
    name: str
    arguments: str
    result: str | None
    error: str | None
    duration_ms: int | None


class Line(Struct, frozen=True):
    """One line of a session's transcript: a message (`role` and `text`), or a tool call (`role` tool)."""

    id: int
    at: int
    attempt: int
    role: str
    text: str | None = None
    tool: ToolCall | None = None


class Delivery(StrEnum):
    """How a message gets to an agent: while it runs, when it has ended what it is at, or at the next episode."""

    LIVE = "live"
    NEXT_TURN = "next_turn"
    NEXT_EPISODE = "next_episode"


class Told(Struct, frozen=True):
    """A message to whoever works on a task. `delivery` says how it gets there."""

    id: int
    task_id: str
    actor: str
    text: str
    at: int
    delivery: Delivery
    delivered_at: int | None = None


class Recorded(Struct, frozen=True):
    """The answer to an episode's report: what was said to it meanwhile, and why it must stop, if it must."""

    told: list[Told] = []
    stop: str | None = None


def live_message(actor: str, text: str) -> str:
    """How an agent that runs is told what someone said; some repeat it in their streams."""
    return f"{actor} says: {text}"


def preview(text: str, limit: int = PREVIEW_LIMIT) -> str:
    """The beginning of a text, as the ledger keeps it: what no database or JSON can hold is replaced."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    text = text.replace("\x00", "�")
    return text if text.isascii() else text.encode(errors="replace").decode()


def is_branch_name(name: str) -> bool:
    """Whether git takes this as the name of a branch."""
    return re.search(BRANCH_NAME, name) is not None


def check_branches(branches: Iterable[Branch], *, whole: bool = False) -> None:
    """Raise BadInput for a branch that git could not have, or a commit that is none; with `whole` each has its head."""
    for number, one in enumerate(branches):
        try:
            msgspec.convert(msgspec.structs.asdict(one), _WholeBranch if whole else _Branch)
        except UnicodeEncodeError:
            raise BadInput(f"branches[{number}]: it holds what is no text", field="branches") from None
        except msgspec.ValidationError as error:
            field, message = explain(error, _Branch)
            place = f"branches[{number}]" + (f".{field}" if field else "")
            raise BadInput(f"{place}: {message}", field=place) from None


_branches = msgspec.json.Decoder(list[Branch]).decode


def branches_from_text(text: str | None) -> list[Branch]:
    """Branches as they are stored: JSON text, none as NULL."""
    return _branches(text) if text else []


def session_from_row(row: tuple[Any, ...], prefix: str) -> Session:
    """A session from its row."""
    values = list(row)
    values[11] = branches_from_text(values[11])
    values[18] = Outcome(values[18]) if values[18] else None
    values[22] = values[22] == 1
    values.append(f"{prefix}{values[1]}")
    return Session(*values)
