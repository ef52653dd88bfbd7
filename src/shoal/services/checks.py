"""What checks found becomes work items: each finding one, however often it is seen, and done when it is gone.

How a check looks: adapters/checks and errands/checks. When one does: a job whose action it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from msgspec import Struct

from shoal.model.check import CheckName, CheckState, Finding, Findings, FindingsReport
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name
from shoal.model.item import CLOSED, Item, ItemStatus, Origin, Tier, shown
from shoal.model.job import RunStatus
from shoal.services import item_ends, runs, triage
from shoal.services.item_changes import change_item, status_of, text_hash
from shoal.services.item_numbers import lock_item
from shoal.services.items import insert
from shoal.services.transaction import Tx
from shoal.services.verb import verb

FINDINGS_LIMIT_BYTES = 64 << 20  # of the body of a request
SHARED = 0.6  # of their words: above it two messages may be the same finding of two versions
_WORD = re.compile(r"\w+")

Key = tuple[str, str, str]


class _Known(Struct, frozen=True):
    """A finding that was found before, and what has become of its item."""

    item: int
    file: str
    rule: str
    key_hash: str
    version: str
    gone: int
    status: str
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
            and not self.gone
            and self.status != ItemStatus.STALE
        )

    @property
    def may_return(self) -> bool:
        """Whether it is open again when it is seen: it was done, and a complete look did not see it since."""
        return self.status == ItemStatus.STALE or (self.status == ItemStatus.DONE and bool(self.gone))

    def is_now(self, item: Item) -> bool:
        """Whether this is its item, and open."""
        return item.id == self.item and item.status not in CLOSED

    @property
    def is_done(self) -> bool:
        """Whether somebody has done it, and no complete look has confirmed that."""
        return self.status == ItemStatus.DONE and not self.gone and self.merged_into is None


@verb(
    "POST /checks/record",
    body_limit_bytes=FINDINGS_LIMIT_BYTES,
    when_larger="let the check look at less, or say less of each finding",
)
def record(tx: Tx, found: Findings) -> FindingsReport:
    """Keep what a check has found in a project. The same twice changes nothing.

    A finding that was seen before stays the same work item: by its check, file, rule and words, wherever it stands in
    the file. What a complete look does not have any more is done, with what was submitted for it, unless somebody is at
    it. Seen again after that it is open again; one that was done and was seen ever since stays so (`still_there`), and
    one that was rejected stays rejected. After another version of the check has looked at everything, an old finding
    that is like a new one of the same file and rule goes on as that. The rules of [triage.NAME] decide at once about
    those that are new; what asks which files were changed lately is left to `shoal triage`.
    """
    triage.lock_edges(tx)
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
        check=found.check,
        project=found.project,
        found=len(findings) + found.brought.found,
        new=[*found.brought.new],
        reopened=[],
        resolved=[],
        still_there=[],
        decisions=[],
    )
    pairs.sort(key=lambda pair: pair[1].item)
    same = [one.item for finding, one in pairs if one.is_as(found, finding)]
    if same:
        tx.many("checks.touch", [{"item": item, "now": tx.now, "run": found.run} for item in same])
    report.still_there.extend(shown(one.item) for _, one in pairs if one.is_done)
    seen_again = [(one, _see(tx, found, finding, one)) for finding, one in pairs if not one.is_as(found, finding)]
    reopened = [item for one, item in seen_again if one.may_return and one.is_now(item)]
    brought = [_bring(tx, found, finding) for finding in left]
    report.reopened.extend(item.item_id for item in reopened)
    report.new.extend(item.item_id for item in brought)
    taken, _ = triage.by_rules(tx, [*(item for _, item in seen_again), *brought], {})
    report.decisions.extend([*taken, *triage.queue_again(tx, reopened)])
    if found.complete:
        for one in unseen:
            _miss(tx, found, one, report)
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
def list_(
    tx: Tx, *, check: CheckName | None = None, project: Name | None = None, limit: Limit = 200
) -> list[CheckState]:
    """How each check stands in each project that it has looked at, and how many of its findings are open."""
    filters = {"check_name": check, "project": project}
    given = {name: value for name, value in filters.items() if value is not None}
    fields = CheckState.__struct_fields__
    return [CheckState(**dict(zip(fields, row, strict=True))) for row in tx.all("checks.list", limit=limit, **given)]


def item_of(tx: Tx, found: Findings, finding: Finding) -> int:
    """The number of the item that a recorded finding is."""
    file, rule, key_hash = _key(finding)
    given = {"check_name": found.check, "project": found.project, "file": file, "rule": rule, "key_hash": key_hash}
    row = tx.one("checks.item_of", **given)
    assert row is not None  # noqa: S101 - it was just recorded
    return int(row[0])


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
) -> FindingsReport | None:
    """A server's run of a check has ended, and this is what it found; what was made of that is also told at the end of
    its output. None, and nothing is kept, when the server no longer has the run.
    """
    ended = runs.end(tx, run=run, server=server, status=status, exit_code=exit_code, reason=reason, output=output)
    if ended is None:
        return None
    report = record(tx, found)
    told = runs.tail("\n".join([*(output or "").splitlines(), *report.lines]))
    tx.all("runs.put_findings", id=run, found=report.found, new=len(report.new), output=told)
    return report


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


def _see(tx: Tx, found: Findings, finding: Finding, one: _Known) -> Item:
    """A finding was seen again: what it says and where goes over to its item, which is open again if it may be."""
    file, rule, key_hash = _key(finding)
    tx.all("checks.seen", item=one.item, file=file, rule=rule, key_hash=key_hash, version=found.version)
    item = lock_item(tx, one.item)
    if item.merged_into is not None:
        target = lock_item(tx, item.merged_into)
        return change_item(tx, target, None, {"last_seen_at": tx.now})
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
        return change_item(tx, item, Kind.ITEM_REOPENED, fields, data=data)
    told = Kind.ITEM_UPDATED if fields.keys() - {"source_line"} else None
    return change_item(tx, item, told, fields | seen)


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


def _miss(tx: Tx, found: Findings, one: _Known, report: FindingsReport) -> None:
    """A complete look has not seen it: it is done, unless somebody is at it."""
    if not one.gone:
        tx.all("checks.gone", item=one.item)
    if one.status in CLOSED:
        return
    item = lock_item(tx, one.item)
    if item.merged_into is not None or item.status in CLOSED:
        return
    if item_ends.vanish(tx, item, reason=f"check {found.check} no longer reports it"):
        report.resolved.append(shown(one.item))
