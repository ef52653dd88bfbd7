"""What checks found becomes work items: each finding one, however often it is seen, and done when it is gone.

How a check looks: adapters/checks and daemon/checks. When one does: a job whose action it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from msgspec import Struct

from shoal.model.check import CheckState, Finding, Findings, FindingsReport
from shoal.model.event import Kind
from shoal.model.fields import Limit
from shoal.model.item import Item, ItemStatus, Origin, Tier, shown
from shoal.model.job import Run, RunStatus
from shoal.services import runs, triage
from shoal.services.item_changes import change_item, status_of, text_hash
from shoal.services.item_numbers import lock_item
from shoal.services.items import finish, insert
from shoal.services.transaction import Tx
from shoal.services.verb import verb

SHARED = 0.6  # of their words: above it two messages may be the same finding of two versions
_WORD = re.compile(r"\w+")
_LEFT_ALONE = frozenset({ItemStatus.DONE, ItemStatus.WONTFIX})

Key = tuple[str, str, str]


class _Known(Struct, frozen=True):
    """A finding that was found before, and what has become of its item."""

    item: int
    file: str
    rule: str
    key_hash: str
    version: str
    closed_at: int | None
    status: str
    done_at: int | None
    line: int | None
    text: str
    source_file: str | None
    severity: str | None
    tier: str
    title: str | None
    merged_into: int | None

    def is_as(self, found: Findings, finding: Finding) -> bool:
        """Whether there is nothing new to it but that it was seen."""
        return (
            (self.file, self.rule, self.key_hash) == _key(finding)
            and self.version == found.version
            and (self.source_file, self.line, self.severity) == (finding.file, finding.line, finding.severity.value)
            and not (finding.safe and self.tier == Tier.UNKNOWN)
            and not (finding.title is not None and self.title is None)
            and self.merged_into is None
            and not self.may_return
        )

    @property
    def may_return(self) -> bool:
        """Whether it is closed, and open again when it is seen: its check has closed it, or nobody had seen it."""
        if self.status == ItemStatus.STALE:
            return True
        return self.status == ItemStatus.DONE and self.closed_at is not None and self.closed_at == self.done_at


@verb("POST /checks/record")
def record(tx: Tx, found: Findings) -> FindingsReport:
    """Keep what a check has found in a project. The same twice changes nothing.

    A finding that was seen before stays the same work item: by its check, file, rule and words, wherever it stands in
    the file. One that the check itself had closed is open again; one that was rejected stays rejected. What a complete
    look does not have any more is done, unless a task is under way. After another version of the check has looked at
    everything, an old finding that is like a new one of the same file and rule goes on as that. The rules of
    [triage.NAME] decide about new ones at once; what asks which files were changed lately is left to `shoal triage`.
    """
    if any(rule.queue for rule in tx.settings.triage.values()):
        tx.all("dependencies.lock_edges")  # before any item, as whoever makes tasks of one does
    tx.all("checks.begin", check_name=found.check, project=found.project, version=found.version, now=tx.now)
    known = [_Known(*row) for row in tx.all("checks.known", check_name=found.check, project=found.project)]
    moved = {old: new for new, old in found.renamed.items()}
    findings = {_key(one): one for one in reversed(found.findings)}  # of equal ones the first counts
    by_key: dict[Key, list[_Known]] = defaultdict(list)
    for one in known:
        by_key[moved.get(one.file, one.file), one.rule, one.key_hash].append(one)
    pairs: list[tuple[Finding, _Known]] = []
    left: list[Finding] = []
    for key in reversed(findings):
        there = by_key.get(key)
        if there:
            pairs.append((findings[key], there.pop()))
        else:
            left.append(findings[key])
    unseen = sorted((one for ones in by_key.values() for one in ones), key=lambda one: one.item)
    if found.complete:
        again, left = _judged_anew(left, [one for one in unseen if one.version != found.version], moved)
        pairs += again
        seen = {one.item for _, one in again}
        unseen = [one for one in unseen if one.item not in seen]
    report = FindingsReport(
        check=found.check, project=found.project, found=len(findings), new=[], reopened=[], resolved=[]
    )
    pairs.sort(key=lambda pair: pair[1].item)
    same = [one.item for finding, one in pairs if one.is_as(found, finding)]
    if same:
        tx.many("checks.touch", [{"item": item, "now": tx.now, "run": found.run} for item in same])
    for finding, one in pairs:
        if not one.is_as(found, finding):
            _see(tx, found, finding, one, report)
    brought = [_bring(tx, found, finding) for finding in left]
    report.new.extend(item.item_id for item in brought)
    triage.by_rules(tx, brought, {})
    if found.complete:
        for one in unseen:
            _resolve(tx, found, one, report)
        tx.all(
            "checks.complete",
            check_name=found.check,
            project=found.project,
            version=found.version,
            head=found.head,
            now=tx.now,
        )
    return report


@verb("GET /checks")
def list_(tx: Tx, *, limit: Limit = 200) -> list[CheckState]:
    """How each check stands in each project that it has looked at, and how many of its findings are open."""
    fields = CheckState.__struct_fields__
    return [CheckState(**dict(zip(fields, row, strict=True))) for row in tx.all("checks.list", limit=limit)]


def item_of(tx: Tx, found: Findings, finding: Finding) -> int:
    """The number of the item that a recorded finding is."""
    file, rule, key_hash = _key(finding)
    given = {"check_name": found.check, "project": found.project, "file": file, "rule": rule, "key_hash": key_hash}
    row = tx.one("checks.item_of", **given)
    assert row is not None  # noqa: S101 - it was just recorded
    return int(row[0])


def last_head(tx: Tx, *, check: str, project: str) -> str | None:
    """The commit at which a check has looked at everything the last time."""
    row = tx.one("checks.get", check_name=check, project=project)
    return None if row is None else row[3]


def end_run(
    tx: Tx,
    *,
    run: int,
    server: str,
    status: RunStatus,
    exit_code: int | None,
    reason: str | None,
    output: str | None,
    found: Findings,
) -> Run | None:
    """A server's run of a check has ended, and this is what it found; None, and nothing is kept, when the server no
    longer has the run.
    """
    ended = runs.end(tx, run=run, server=server, status=status, exit_code=exit_code, reason=reason, output=output)
    if ended is not None:
        report = record(tx, found)
        tx.all("runs.put_findings", id=run, found=report.found, new=len(report.new))
    return ended


def _key(finding: Finding) -> Key:
    return finding.file or "", finding.rule, text_hash(finding.key or finding.message)


def _judged_anew(
    findings: list[Finding], old: list[_Known], moved: dict[str, str]
) -> tuple[list[tuple[Finding, _Known]], list[Finding]]:
    """Findings of a new version that are old ones in other words, and those that are new: the nearest goes first."""
    by_place: dict[tuple[str, str], list[tuple[_Known, frozenset[str]]]] = defaultdict(list)
    for one in old:
        by_place[moved.get(one.file, one.file), one.rule].append((one, _words(one.text)))
    near = []
    for number, finding in enumerate(findings):
        words = _words(finding.message)
        for one, others in by_place.get((finding.file or "", finding.rule), ()):
            shared = len(words & others) / (len(words | others) or 1)
            if shared > SHARED:
                near.append((-shared, abs((one.line or 0) - (finding.line or 0)), one.item, number, one))
    pairs, taken = [], set[int]()
    used = set[int]()
    for _, _, item, number, one in sorted(near, key=lambda found: found[:4]):
        if item not in used and number not in taken:
            used.add(item)
            taken.add(number)
            pairs.append((findings[number], one))
    return pairs, [finding for number, finding in enumerate(findings) if number not in taken]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))


def _see(tx: Tx, found: Findings, finding: Finding, one: _Known, report: FindingsReport) -> None:
    """A finding was seen again: what it says and where it is now goes over to its item."""
    file, rule, key_hash = _key(finding)
    tx.all("checks.seen", item=one.item, file=file, rule=rule, key_hash=key_hash, version=found.version)
    item = lock_item(tx, one.item)
    if item.merged_into is not None:
        target = lock_item(tx, item.merged_into)
        change_item(tx, target, None, {"last_seen_at": tx.now})
        return
    fields: dict[str, Any] = {"source_file": finding.file, "source_line": finding.line, "severity": finding.severity}
    if item.text_hash != text_hash(finding.message) and one.version != found.version:
        fields |= {"text": finding.message, "text_hash": text_hash(finding.message)}
    if finding.title is not None and item.title is None:
        fields["title"] = finding.title
    if item.tier is Tier.UNKNOWN and finding.safe:
        fields["tier"] = Tier.SAFE_ALWAYS
    fields = {name: value for name, value in fields.items() if value != getattr(item, name)}
    seen = {"last_seen_at": tx.now, "unseen": 0} | ({"run": found.run} if found.run is not None else {})
    if one.may_return and item.status in (ItemStatus.DONE, ItemStatus.STALE):
        status = status_of(item, accepted=item.accepted)
        data = {"reason": f"check {found.check} reports it again"}
        fields |= seen | {"status": status, "done_at": None, "done_commit": None}
        change_item(tx, item, Kind.ITEM_REOPENED, fields, data=data)
        report.reopened.append(item.item_id)
        return
    told = Kind.ITEM_UPDATED if fields.keys() - {"source_line"} else None
    change_item(tx, item, told, fields | seen)


def _bring(tx: Tx, found: Findings, finding: Finding) -> Item:
    """A finding that is new becomes an item."""
    item = insert(
        tx,
        origin=Origin.CHECK,
        accepted=False,
        text=finding.message,
        project=found.project,
        source_file=finding.file,
        source_line=finding.line,
        title=finding.title,
        check_name=found.check,
        rule=finding.rule,
        run=found.run,
        severity=finding.severity,
        tier=Tier.SAFE_ALWAYS if finding.safe else Tier.UNKNOWN,
    )
    for path in dict.fromkeys([*([finding.file] if finding.file else []), *finding.files]):
        tx.all("items.put_file", item=item.id, path=path, validated=0)
    file, rule, key_hash = _key(finding)
    tx.all(
        "checks.insert",
        item=item.id,
        check_name=found.check,
        project=found.project,
        file=file,
        rule=rule,
        key_hash=key_hash,
        version=found.version,
    )
    data = {"text": item.name, "check": found.check, "rule": rule, "severity": finding.severity.value}
    tx.emit(Kind.ITEM_FOUND, data=data, item=item.id)
    return item


def _resolve(tx: Tx, found: Findings, one: _Known, report: FindingsReport) -> None:
    """A complete look has not seen it: it is done, unless somebody is at it."""
    if one.status in _LEFT_ALONE or tx.one("checks.tasks_under_way", item=one.item) is not None:
        return
    item = lock_item(tx, one.item)
    if item.merged_into is not None or item.status in _LEFT_ALONE:
        return
    finish(tx, item, reason=f"check {found.check} no longer reports it")
    tx.all("checks.close", item=item.id, now=tx.now)
    report.resolved.append(shown(one.item))
