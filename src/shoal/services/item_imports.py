"""Items of other backlogs become work items, and follow their source: what changed there is taken over, except where
somebody edited it here. What is known of them there stays known, so that an import can be repeated.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shoal.model.event import Kind
from shoal.model.item import OPEN, Item, ItemStatus, Origin, Project, shown
from shoal.model.item_import import (
    LARGEST_BATCH,
    ImportedItem,
    ImportedRow,
    ItemSource,
    RecordsImported,
    RowOutcome,
)
from shoal.services import item_tasks
from shoal.services.item_changes import change_item, status_of, text_hash
from shoal.services.item_ends import finish
from shoal.services.item_links import LinkKind, Links, keys, known_as, remaining
from shoal.services.item_numbers import get_item, lock_item
from shoal.services.items import decide, insert
from shoal.services.transaction import Tx
from shoal.services.verb import verb

FOLLOWED = (
    *("title", "text", "priority", "effort", "estimate_minutes", "type", "labels", "owner", "due_at", "source_file"),
    *("source_line", "heading", "form", "check_name", "rule", "severity", "summary", "risk", "tier", "sort_order"),
)
AT_FIRST = ("decided_by", "prioritised_by", "confidence", "assessed_at", "assessed_by", "first_seen_at", "done_commit")
STATUSES = {
    "open": ItemStatus.NEW,
    "done": ItemStatus.DONE,
    "declined": ItemStatus.WONTFIX,
    "stale": ItemStatus.STALE,
}
_json = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@verb("POST /items/records")
def import_records(
    tx: Tx,
    *,
    records: Annotated[list[ImportedItem], Meta(min_length=1, max_length=LARGEST_BATCH)],
    project: Project = "default",
    dry_run: Annotated[bool, Meta(description="Say what would be done, and do nothing.")] = False,
) -> RecordsImported:
    """Take items of another backlog, in one transaction; importing them again updates what changed there.

    A record is known by its system and id within the project; one of a ledger by its id alone, and an item of this
    ledger stays as it is. What was edited here stays, too. Links between records are made when both have been imported,
    in whatever order; one that would make a circle is left out and told.
    """
    if not dry_run:
        tx.all("dependencies.lock_edges")
    batch = _Batch(tx, project, dry_run)
    for record in records:
        batch.take(record)
    for record in records:
        batch.link(record)
    return RecordsImported(rows=batch.rows(), waiting=list(batch.links.waiting), dry_run=dry_run)


class _Row(msgspec.Struct):
    """What is known of a record so far: `said` is what its source said the last time, None for a new one."""

    record: ImportedItem
    outcome: RowOutcome
    number: int | None = None
    said: dict[str, Any] | None = None
    reasons: list[str] = []

    @property
    def is_own(self) -> bool:
        """Whether it is an item of this very ledger, as it was exported."""
        return self.said is None and self.outcome is RowOutcome.SAME

    def shown(self) -> ImportedRow:
        return ImportedRow(
            place=self.record.place,
            key=self.record.ref.id,
            outcome=self.outcome,
            item=None if self.number is None or self.number < 0 else f"W{self.number}",
            reason="; ".join(self.reasons) or None,
        )


class _Batch:
    def __init__(self, tx: Tx, project: str, dry_run: bool) -> None:
        self.tx = tx
        self.project = project
        self.dry_run = dry_run
        self.links = Links(tx, project=project, dry_run=dry_run)
        self._rows: list[_Row] = []
        self._first: dict[ItemSource, _Row] = {}

    def rows(self) -> list[ImportedRow]:
        """What became of each record, in their order."""
        return [row.shown() for row in self._rows]

    def take(self, record: ImportedItem) -> None:
        """Make or update the item of a record, without its links."""
        reasons = [record.note] if record.note else []
        row = _Row(record, RowOutcome.SAME, reasons=reasons)
        self._rows.append(row)
        if record.ref in self._first:
            row.outcome = RowOutcome.REFUSED
            row.reasons = [f"{record.ref.id} stands at {self._first[record.ref].record.place} already"]
            return
        self._first[record.ref] = row
        known = known_as(self.tx, self.project, record.ref)
        if known is None:
            self._make(row)
            return
        number, said = known
        row.said = None if said is None else _decode(said)
        found = get_item(self.tx, remaining(self.tx, number))
        row.number = found.id
        self.links.arrive(record.ref, found.id)
        if found.id != number:
            row.reasons.append(f"{shown(number)} was merged into {found.item_id}, which stays as it is")
        elif row.said not in (None, _said(record)):
            self._update(row)

    def link(self, record: ImportedItem) -> None:
        """Make the links that the source has, and take away those that it had and has no more."""
        row = self._first[record.ref]
        if row.record is not record or row.number is None or row.is_own:
            return
        said = row.said or {}
        self._link(row, "blocker", said.get("blocked_by", []), record.blocked_by)
        parents = ([said["parent"]] if said.get("parent") else [], [record.parent] if record.parent else [])
        if row.said is None or not self._is_moved(row, *parents):
            self._link(row, "parent", *parents)
        if row.said is None:
            row.reasons += self.links.awaited(record.ref)

    def _link(self, row: _Row, kind: LinkKind, before: list[list[str]], now: list[ItemSource]) -> None:
        assert row.number is not None  # noqa: S101 - it was taken
        was = {ItemSource(*one) for one in before}
        is_now = dict.fromkeys(now)
        for ref in sorted(was - is_now.keys(), key=str):
            self.links.drop(row.number, ref, kind)
        for ref in is_now:
            if ref not in was:
                row.reasons += filter(None, [self.links.add(row.number, ref, kind)])
            elif self.links.number(ref) is None:
                self.links.waiting[ref] = None

    def _is_moved(self, row: _Row, before: list[list[str]], now: list[ItemSource]) -> bool:
        """Whether an item whose source puts it elsewhere was put elsewhere here."""
        was = [ItemSource(*one) for one in before]
        if was == now or row.number is None:
            return False
        above = get_item(self.tx, row.number).parent
        if above == (self.links.number(was[0]) if was else None):
            return False
        row.reasons.append("its parent was edited here, and stays")
        return True

    def _make(self, row: _Row) -> None:
        record = row.record
        row.outcome = RowOutcome.TAKEN
        if self.dry_run:
            row.number = -len(self._rows)
            self.links.arrive(record.ref, row.number)
            return
        given = {name: getattr(record, name) for name in FOLLOWED}
        given |= {name: value for name in AT_FIRST if (value := getattr(record, name)) is not None}
        if record.status != "open":
            given["status"] = STATUSES[record.status]
        if record.status == "done":
            given["done_at"] = self.tx.now if record.done_at is None else record.done_at
        made = insert(
            self.tx,
            origin=Origin.IMPORT,
            accepted=record.accepted,
            project=record.project or self.project,
            refs=_refs({}, record),
            **given,
        )
        for path in record.files:
            self.tx.all("items.put_file", item=made.id, path=path, validated=int(path in record.validated_files))
        self.tx.emit(Kind.ITEM_FOUND, data={"text": made.name, "from": str(record.ref)}, item=made.id)
        row.number = made.id
        self.links.arrive(record.ref, made.id)
        self._keep(record, made.id)

    def _update(self, row: _Row) -> None:
        record, said = row.record, row.said or {}
        assert row.number is not None  # noqa: S101 - it is known
        now = _said(record)
        item = get_item(self.tx, row.number) if self.dry_run else lock_item(self.tx, row.number)
        fields: dict[str, Any] = {}
        for name in FOLLOWED:
            if now[name] == said.get(name) or getattr(item, name) == now[name]:
                continue
            if getattr(item, name) == said.get(name):
                fields[name] = getattr(record, name)
            else:
                row.reasons.append(f"its {name} was edited here, and stays")
        if "text" in fields:
            fields["text_hash"] = text_hash(record.text)
        if now["refs"] != said.get("refs") and (refs := _refs(item.refs, record)) != item.refs:
            fields["refs"] = refs
        if fields and not self.dry_run:
            item = change_item(self.tx, item, Kind.ITEM_UPDATED, fields, data={"from": str(record.ref)})
        files = self._files(item, said, record)
        moved = self._decide(row, item, said.get("status", "open"))
        linked = any(now[name] != said.get(name) for name in ("parent", "blocked_by"))
        if fields or files or moved or linked:
            row.outcome = RowOutcome.UPDATED
        if not self.dry_run:
            self._keep(record, item.id)

    def _files(self, item: Item, said: dict[str, Any], record: ImportedItem) -> bool:
        before = {path: path in said.get("validated_files", []) for path in said.get("files", [])}
        now = {path: path in record.validated_files for path in record.files}
        added, gone = sorted(path for path in now if now[path] != before.get(path)), sorted(before.keys() - now)
        if not self.dry_run:
            for path in added:
                self.tx.all("items.put_file", item=item.id, path=path, validated=int(now[path]))
            for path in gone:
                self.tx.all("items.drop_file", item=item.id, path=path)
            if added or gone:
                self.tx.emit(Kind.ITEM_LINKED, data={"files": added, "removed": gone}, item=item.id)
        return bool(added or gone)

    def _decide(self, row: _Row, item: Item, before: str) -> bool:
        """Follow what the source says about its end, as far as nobody here has decided otherwise."""
        status, reason = row.record.status, f"{row.record.ref} is {row.record.status}"
        if status in (before, "stale") or item.status is STATUSES[status] or (status == "open" and item.status in OPEN):
            return False
        if status == "open":
            if item.status is not STATUSES[before]:
                return False
            if not self.dry_run:
                fields = {"status": status_of(item, accepted=item.accepted), "done_at": None, "done_commit": None}
                change_item(self.tx, item, Kind.ITEM_REOPENED, fields, data={"reason": reason})
            return True
        if item.status is ItemStatus.IN_PROGRESS or item_tasks.live(self.tx, item):
            row.reasons.append(f"it is {status} there, and has tasks under way here: {item.item_id} stays open")
            return False
        if item.status not in OPEN and item.status is not ItemStatus.STALE and item.status is not STATUSES[before]:
            return False
        if not self.dry_run:
            if status == "done":
                finish(self.tx, item, reason=reason)
            else:
                decide(self.tx, item, accepted=False, by=self.tx.actor, reason=reason)
        return True

    def _keep(self, record: ImportedItem, item: int) -> None:
        self.tx.all(
            "item_refs.put",
            **keys(self.project, record.ref),
            item=item,
            said=_json(_said(record)).decode(),
        )


def _refs(known: dict[str, str], record: ImportedItem) -> dict[str, str]:
    return known | record.refs | {record.ref.system: record.ref.id}


def _said(record: ImportedItem) -> dict[str, Any]:
    """What a record says, as it is kept to be compared with what it says the next time."""
    links = {
        "parent": None if record.parent is None else [record.parent.system, record.parent.id],
        "blocked_by": [[one.system, one.id] for one in record.blocked_by],
    }
    plain = {name: getattr(record, name) for name in (*FOLLOWED, "status", "files", "validated_files", "refs")}
    built: dict[str, Any] = msgspec.to_builtins(plain | links)
    return built
