"""Items of other tools' backlogs: what is read of one, and what became of it. Who reads them: adapters/importers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from shoal.model.fields import NO_NUL, Count, Minutes, Moment, Name, Positive, Text, Title
from shoal.model.item import Confidence, Effort, Form, Heading, ItemText, Path, Project, Risk, Severity, Tier

Place = Annotated[str, Meta(min_length=1, max_length=1500, pattern=NO_NUL, description="Where it stands: FILE:LINE.")]
LARGEST_BATCH = 1000
MANY = Meta(max_length=1000)


class System(StrEnum):
    """Whose backlogs can be read."""

    QUEUE_YAML = "queue-yaml"
    BEADS = "beads"
    BACKLOG_MD = "backlog-md"
    TASK_MASTER = "task-master"
    GITHUB = "github"
    SHOAL = "shoal"


class ItemSource(Struct, frozen=True, forbid_unknown_fields=True):
    """What an item is called elsewhere."""

    system: Name
    id: Name

    def __str__(self) -> str:
        return f"{self.system} {self.id}"


class ImportedItem(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An item of another backlog, in neutral words. `note` says what was left out of it when it was read.

    What stands below the note only another ledger says. `project` is where it belongs when the import does not say so.
    """

    ref: ItemSource
    place: Place
    title: Title | None = None
    text: ItemText
    status: Literal["open", "done", "declined", "stale"] = "open"
    priority: Annotated[int, Meta(ge=0, le=3)] | None = None
    effort: Effort = Effort.UNKNOWN
    estimate_minutes: Minutes | None = None
    type: Name | None = None
    labels: Annotated[list[Name], MANY] = []
    owner: Name | None = None
    due_at: Moment | None = None
    done_at: Moment | None = None
    parent: ItemSource | None = None
    blocked_by: Annotated[list[ItemSource], MANY] = []
    files: Annotated[list[Path], MANY] = []
    refs: Annotated[dict[Name, Name], MANY] = {}
    note: Annotated[str, Meta(max_length=2000, pattern=NO_NUL)] | None = None
    project: Project | None = None
    source_file: Path | None = None
    source_line: Positive | None = None
    heading: Heading = []
    form: Form = Form.NOTE
    check_name: Name | None = None
    rule: Name | None = None
    severity: Severity | None = None
    summary: Text | None = None
    risk: Risk = Risk.UNKNOWN
    tier: Tier = Tier.UNKNOWN
    sort_order: Count = 0
    validated_files: Annotated[list[Path], MANY] = []
    accepted: bool = False
    decided_by: Name | None = None
    prioritised_by: Name | None = None
    confidence: Confidence | None = None
    assessed_at: Moment | None = None
    assessed_by: Name | None = None
    first_seen_at: Moment | None = None
    done_commit: Name | None = None


class Refusal(Struct, frozen=True):
    """Something in a file that is no item, and why."""

    place: str
    reason: str


class RowOutcome(StrEnum):
    """What became of a row: a new item, an item that was changed, one that is as it was; or nothing."""

    TAKEN = "taken"
    UPDATED = "updated"
    SAME = "same"
    REFUSED = "refused"


class ImportedRow(Struct, frozen=True, kw_only=True):
    """What became of a row. `reason` says why it was refused, or what there is to know about it."""

    place: str
    outcome: RowOutcome
    key: str | None = None
    item: str | None = None
    reason: str | None = None


class RecordsImported(Struct, frozen=True, kw_only=True):
    """What became of each record, in their order; `waiting` are items named by them that have not been imported yet."""

    rows: list[ImportedRow]
    waiting: list[ItemSource]
    dry_run: bool
