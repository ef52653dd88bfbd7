"""What a work item is: a candidate for work, before anybody is paid for it. How one becomes tasks: decomposition.py."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shoal.model.fields import NO_NUL, Count, Minutes, Moment, Name, PriorityInput, Text, Title

PREFIX = "W"
LONGEST_TEXT = 4000
ItemRef = Annotated[str | int, Meta(description="A work item: its number (17) or W17.")]
Project = Annotated[Name, Meta(description="What an item belongs to: the name of a checkout.")]
# Names with / between them; none is empty or `..`, so that it never leads out of the project's folder.
_NAME = r"(?!\.\.(?:/|(?![\s\S])))[^\x00/]+"
_PATH = rf"^{_NAME}(?:/{_NAME})*(?![\s\S])"
LONGEST_PATH = 1000
Path = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_PATH,
        pattern=_PATH,
        description="A path in the project, with / between folders.",
        extra={"form": "a path below the project's folder, as docs/TODO.md, without `..` or a / in front"},
    ),
]
ItemText = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT, pattern=NO_NUL)]
Heading = Annotated[list[Annotated[str, Meta(max_length=500, pattern=NO_NUL)]], Meta(max_length=20)]
# Behind an item's words, for machines: `~2h`, `id:login`; `P1`, `#ops` and `@ana` alone may belong to the sentence.
_TAG = re.compile(
    r"~\d[\d.]*[a-z]+"
    r"|(?:id|blocked-by|depends-on|needs|after|type|repo|size|effort|prio|priority|owner|assignee|due|est|estimate)"
    r":(?!\S*//)\S+"
)
_MARK = re.compile(r"P[0-3]|[#@][A-Za-z][\w/-]*")
Labels = Annotated[list[Name], Meta(max_length=50)]
Refs = Annotated[
    dict[Name, Name], Meta(max_length=50, description="What it is called elsewhere, by the system's name.")
]


def is_path(text: str) -> bool:
    """Whether a text is a path that stays below the folder that it is in."""
    return len(text) <= LONGEST_PATH and re.match(_PATH, text) is not None


class ItemStatus(StrEnum):
    """Where a work item is in its life."""

    NEW = "new"
    TRIAGED = "triaged"
    ASSESSED = "assessed"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    WONTFIX = "wontfix"
    STALE = "stale"


ITEM_STATUS_MEANINGS = {
    ItemStatus.NEW: "found, and nobody has decided",
    ItemStatus.TRIAGED: "accepted: worth a look",
    ItemStatus.ASSESSED: "somebody or a model has said what it takes",
    ItemStatus.IN_PROGRESS: "has tasks that are not done",
    ItemStatus.DONE: "done: its tasks are, its box is ticked, or its finding is gone",
    ItemStatus.WONTFIX: "rejected",
    ItemStatus.STALE: "not seen in the last scans",
}
OPEN = frozenset({ItemStatus.NEW, ItemStatus.TRIAGED, ItemStatus.ASSESSED, ItemStatus.IN_PROGRESS})
CLOSED = frozenset({ItemStatus.DONE, ItemStatus.WONTFIX})


class Origin(StrEnum):
    """Where an item came from."""

    SCAN = "scan"
    CHECK = "check"
    MANUAL = "manual"
    IMPORT = "import"


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


BY_SEVERITY = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 3}  # the priority of a finding


class Effort(StrEnum):
    """How long it takes: small is less than half an hour, medium up to two hours, large more."""

    UNKNOWN = "unknown"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"

    @classmethod
    def of(cls, minutes: int | None) -> Effort:
        """What so many minutes are; unknown for none."""
        if not minutes:
            return cls.UNKNOWN
        return cls.SMALL if minutes < 30 else cls.MEDIUM if minutes <= 120 else cls.LARGE

    @property
    def minutes(self) -> int | None:
        """What is reckoned for it where no minutes were said; None for unknown."""
        return {Effort.SMALL: 20, Effort.MEDIUM: 75, Effort.LARGE: 240}.get(self)


class Risk(StrEnum):
    """How much may go wrong."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Tier(StrEnum):
    """Whether it may be done without asking: `safe_always` may, by a rule."""

    UNKNOWN = "unknown"
    SAFE_ALWAYS = "safe_always"
    CODE_CHANGE = "code_change"


class Confidence(StrEnum):
    """How sure whoever assessed it was."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Form(StrEnum):
    """How it stands in its source. A decision and a question are kept and labelled, and are no work."""

    BOX = "box"
    LIST = "list"
    SECTION = "section"
    COMMENT = "comment"
    NOTE = "note"
    DECISION = "decision"
    QUESTION = "question"


NO_WORK = frozenset({Form.DECISION, Form.QUESTION})


class Item(Struct, frozen=True, kw_only=True):
    """A work item, whole; its fields stand in the order of the table's columns (a test holds that).

    Times are epoch milliseconds. `text_hash` is the SHA-256 of the normalised text, a hint and not the identity.
    `unseen` counts the scans since it was last seen. `prioritised_by` names what gave it its priority (`rules`, a
    model); null when a person or its source did.
    """

    id: int
    project: str
    source_file: str | None
    source_line: int | None
    heading: list[str]
    text: str
    text_hash: str
    form: Form
    status: ItemStatus
    accepted: bool
    decided_by: str | None
    origin: Origin
    check_name: str | None
    rule: str | None
    run: int | None
    severity: Severity | None
    title: str | None
    summary: str | None
    effort: Effort
    estimate_minutes: int | None
    risk: Risk
    priority: int | None
    sort_order: int
    tier: Tier
    type: str | None
    labels: list[str]
    owner: str | None
    due_at: int | None
    parent: int | None
    refs: dict[str, str]
    confidence: Confidence | None
    assessed_at: int | None
    assessed_by: str | None
    assessment_version: int
    input_hash: str | None
    first_seen_at: int
    last_seen_at: int
    unseen: int
    merged_into: int | None
    done_at: int | None
    done_commit: str | None
    created_at: int
    updated_at: int
    prioritised_by: str | None
    item_id: str

    @property
    def name(self) -> str:
        """What people read of it: its title, else the first line of its text without the tags at its end."""
        return self.title or named(self.text)


def named(text: str) -> str:
    """The first line of a text, without the tags at its end."""
    line = text.split("\n", 1)[0]
    words = line.split(" ")
    end = len(words)
    while end and (not words[end - 1] or _TAG.fullmatch(words[end - 1]) or _MARK.fullmatch(words[end - 1])):
        end -= 1
    tags = [word for word in words[end:] if word]
    sure = len(tags) > 1 or any(_TAG.fullmatch(tag) for tag in tags)
    return (" ".join(words[:end]).rstrip() if sure else line) or line


class ItemDetail(Item, frozen=True, kw_only=True):
    """An item with what hangs on it: files, items before and after it, the tasks that it became.

    `missing_files` are those that its last assessment names, and that were not there.
    """

    files: list[ItemFile]
    missing_files: list[str]
    blocked_by: list[str]
    blocks: list[str]
    children: list[str]
    tasks: list[str]


class ItemFile(Struct, frozen=True):
    """A file that an item is about."""

    path: str
    validated: bool


class NewItem(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an item is made from by hand; only the text is needed."""

    text: ItemText
    project: Project = "default"
    source_file: Path | None = None
    source_line: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    heading: Heading = []
    title: Title | None = None
    summary: Text | None = None
    severity: Severity | None = None
    effort: Effort = Effort.UNKNOWN
    estimate_minutes: Minutes | None = None
    risk: Risk = Risk.UNKNOWN
    priority: PriorityInput | None = None
    tier: Tier = Tier.UNKNOWN
    type: Name | None = None
    labels: Labels = []
    owner: Name | None = None
    due_at: Moment | None = None
    parent: ItemRef | None = None
    refs: Refs = {}
    accepted: bool = False
    files: Annotated[list[Path], Meta(max_length=200)] = []


class ItemChanges(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields of an item that an edit may change; what is left out stays, null clears."""

    text: ItemText | UnsetType = UNSET
    title: Title | UnsetType | None = UNSET
    summary: Text | UnsetType | None = UNSET
    severity: Severity | UnsetType | None = UNSET
    effort: Effort | UnsetType = UNSET
    estimate_minutes: Minutes | UnsetType | None = UNSET
    risk: Risk | UnsetType = UNSET
    priority: PriorityInput | UnsetType | None = UNSET
    sort_order: Count | UnsetType = UNSET
    tier: Tier | UnsetType = UNSET
    type: Name | UnsetType | None = UNSET
    labels: Labels | UnsetType = UNSET
    owner: Name | UnsetType | None = UNSET
    due_at: Moment | UnsetType | None = UNSET
    parent: ItemRef | UnsetType | None = UNSET
    refs: Refs | UnsetType = UNSET


class ItemStats(Struct, frozen=True, kw_only=True):
    """How many items there are, by several sorts; `oldest_new_at` is when the oldest undecided one was made."""

    total: int
    open: int
    by_status: dict[str, int]
    by_origin: dict[str, int]
    by_project: dict[str, int]
    by_priority: dict[str, int]
    oldest_new_at: int | None


def shown(number: int) -> str:
    """An item's number as people read it."""
    return f"{PREFIX}{number}"


_strings = msgspec.json.Decoder(list[str]).decode
_refs = msgspec.json.Decoder(dict[str, str]).decode


def item_from_row(row: tuple[Any, ...]) -> Item:
    """An item from its row."""
    given = dict(zip(Item.__struct_fields__, row, strict=False))
    severity, confidence = given["severity"], given["confidence"]
    return Item(
        **given
        | {
            "heading": _strings(given["heading"]),
            "labels": _strings(given["labels"]),
            "refs": _refs(given["refs"]),
            "form": Form(given["form"]),
            "status": ItemStatus(given["status"]),
            "accepted": given["accepted"] == 1,
            "origin": Origin(given["origin"]),
            "severity": severity and Severity(severity),
            "effort": Effort(given["effort"]),
            "risk": Risk(given["risk"]),
            "tier": Tier(given["tier"]),
            "confidence": confidence and Confidence(confidence),
            "item_id": shown(given["id"]),
        }
    )
