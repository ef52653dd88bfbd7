"""What a check's program writes, understood as it comes: findings, what it tells of itself, lines that are neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from shoal.model.check import FINDINGS_LIMIT, Brought, Check, Finding, Findings, finding_of

LONGEST_LINE = 1_000_000
SHOWN_LINE = 200
NO_FINDING = "no finding"


class Told(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is told of a look, by Shoal before it begins, or on lines of the check's own: its version, the commit that
    it sees, what was renamed since the last one, why it was partial, if it was, and what it made items of itself. A
    line has one of them at least; what it leaves out stays as it was.
    """

    version: str | None = None
    head: str | None = None
    renamed: dict[str, str] | None = None
    partial: Annotated[str, Meta(min_length=1)] | None = None
    brought: Brought | None = None

    def __post_init__(self) -> None:
        if not self.said:
            raise ValueError("it says nothing")

    @property
    def said(self) -> dict[str, Any]:
        """What it says."""
        return {name: value for name, value in structs.asdict(self).items() if value is not None}


class CheckOutput:
    """The findings of one look. What is no finding is counted, and said."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` is given each finding as people read it, and what is wrong with a line."""
        self.findings: list[Finding] = []
        self.malformed = 0
        self.too_many = 0
        self._say = say
        self._rest = b""
        self._told: dict[str, Any] = {}

    def write(self, data: bytes) -> None:
        """Take the next part."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > LONGEST_LINE:
            self._refuse(self._rest)
            self._rest = b""

    def close(self) -> None:
        """There is no more."""
        self._take(self._rest)
        self._rest = b""

    def take(self, finding: Finding) -> None:
        """A finding."""
        if len(self.findings) >= FINDINGS_LIMIT:
            self.too_many += 1
            return
        self.findings.append(finding)
        self._say(shown(finding))

    def tell(self, told: Told) -> None:
        """What the check says of itself."""
        self._told |= told.said

    @property
    def fault(self) -> str | None:
        """What is wrong with what it said, so that nothing counts as gone; None when nothing is."""
        if self.malformed:
            lines = "1 line is" if self.malformed == 1 else f"{self.malformed} lines are"
            return f"{lines} no finding, so that nothing counts as gone"
        if self.too_many:
            return f"{self.too_many:,} findings more than the {FINDINGS_LIMIT:,} that are kept; nothing counts as gone"
        return None

    @property
    def remark(self) -> str | None:
        """Why nothing counts as gone although the check came to its end: a fault, or that it was partial."""
        partial: str | None = self._told.get("partial")
        return self.fault or (partial and f"{partial}; nothing counts as gone")

    def outcome(self, action: Check, *, ended_well: bool, run: int | None = None) -> Findings:
        """What was found, for the ledger."""
        return Findings(
            check=action.name,
            version=self._told.get("version") or action.version or "1",
            project=action.project,
            findings=self.findings,
            complete=ended_well and self.remark is None,
            renamed=self._told.get("renamed", {}),
            head=self._told.get("head"),
            run=run,
            brought=self._told.get("brought", Brought()),
        )

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        finding = finding_of(line)
        if finding is not None:
            self.take(finding)
            return
        try:
            self.tell(_told(line))
        except (msgspec.ValidationError, msgspec.DecodeError):
            self._refuse(line)

    def _refuse(self, line: bytes) -> None:
        self.malformed += 1
        self._say(f"{NO_FINDING}: {line[:SHOWN_LINE].decode('utf-8', 'replace')}")


def shown(finding: Finding) -> str:
    """A finding on one line."""
    place = f"{finding.file}:{finding.line}: " if finding.file and finding.line else f"{finding.file or ''}: "
    return (
        f"{place if finding.file else ''}{finding.severity.value}: {finding.message.splitlines()[0]} [{finding.rule}]"
    )


_told = msgspec.json.Decoder(Told).decode
