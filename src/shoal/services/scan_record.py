"""Writes what a scan found into the ledger, in one transaction; or, in a dry run, only tells what it would write.

Who is who was decided before (matching/), and what becomes of an item that was seen or missed is scan_changes.py's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from shoal.model.event import Kind
from shoal.model.found import Became, Found, Mark, Scan, ScanChange, ScanReport
from shoal.model.item import NO_WORK, OPEN, Item, ItemStatus, item_from_row, shown
from shoal.services.item_changes import stored
from shoal.services.item_ends import left
from shoal.services.item_graph import upwards
from shoal.services.matching.pairs import Matching, Pair, Place
from shoal.services.scan_changes import Change, Seen, change_mark, change_seen, change_unseen
from shoal.services.sightings import (
    LONGEST_NAME,
    WAITS,
    Known,
    Sighting,
    first_row,
    gone_files,
    numbers_from,
    rows_of,
    said_by,
    sighting_row,
    status_at_first,
)
from shoal.services.transaction import Tx
from shoal.services.waits import blockers_of, without_circles

_CHANGED = (
    *("source_file", "source_line", "heading", "text", "text_hash", "form", "status", "accepted", "decided_by"),
    *("effort", "estimate_minutes", "priority", "labels", "owner", "due_at", "parent", "refs", "last_seen_at"),
    *("unseen", "done_at", "done_commit"),
)


class Record:
    """One scan on its way into the ledger. Items that a dry run would make have numbers below zero."""

    def __init__(self, tx: Tx, scan: Scan, known: Known, matching: Matching, *, writing: bool) -> None:
        self.tx = tx
        self.scan = scan
        self.known = known
        self.matching = matching
        self.writing = writing
        self.found = {Place(file.path, at): one for file in scan.files for at, one in enumerate(file.found)}
        self.pairs = {pair.item: pair for pair in matching.pairs}
        self.ids: dict[Place, int] = {pair.at: pair.item for pair in matching.pairs}
        self.changes: list[ScanChange] = []
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self.whose = {"project": scan.project, "scanner": scan.scanner}
        self._resolve()
        self._sort_out()

    def _resolve(self) -> None:
        """What the names after `blocked-by` mean, and which of them mean nothing."""
        self.waits: dict[Place, list[Place | int]] = {}
        self.unknown: dict[Place, list[str]] = {}
        waiting = {at: found for at, found in self.found.items() if found.blocked_by}
        if not waiting:
            return
        here = self.known.sightings
        others = [row for row in self.tx.all("scans.named", **self.whose) if row[0] not in here]
        blockers = blockers_of(self.scan.files, others)
        for at, found in waiting.items():
            meant = {name: blockers.find(name, at.path) for name in found.blocked_by}
            self.waits[at] = list(dict.fromkeys(one for one in meant.values() if one is not None and one != at))
            self.unknown[at] = [name for name, one in meant.items() if one is None]

    def _sort_out(self) -> None:
        """Which pairs have changed, which have only slid up or down, and which items were missed."""
        self.changed: list[Pair] = []
        self.slid: list[Pair] = []
        for pair in self.matching.pairs:
            old, found = self.known.sightings[pair.item], self.found[pair.at]
            row = sighting_row(pair.item, pair.at, found, above=self._above(pair.at), waits_for=[])
            differing = {name for name, value in row.items() if value != getattr(old, name)} - {"waits_for"}
            away = not old.seen or old.unseen or old.status == ItemStatus.STALE.value
            waits = [self._id(one) for one in self.waits.get(pair.at, ())] != numbers_from(old.waits_for)
            if differing - {"place", "line"} or away or waits or pair.moved:
                self.changed.append(pair)
            elif differing:
                self.slid.append(pair)
            else:
                self.counts["same"] += 1
        self.counts["same"] += len(self.slid)
        sightings = self.known.sightings
        self.lost = [item for item in self.matching.unseen if sightings[item].seen]
        missed = [sightings[item] for item in self.matching.unseen] if self.scan.complete and self.scan.asked else []
        counting = [one.item for one in missed if one.merged_into is None and _counts(one)]
        elsewhere = self._seen_as_others(counting)
        self.missed = [item for item in counting if item not in elsewhere]
        self.gone_files = gone_files(self.scan, self.known.files)
        self.read_files = [one for one in self.scan.files if self.known.files.get(one.path) != one.hash]

    @property
    def something(self) -> bool:
        """Whether there is anything to write about items or files."""
        new = self.matching.new
        return bool(new or self.changed or self.slid or self.lost or self.missed or self.gone_files or self.read_files)

    @property
    def added(self) -> list[int]:
        """The numbers of the items that are new, once that is carried out."""
        return [self.ids[at] for at in self.matching.new]

    @property
    def elsewhere(self) -> bool:
        """Whether another commit, or another repository, is checked out than at the last scan."""
        known, scan = self.known, self.scan
        return scan.head != known.head or (scan.repository or known.repository) != known.repository

    def carry_out(self) -> ScanReport | None:
        """Write it all; None when another scan was faster."""
        number = self.known.number
        if self.something or self.elsewhere:
            if self.writing:
                self.tx.all("dependencies.lock_edges")  # two who look at once would not see each other's circle
                checkout = {"head": self.scan.head, "repository": self.scan.repository}
                row = self.tx.one("scans.count_up", expected=number, now=self.tx.now, **checkout, **self.whose)
                if row is None:
                    return None
                number = row[0]
            self._add_new()
            self._change()
            self._write_sightings()
            self._link()
            self._write_files()
        changes = sorted(self.changes, key=lambda one: (one.path, one.line or 0))
        counts = dict(sorted(self.counts.items()))
        if self.writing and self.something:
            data = {**self.whose, "number": number, "counts": counts, "head": self.scan.head}
            self.tx.emit(Kind.SCAN_ENDED, data=data)
        return ScanReport(
            project=self.scan.project,
            scanner=self.scan.scanner,
            number=number,
            counts=counts,
            changes=changes,
            notes=self.notes,
            dry_run=not self.writing,
        )

    def _id(self, target: Place | int) -> int | None:
        return self.ids.get(target) if isinstance(target, Place) else target

    def _above(self, at: Place) -> int | None:
        """The item below which something stands; 0 for one that has no number yet."""
        above = self.found[at].above
        return None if above is None else self.ids.get(Place(at.path, above), 0)

    def _tell(self, item: int | None, became: Became, at: Place, found: Found, why: str) -> None:
        if names := self.unknown.get(at):
            self.notes.append(
                f"{at.path}:{found.line} waits for {', '.join(map(repr, names))}, which no line is called; "
                "name one by its id, or by exactly its words"
            )
        self._report(item, became, at.path, found.line, found.text, why)

    def _report(self, item: int | None, became: Became, path: str, line: int | None, text: str, why: str) -> None:
        self.counts[became] += 1
        if became != "same":
            name = None if item is None or item < 0 else shown(item)
            text = text.split("\n", 1)[0][:LONGEST_NAME]
            self.changes.append(ScanChange(item_id=name, became=became, path=path, line=line, text=text, why=why))

    def _add_new(self) -> None:
        new = self.matching.new
        if not new:
            return
        if self.writing:
            rows = []
            for at in new:
                said = said_by(self.found[at])
                refs, whose = self._refs(at, said.refs), self.scan.scanner
                rows.append(first_row(at, self.found[at], said, refs, scanner=whose, now=self.tx.now))
            ids = sorted(
                row[0]
                for row in self.tx.all("scans.insert", rows=rows_of(rows), now=self.tx.now, project=self.scan.project)
            )
        else:
            ids = list(range(-1, -1 - len(new), -1))
        self.ids.update(zip(new, ids, strict=True))
        for at in new:
            self._tell_new(self.ids[at], at, self.found[at])
        below = [{"item": self.ids[at], "above": above} for at in new if (above := self._above(at)) is not None]
        if below and self.writing:
            self.tx.all("scans.put_below", rows=rows_of(below))

    def _tell_new(self, item: int, at: Place, found: Found) -> None:
        whole = self.matching.split.get(at)
        became: Became = "new" if whole is None else "split"
        why = "" if whole is None else f"a part of {shown(whole)}"
        doubted = self.matching.instead.get(at)
        if doubted is not None:
            why = f"in the place of {shown(doubted)}, but in other words, so nothing that was decided about that holds"
        if found.mark is not Mark.OPEN:
            became = "done" if found.mark is Mark.DONE else "declined"
            why = "ticked when it was first seen" if found.mark is Mark.DONE else "declined when it was first seen"
        elif found.form in NO_WORK:
            why = f"a {found.form.value}, and no work"
        self._tell(item, became, at, found, why)
        if self.writing:
            data: dict[str, Any] = {"text": found.text.split("\n", 1)[0], "path": at.path, "line": found.line}
            if whole is not None:
                data["split_from"] = shown(whole)
            if doubted is not None:
                data["instead_of"] = shown(doubted)
            status = status_at_first(found.mark)
            changes = {} if status is ItemStatus.NEW else {"status": [None, status.value]}
            self.tx.emit(Kind.ITEM_FOUND, changes=changes, data=data, item=item)

    def _refs(self, at: Place, refs: dict[str, str]) -> dict[str, str]:
        """Refs with the names that nobody knows."""
        rest = {name: ref for name, ref in refs.items() if name != WAITS}
        names = self.unknown.get(at)
        return rest | {WAITS: ", ".join(names)[:LONGEST_NAME]} if names else rest

    def _items(self, ids: Iterable[int]) -> dict[int, Item]:
        rows = rows_of([{"id": item} for item in sorted(set(ids))])
        lock = {"writing": True} if self.writing else {}
        return {item.id: item for item in map(item_from_row, self.tx.all("scans.lock", rows=rows, **lock))}

    def _change(self) -> None:
        """What becomes of the items that were seen otherwise, or missed."""
        ids = {pair.item for pair in self.changed} | set(self.missed)
        if not ids:
            return
        items = self._items(ids)
        changes: dict[int, Change] = {}
        merged: list[Pair] = []
        for pair in self.changed:
            item, seen = items[pair.item], self._seen(pair)
            change = change_seen(item, self.known.sightings[pair.item], seen)
            refs = self._refs(pair.at, change.fields.get("refs", item.refs))
            if refs != item.refs or "refs" in change.fields:
                change.fields["refs"] = refs
            if item.merged_into is not None:
                kept = {"source_file", "source_line", "heading", "text", "text_hash"}
                told = [one for one in change.told if one.kind is Kind.ITEM_MOVED]
                change = Change({name: change.fields[name] for name in change.fields.keys() & kept}, told, "same")
                merged.append(pair)
            changes[pair.item] = change
            self._tell(pair.item, change.became, pair.at, seen.found, _why(pair.why, change))
        self._refuse_circles(changes)
        for number in self.missed:
            old = self.known.sightings[number]
            missed = change_unseen(
                items[number], stale_after=self.tx.settings.backlog.stale_after, last_at=self.known.at
            )
            if missed is not None:
                changes[number] = missed
                if missed.became == "stale" or old.seen:
                    why = f"not seen in {items[number].unseen + 1} scans" if missed.became == "stale" else ""
                    self._report(number, missed.became, old.path, old.line, old.text, why)
        self._apply(items, changes)
        self._finish_merged(merged)

    def _seen(self, pair: Pair) -> Seen:
        above = self._above(pair.at)
        where = (pair.at, self.found[pair.at], above, pair.moved, pair.why)
        return Seen(*where, by=self.scan.scanner, now=self.tx.now)

    def _apply(self, items: dict[int, Item], changes: dict[int, Change]) -> None:
        """Write the changes of items and tell of them."""
        if not self.writing:
            return
        rows = []
        for number, change in sorted(changes.items()):
            item = items[number]
            changed = msgspec.structs.replace(item, **change.fields)
            if changed != item:
                rows.append({"id": number} | {name: stored(name, getattr(changed, name)) for name in _CHANGED})
            for kind, names, data in change.told:
                pairs = {name: [getattr(item, name), getattr(changed, name)] for name in names}
                told = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
                self.tx.emit(kind, changes=told, data=data, item=number)
        if rows:
            self.tx.all("scans.change", rows=rows_of(rows), now=self.tx.now)
        for number, change in sorted(changes.items()):
            if "parent" in change.fields:
                left(self.tx, items[number].parent)

    def _finish_merged(self, merged: list[Pair]) -> None:
        """Whoever ticks a line whose item was merged into another one has done that one."""
        ticked: dict[int, Pair] = {}
        for pair in merged:
            into = self.known.sightings[pair.item].merged_into
            if into is not None and self.found[pair.at].mark is Mark.DONE:
                ticked[into] = pair
        if ticked:
            items = self._items(ticked)
            changes = {
                number: change
                for number, pair in ticked.items()
                if (change := change_mark(items[number], self.known.sightings[pair.item].mark, self._seen(pair)))
            }
            self._apply(items, {number: one for number, one in changes.items() if items[number].merged_into is None})

    def _seen_as_others(self, missed: list[int]) -> set[int]:
        """The missed items that are seen all the same: in the lines of items that were merged into them."""
        if not missed:
            return set()
        rows = self.tx.all("scans.also_seen", rows=rows_of([{"id": item} for item in missed]))
        lost = set(self.lost)
        back = {self.known.sightings[item].merged_into for item in self.pairs}
        return {into for into, item in rows if item not in lost} | {into for into in back if into is not None}

    def _refuse_circles(self, changes: dict[int, Change]) -> None:
        """An item never comes to stand below itself, whatever people moved and files say."""
        asked = {number: one.fields["parent"] for number, one in changes.items() if "parent" in one.fields}
        parents: dict[int, int | None] = {}
        frontier = {*asked, *asked.values()} - {None}
        while frontier:
            rows = self.tx.all("scans.parents", rows=rows_of([{"id": one} for one in sorted(frontier)]))
            parents |= dict.fromkeys(frontier) | dict(rows)
            frontier = {parent for _, parent in rows} - parents.keys()
        tried = 0
        while len(asked) != tried:  # again, for what stood in the way of one may have been moved since
            tried = len(asked)
            for number, parent in [*asked.items()]:
                if number not in upwards(parent, parents.get):
                    parents[number] = asked.pop(number)
        for number in asked:
            del changes[number].fields["parent"]

    def _write_sightings(self) -> None:
        if not self.writing:
            return
        places = [*self.matching.new, *(pair.at for pair in self.changed)]
        rows = []
        for at in places:
            waits = [one for target in self.waits.get(at, ()) if (one := self._id(target)) is not None]
            rows.append(sighting_row(self.ids[at], at, self.found[at], above=self._above(at), waits_for=waits))
        if rows:
            self.tx.all("scans.put_sightings", rows=rows_of(rows), **self.whose)
        if self.slid:
            slid = rows_of(
                [{"item": one.item, "place": one.at.place, "line": self.found[one.at].line} for one in self.slid]
            )
            self.tx.all("scans.shift_sightings", rows=slid)
            self.tx.all("scans.move_lines", rows=slid)
        if self.lost:
            self.tx.all("scans.miss_sightings", rows=rows_of([{"id": item} for item in self.lost]))

    def _link(self) -> None:
        """Let items wait for those that their files name, and no more for those that they name no more."""
        if not self.writing:
            return
        wanted: list[tuple[int, int]] = []
        for at in [*self.matching.new, *(pair.at for pair in self.changed)]:
            item = self.ids[at]
            sighting = self.known.sightings.get(item)
            before = set(numbers_from(sighting.waits_for)) if sighting is not None else set()
            after = [one for target in self.waits.get(at, ()) if (one := self._id(target)) is not None]
            wanted += [(item, one) for one in after if one not in before]
            for one in sorted(before - set(after)):
                self.tx.all("scans.drop_dependency", blocked=item, blocker=one)
                self.tx.emit(Kind.ITEM_LINKED, data={"waits_no_more_for": shown(one)}, item=item)
        if not wanted:
            return
        added = without_circles(self.tx, wanted)
        self.tx.all(
            "scans.add_dependencies", rows=rows_of([{"blocked": one, "blocker": other} for one, other in added])
        )
        for item, one in added:
            self.tx.emit(Kind.ITEM_LINKED, data={"waits_for": shown(one)}, item=item)

    def _write_files(self) -> None:
        if not self.writing:
            return
        if self.read_files:
            rows = rows_of([{"path": one.path, "hash": one.hash} for one in self.read_files])
            self.tx.all("scans.put_files", rows=rows, **self.whose)
        if self.gone_files:
            self.tx.all("scans.drop_files", rows=rows_of([{"path": path} for path in self.gone_files]), **self.whose)


def _why(why: str, change: Change) -> str:
    """By what an item was known, and what else the file says otherwise."""
    names = [name.replace("_", " ") for told in change.told if told.kind is Kind.ITEM_UPDATED for name in told.fields]
    return f"{why}, with another {', '.join(names)}" if names else why


def _counts(sighting: Sighting) -> bool:
    """Whether it matters that an item was missed: an open one may become stale."""
    status = ItemStatus(sighting.status)
    return status in OPEN and status is not ItemStatus.IN_PROGRESS
