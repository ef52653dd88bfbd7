"""Imports the backlogs of other tools: reads one where the command runs, and has its items taken by the ledger."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.adapters.forges.github import GitHub
from shoal.adapters.importers import backlogs, github_issues
from shoal.errors import BadInput, NotConfigured
from shoal.ledger import Ledger
from shoal.model.item_import import ImportedItem, ImportedRow, ItemSource, Refusal, RowOutcome, System
from shoal.settings import GITHUB_TOKEN, Settings

BATCH_ITEMS = 500
BATCH_BYTES = 4 * 1024 * 1024
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+")


class ItemImport(Struct, frozen=True, kw_only=True):
    """What came of an import. `told` are the rows that were refused, or of which there is something to know.

    `items` are the new items; `waiting` are the refs that links name and that have not been imported.
    """

    system: System
    project: str
    dry_run: bool
    rows: int
    taken: int
    updated: int
    same: int
    refused: int
    items: list[str]
    told: list[ImportedRow]
    waiting: list[str]


def run(
    ledger: Ledger, source: str, *, system: System | None, project: str, settings: Settings, dry_run: bool = False
) -> ItemImport:
    """Import a file, a folder, or a repository's issues; `-` is an export on standard input. Each of up to 500 items is
    one transaction.

    Repeating it adds nothing twice. Raises BadInput when it cannot be told what the source is, or it cannot be read.
    """
    system, read = _open(source, system, settings)
    rows: list[ImportedRow] = []
    waiting: dict[ItemSource, None] = {}
    seen: dict[ItemSource, str] = {}
    for batch in _batches(_once(read, seen, rows)):
        came = ledger.items.import_records(records=batch, project=project, dry_run=dry_run)
        rows += came.rows
        waiting |= dict.fromkeys(came.waiting)
    counted = Counter(row.outcome for row in rows)
    return ItemImport(
        system=system,
        project=project,
        dry_run=dry_run,
        rows=len(rows),
        taken=counted[RowOutcome.TAKEN],
        updated=counted[RowOutcome.UPDATED],
        same=counted[RowOutcome.SAME],
        refused=counted[RowOutcome.REFUSED],
        items=[row.item for row in rows if row.outcome is RowOutcome.TAKEN and row.item is not None],
        told=[row for row in rows if row.reason is not None],
        waiting=[one.id for one in waiting if one not in seen],
    )


def _open(source: str, system: System | None, settings: Settings) -> tuple[System, Iterable[ImportedItem | Refusal]]:
    if source == "-":
        system = system or System.SHOAL
        return system, backlogs.read(Path("/dev/stdin"), system)
    path = Path(os.path.expanduser(source))
    is_there = os.path.exists(path)
    is_repository = not is_there and _REPOSITORY.fullmatch(source)
    if is_repository and system is System.GITHUB:
        return system, _of_github(source, settings)
    if is_repository and system is None:
        raise BadInput(f"there is no {source}; for the issues of a repository say --from github")
    if not is_there:
        raise BadInput(f"there is no {path}", field="file")
    system = system or backlogs.guess(path)
    return system, backlogs.read(path, system)


def _of_github(repository: str, settings: Settings) -> Iterator[ImportedItem | Refusal]:
    token = os.environ.get(GITHUB_TOKEN, "").strip()
    if not token:
        raise NotConfigured(f"${GITHUB_TOKEN} is not set: GitHub is asked for {repository} with that token")
    forge = GitHub(settings.github_url, token)
    try:
        yield from github_issues.issues(forge.issues(repository), repository)
    finally:
        forge.close()


def _once(
    read: Iterable[ImportedItem | Refusal], seen: dict[ItemSource, str], rows: list[ImportedRow]
) -> Iterator[ImportedItem]:
    """The records, each once; what is none, or stood there before, is refused."""
    for one in read:
        if isinstance(one, Refusal):
            rows.append(ImportedRow(place=one.place, outcome=RowOutcome.REFUSED, reason=one.reason))
        elif one.ref in seen:
            reason = f"{one.ref.id} stands at {seen[one.ref]} already"
            rows.append(ImportedRow(place=one.place, outcome=RowOutcome.REFUSED, key=one.ref.id, reason=reason))
        else:
            seen[one.ref] = one.place
            yield one


def _batches(records: Iterable[ImportedItem]) -> Iterator[list[ImportedItem]]:
    batch: list[ImportedItem] = []
    size = 0
    for one in records:
        more = len(msgspec.json.encode(one))
        if batch and (len(batch) == BATCH_ITEMS or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += more
    if batch:
        yield batch
