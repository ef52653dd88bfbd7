"""What can be found by its words, what is looked for, and what comes of it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from shoal.model.task import Status


class DocumentKind(StrEnum):
    """Which text about a task it is."""

    TITLE = "title"
    BODY = "body"
    RESULT = "result"
    NOTE = "note"
    CONTEXT = "context"


class Document(Struct, frozen=True, kw_only=True):
    """One text about a task, by its number. Only a note has an agent, who alone finds it."""

    task: int
    kind: DocumentKind
    agent: str = ""
    text: str


class Term(Struct, frozen=True):
    """Words that stand next to each other; with `prefix` the last one is the beginning of a word."""

    words: tuple[str, ...]
    prefix: bool = False
    without: bool = False


class Hit(Struct, frozen=True):
    """A task that was found, and the kind of its text that matched best; `agent` is whose note that is."""

    id: int
    task_id: str
    title: str
    status: Status
    kind: DocumentKind
    agent: str | None


class KnowledgeNote(Struct, frozen=True, kw_only=True):
    """A note of the vault's knowledge folder. `hash` names its content."""

    path: str
    title: str
    lesson: bool
    hash: str
    text: str
