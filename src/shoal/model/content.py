"""What goes into the vault and comes out of it: content, which the ledger never stores. Where it stands: the vault."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from shoal.model.session import Branch
from shoal.model.task import Task

RESCUE_LIMIT = 5_000_000  # bytes of a bundle or patch; as JSON it fits into `body_limit_bytes`
Key = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^[\w.-]+(?![\s\S])", description="Letters, digits, . _ and -")
]


class ContentKind(StrEnum):
    """What a piece of content is to a task."""

    BODY = "body"
    FILE = "file"
    RESULT = "result"
    DISCOVERY = "discovery"
    SHARED = "shared"
    NOTE = "note"
    PROGRESS = "progress"
    ARCHIVE = "archive"
    RESTORE = "restore"
    RESCUED = "rescued"


class Entry(Struct, frozen=True):
    """A piece of content on its way into the vault. `token` stands in the event of the transaction that it belongs to.

    `key` and `value` are what is shared; of what was rescued `key` is the file's name, and `text` base64.
    `base` is the version of the body that a new body replaces, with `whole`
    also what others wrote under its headings.
    """

    token: str
    task: int
    at: int
    agent: str
    what: ContentKind
    text: str = ""
    key: str | None = None
    value: Any = None
    base: str | None = None
    whole: bool = False
    attempt: int | None = None


class Facts(Struct, frozen=True):
    """What the ledger knows of a task and its file shows."""

    task: Task
    depends_on: list[str] = []
    parent: str | None = None
    cost_usd_micros: int = 0


class Body(Struct, frozen=True):
    """The body of a task's file. `path` is within the vault, null while there is no file; `version` names the text."""

    task_id: str
    text: str
    path: str | None
    version: str


class Context(Struct, frozen=True):
    """What the participants of a task share."""

    task_id: str
    values: dict[str, Any]
    updated_at: str | None = None
    updated_by: str | None = None


class ProgressLine(Struct, frozen=True):
    """One line of a task's progress log. `timestamp` is ISO 8601, UTC."""

    timestamp: str
    agent: str
    progress: int | None = None
    message: str | None = None
    attempt: int | None = None


class Notes(Struct, frozen=True):
    """An agent's private notes on a task."""

    task_id: str
    agent: str
    text: str


class Rescue(Struct, frozen=True, kw_only=True):
    """Work that an attempt could not push. `path` is where the vault has it, a bundle or patch; or it is `missing`."""

    task_id: str
    attempt: int
    at: int
    repository: str
    reason: str
    branches: list[Branch]
    file: str | None = None
    path: str | None = None
    bytes: int = 0
    missing: str | None = None


class RescuedFile(Struct, frozen=True):
    """A bundle or patch."""

    file: str
    data: bytes


class Written(Struct, frozen=True):
    """Content was taken: it is on the disk, and in its file a moment later."""

    task_id: str
    what: ContentKind
