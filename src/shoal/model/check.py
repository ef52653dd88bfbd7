"""What a check is and says: what a job runs, what it finds, what was made of that. Its rules: services/checks.py."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shoal.model.fields import NO_NUL, Count, Name, Positive, Text, Title
from shoal.model.item import ItemText, Path, Project, Severity
from shoal.model.triage import Decision

FINDINGS_LIMIT = 10_000  # of one run; with more of them it is not complete
AUDIT = "audit:"  # stands before the type of what somebody outside has found

CheckName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}(?![\s\S])",
        description="A check's name: letters, digits, dots, colons, dashes and underscores.",
    ),
]
Version = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]
Handler = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?![\s\S])",
        max_length=300,
        description="A Python function, as `package.module:function`.",
    ),
]


class Check(Struct, frozen=True, kw_only=True, tag="check", tag_field="kind", forbid_unknown_fields=True):
    """Look for what is wrong, and keep it as work items: a check of Shoal's own by its name, or a function or a program
    that is called so.

    `version` is that of a program: with another one its old findings are judged anew. A function's module may have one
    as VERSION.
    """

    name: CheckName
    handler: Handler | None = None
    command: Annotated[list[Text], Meta(min_length=1, max_length=200)] | None = None
    options: dict[str, Any] = {}
    project: Project = "default"
    version: Version | None = None

    def __post_init__(self) -> None:
        if self.handler is not None and self.command is not None:
            raise ValueError("a check has a handler or a command, not both")


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong. Fields that are not known here are left out.

    It is the same finding as long as its file, rule and `key` are; without a key its message stands for that, so one
    with numbers that change (lines, hours) should have a key. The line may move. `safe` says that it may be mended
    without asking. `files` are further files that it is about.
    """

    rule: Name
    message: ItemText
    severity: Severity = Severity.WARNING
    file: Path | None = None
    line: Positive | None = None
    title: Title | None = None
    key: Name | None = None
    safe: bool = False
    files: Annotated[list[Path], Meta(max_length=200)] = []


class Brought(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check has itself brought into the backlog, as a scan does: how much it found, and which items are new."""

    found: Count = 0
    new: Annotated[list[Name], Meta(max_length=1_000_000)] = []


class Findings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one look of a check has found in a project. What a `complete` one does not have is gone.

    `renamed` maps new paths to old ones, `head` is the commit of the checkout. `run` is the number of the run that
    looked. `brought` is what the check made items of before, which are no findings.
    """

    check: CheckName
    version: Version = "1"
    project: Project = "default"
    findings: Annotated[list[Finding], Meta(max_length=FINDINGS_LIMIT)] = []
    complete: bool = True
    renamed: Annotated[dict[Path, Path], Meta(max_length=100_000)] = {}
    head: Annotated[str, Meta(max_length=64, pattern=NO_NUL)] | None = None
    run: Count | None = None
    brought: Brought = Brought()


class FindingsReport(Struct, frozen=True, kw_only=True):
    """What was made of findings: how many there are, and the items that are new, came back, or are done by that.

    `still_there` are done, and were seen ever since: what was done is not in the checkout yet, or did not help.
    `decisions` are those that rules have taken.
    """

    check: str
    project: str
    found: int
    new: list[str]
    reopened: list[str]
    resolved: list[str]
    still_there: list[str]
    decisions: list[Decision]

    @property
    def lines(self) -> list[str]:
        """What people are told of it."""
        counts = [f"{self.found} found", f"{len(self.new)} new"]
        counts += [f"{len(self.reopened)} back"] if self.reopened else []
        counts += [f"{len(self.resolved)} gone and done"] if self.resolved else []
        said = [", ".join(counts)]
        for taken in self.decisions:
            queued = f", queued {', '.join(taken.queued)}" if taken.queued else ""
            said.append(f"{taken.item_id}: {taken.then} by rule {taken.rule} ({taken.why}){queued}")
        if self.still_there:
            said.append(
                f"done, and still there: {', '.join(self.still_there)}; not merged yet? "
                f"`shoal item reopen {self.still_there[0]}` has it done again"
            )
        return said


class CheckState(Struct, frozen=True, kw_only=True):
    """How a check stands in a project: its last look, its last complete one with the commit that it saw, and the
    findings that are open.
    """

    check: str
    project: str
    version: str
    last_at: int
    completed_at: int | None
    head: str | None
    open: int
    critical: int


def finding_of(line: bytes) -> Finding | None:
    """The finding that a line of a check's output is; None when it is none."""
    try:
        return _finding(line)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


_finding = msgspec.json.Decoder(Finding).decode
