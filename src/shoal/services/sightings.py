"""How a scan saw an item: what is kept of that, and the rows. What a scan makes of it: scan_changes.py."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from shoal.model.found import Found, Mark, Scan
from shoal.model.item import NO_WORK, Effort, ItemStatus
from shoal.services.item_changes import stored, text_hash
from shoal.services.matching.pairs import KnownItem, Place
from shoal.services.transaction import Tx

WAITS = "blocked-by"  # under this name an item's refs keep what it waits for and nobody knows
LONGEST_NAME = 200
_encode = msgspec.json.Encoder().encode


class Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file says of an item beside its text. What people say of it stays until the file says something new."""

    labels: list[str] = []
    owner: str | None = None
    effort: Effort = Effort.UNKNOWN
    estimate_minutes: int | None = None
    priority: int | None = None
    due_at: int | None = None
    refs: dict[str, str] = {}
    blocked_by: list[str] = []


class Sighting(Struct, frozen=True, kw_only=True):
    """An item as a scan saw it last, in the order of the table's columns; and what else is known of it."""

    item: int
    project: str
    scanner: str
    path: str
    place: int
    line: int
    heading: str
    text: str
    form: str
    mark: str
    called: str | None
    above: int | None
    said: str
    waits_for: str
    seen: int
    status: str
    unseen: int
    merged_into: int | None

    @property
    def known(self) -> KnownItem:
        """What it is known again by."""
        return KnownItem(
            id=self.item,
            path=self.path,
            place=self.place,
            line=self.line,
            text=self.text,
            heading=tuple(_strings(self.heading)),
            form=self.form,
            called=self.called,
            parent=self.above,
            seen=self.seen == 1,
            decided=self.status != ItemStatus.NEW.value or self.merged_into is not None,
        )


_strings = msgspec.json.Decoder(list[str]).decode
said_from = msgspec.json.Decoder(Said).decode
numbers_from = msgspec.json.Decoder(list[int]).decode


class Known(Struct, frozen=True):
    """What a ledger knows of a project before a scan."""

    number: int
    at: int | None
    head: str | None
    repository: str | None
    files: dict[str, str]
    sightings: dict[int, Sighting]


def read_known(tx: Tx, scan: Scan) -> Known:
    """What the last scan left, as far as this one may change it."""
    whose = {"project": scan.project, "scanner": scan.scanner}
    row = tx.one("scans.last", **whose)
    number, at, head, repository = row if row is not None else (0, None, None, None)
    files: dict[str, str] = dict(tx.all("scans.files", **whose))
    looked = {file.path for file in scan.files} | set(gone_files(scan, files))
    rows = tx.all("scans.seen_in", rows=rows_of([{"path": path} for path in sorted(looked & set(files))]), **whose)
    rows += tx.all("scans.gone", **whose)
    fields = Sighting.__struct_fields__
    sightings = [Sighting(**dict(zip(fields, row, strict=True))) for row in rows]
    return Known(number, at, head, repository, files, {one.item: one for one in sightings})


def gone_files(scan: Scan, files: dict[str, str]) -> list[str]:
    """The files that were read once and are no more; in a look that was not complete, those that have a new name."""
    here = {file.path for file in scan.files} | set(scan.unchanged)
    lost = files if scan.complete else scan.renamed.values()
    return sorted({path for path in lost if path in files and path not in here})


def rows_of(rows: list[dict[str, Any]]) -> str:
    """Rows as a statement over many takes them."""
    return _encode(rows).decode()


def said_by(found: Found) -> Said:
    """What a file says of what was found in it."""
    label = found.form.value if found.form in NO_WORK else None
    labels = [*found.labels, label] if label and label not in found.labels else list(found.labels)
    return Said(
        labels=labels,
        owner=found.owner,
        effort=found.effort if found.effort is not Effort.UNKNOWN else Effort.of(found.estimate_minutes),
        estimate_minutes=found.estimate_minutes,
        priority=found.priority,
        due_at=found.due_at,
        refs=found.refs,
        blocked_by=found.blocked_by,
    )


def status_at_first(mark: Mark) -> ItemStatus:
    """What an item is that was never seen before: what is ticked is recorded, so that it never comes as new."""
    return {Mark.OPEN: ItemStatus.NEW, Mark.DONE: ItemStatus.DONE, Mark.DECLINED: ItemStatus.WONTFIX}[mark]


def sighting_row(item: int, at: Place, found: Found, *, above: int | None, waits_for: list[int]) -> dict[str, Any]:
    """A row of the table for what was found."""
    return {
        "item": item,
        "path": at.path,
        "place": at.place,
        "line": found.line,
        "heading": _encode(found.heading).decode(),
        "text": found.text,
        "form": found.form.value,
        "mark": found.mark.value,
        "called": found.id,
        "above": above,
        "said": _encode(said_by(found)).decode(),
        "waits_for": _encode(waits_for).decode(),
    }


def first_row(at: Place, found: Found, said: Said, refs: dict[str, str], *, scanner: str, now: int) -> dict[str, Any]:
    """What stands in a file for the first time, as the columns of its item."""
    status = status_at_first(found.mark)
    values: dict[str, Any] = {
        "source_file": at.path,
        "source_line": found.line,
        "heading": found.heading,
        "text": found.text,
        "text_hash": text_hash(found.text),
        "form": found.form,
        "status": status,
        "decided_by": scanner if status is ItemStatus.WONTFIX else None,
        "effort": said.effort,
        "estimate_minutes": said.estimate_minutes,
        "priority": said.priority,
        "labels": said.labels,
        "owner": said.owner,
        "due_at": said.due_at,
        "refs": refs,
        "done_at": now if status is ItemStatus.DONE else None,
    }
    return {name: stored(name, value) for name, value in values.items()}
