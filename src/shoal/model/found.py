"""What a scanner finds in a project's files. Which work items that is, nobody knows yet: services/scans.py."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from shoal.model.fields import NO_NUL, Count, Minutes, Moment, Name, Positive
from shoal.model.item import Effort, Form, Heading, ItemText, Labels, Path, Project, Refs

Scanner = Annotated[Name, Meta(description="What read the files: `markdown` or `comments`.")]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])", description="SHA-256 of a file's bytes.")]


Repository = Annotated[str, Meta(min_length=1, max_length=4096, pattern=NO_NUL)]


class Mark(StrEnum):
    """What the box before an item says; what has no box is open."""

    OPEN = "open"
    DONE = "done"
    DECLINED = "declined"


class Found(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing in a file. `above` is the place, in the file's list, of the one that it stands below.

    `id` is what it calls itself (`t001.1`); `blocked_by` names others by that or by their words.
    """

    line: Positive
    text: ItemText
    heading: Heading = []
    form: Form = Form.BOX
    mark: Mark = Mark.OPEN
    above: Count | None = None
    id: Name | None = None
    blocked_by: Annotated[list[Name], Meta(max_length=50)] = []
    labels: Labels = []
    owner: Name | None = None
    effort: Effort = Effort.UNKNOWN
    estimate_minutes: Minutes | None = None
    priority: Annotated[int, Meta(ge=0, le=3)] | None = None
    due_at: Moment | None = None
    refs: Refs = {}


class FoundFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that was read, and all that was found in it, in the order of its lines."""

    path: Path
    hash: Hash
    found: Annotated[list[Found], Meta(max_length=20_000)] = []


class Scan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One look through a project. `files` are those that were read, `unchanged` those that are as the scan before read
    them. What is in neither of both is gone, if the look was `complete`.

    `renamed` maps new paths to old ones, as git has it. `head` is the commit of the checkout. `since` is the number of
    the scan with whose hashes the files were compared: when there was another since then, this one is refused.
    `asked` is whether somebody or a job asked for this look: only then what is not seen counts towards `stale_after`.
    `changed` says which of the files commits changed lately, and when; None when nobody asked git.
    `repository` is by what the checkout is known again: its first commit, or its folder where there is none.
    """

    project: Project
    scanner: Scanner
    files: Annotated[list[FoundFile], Meta(max_length=100_000)] = []
    unchanged: Annotated[list[Path], Meta(max_length=1_000_000)] = []
    renamed: dict[Path, Path] = {}
    complete: bool = True
    asked: bool = True
    head: Annotated[str, Meta(max_length=64, pattern=NO_NUL)] | None = None
    since: Count | None = None
    changed: Annotated[dict[Path, Moment], Meta(max_length=100_000)] | None = None
    repository: Repository | None = None


Became = Literal[
    "new", "same", "moved", "reworded", "done", "declined", "reopened", "stale", "returned", "split", "gone"
]


class ScanChange(Struct, frozen=True, kw_only=True):
    """What a scan made of one item; `why` says by what it was known again, in words for people."""

    item_id: str | None
    became: Became
    path: str
    line: int | None
    text: str
    why: str = ""


class ScanReport(Struct, frozen=True, kw_only=True):
    """What came of a scan: how many of each, and those that changed, in the order of files and lines.

    `rules` says how many new items each rule of `[triage.NAME]` took, `notes` what hindered one, and
    which names after `blocked-by` mean nothing. A dry run asks no rule.
    """

    project: str
    scanner: str
    number: int
    counts: dict[str, int]
    changes: list[ScanChange]
    rules: dict[str, int] = {}
    notes: list[str] = []
    dry_run: bool = False


class Scanned(Struct, frozen=True, kw_only=True):
    """What the last scan of a project has read: the hash of each file, the commit that was checked out, and of which
    repository.
    """

    project: str
    scanner: str
    number: int
    head: str | None
    files: dict[str, str]
    repository: str | None = None
