"""Scans: what was found in a project's files becomes work items, and known ones are known again.

Identity is decided outside of any transaction, on what was read before; what is written is written at once, and only if
no other scan came between. Who is who: matching/. What becomes of an item: scan_changes.py.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import msgspec

from shoal.errors import BadInput, Refused
from shoal.model.found import Scan, Scanned, Scanner, ScanReport
from shoal.model.item import Project, item_from_row
from shoal.services import triage
from shoal.services.matching.pairs import Matching, match
from shoal.services.outside import Outside
from shoal.services.scan_record import Record
from shoal.services.sightings import Known, read_known, rows_of
from shoal.services.transaction import Tx
from shoal.services.verb import verb

TRIES = 8
SCAN_LIMIT_BYTES = 64 << 20  # of the body of a request: 100,000 files that hold a few things each


@verb("GET /items/scanned")
def scanned(tx: Tx, *, project: Project, scanner: Scanner) -> Scanned:
    """What the last scan of a project read: so the next one leaves out what is as it was. Number 0: there was none."""
    row = tx.one("scans.last", project=project, scanner=scanner)
    number, _, head, repository = row if row is not None else (0, None, None, None)
    files: dict[str, str] = dict(tx.all("scans.files", project=project, scanner=scanner))
    return Scanned(project=project, scanner=scanner, number=number, head=head, files=files, repository=repository)


@verb(
    "POST /items/scan",
    outside=True,
    repeatable=True,
    body_limit_bytes=SCAN_LIMIT_BYTES,
    when_larger="scan the project's folders one by one, as with `shoal scan src`",
)
def scan(outside: Outside, scan: Scan, *, dry_run: bool = False) -> ScanReport:
    """Bring what was found in a project's files into the backlog; with `dry_run` only tell what that would change.

    An item that was moved, reworded, ticked, or whose file was renamed stays the same item. All of it or nothing; the
    same again changes and tells nothing. The rules of [triage.NAME] decide about new items at once. Refused when
    another scan came between this one's look and its report.
    """
    _check_places(scan)
    for _ in range(TRIES):
        known = outside.read(lambda tx: read_known(tx, scan))
        _check_files(scan, known)
        matching = match([one.known for one in known.sightings.values()], scan.files, scan.renamed)
        if not dry_run and all(known.files.get(file.path) == file.hash for file in scan.files):
            # Most often nothing has changed, and then nobody waits for the writer.
            report = outside.read(partial(_unless_something, scan, known, matching))
            if report is not None:
                return report
        run = outside.read if dry_run else outside.write
        report = run(partial(_record, scan, known, matching, not dry_run))
        if report is not None:
            return report
    raise Refused(f"other scans of {scan.project} are under way; scan again when they are done", field="project")


def _record(scan: Scan, known: Known, matching: Matching, writing: bool, tx: Tx) -> ScanReport | None:
    if writing and matching.new:
        triage.lock_edges(tx)
    record = Record(tx, scan, known, matching, writing=writing)
    report = record.carry_out()
    if report is None or not writing or not tx.settings.triage or not record.added:
        return report
    rows = tx.all("scans.lock", rows=rows_of([{"id": number} for number in sorted(record.added)]))
    changed = {} if scan.changed is None else {scan.project: scan.changed}
    taken, notes = triage.by_rules(tx, [item_from_row(row) for row in rows], changed)
    counts = Counter(one.rule for one in taken)
    rules = {name: counts[name] for name in tx.settings.triage if counts[name]}
    return msgspec.structs.replace(report, rules=rules, notes=[*report.notes, *notes])


def _unless_something(scan: Scan, known: Known, matching: Matching, tx: Tx) -> ScanReport | None:
    record = Record(tx, scan, known, matching, writing=False)
    if record.something or record.elsewhere:
        return None
    report = record.carry_out()
    return None if report is None else msgspec.structs.replace(report, dry_run=False)


def _check_places(scan: Scan) -> None:
    """Refuse what contradicts itself."""
    paths = [file.path for file in scan.files]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise BadInput(f"files: {twice} is there twice", field="files")
    both = set(paths) & set(scan.unchanged)
    if both:
        raise BadInput(f"unchanged: {min(both)} is one of the files that were read", field="unchanged")
    for file in scan.files:
        for place, found in enumerate(file.found):
            if found.above is not None and found.above >= place:
                raise BadInput(
                    f"files: {file.path}:{found.line} stands below something that comes later", field="files"
                )


def _check_files(scan: Scan, known: Known) -> None:
    """Refuse a look that compared with something else than what the ledger has."""
    if scan.since is not None and scan.since != known.number:
        raise Refused(
            f"{scan.project} was scanned since this look began (scan {known.number}, not {scan.since}); look again",
            field="since",
        )
    unread = [path for path in scan.unchanged if path not in known.files]
    if unread:
        raise BadInput(f"unchanged: no scan has read {unread[0]}; it must be among the files", field="unchanged")
