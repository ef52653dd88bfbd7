"""What a scan makes of an item that it saw again, or did not: pure. What is read and written: scans.py.

Only what changed in the file changes the item. So whoever edits an item keeps what they wrote until the line itself
says something else, and what was done or rejected stays so until its box is changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from shoal.model.event import Kind
from shoal.model.found import Became, Found, Mark
from shoal.model.item import OPEN, Form, Item, ItemStatus
from shoal.services.item_changes import status_of, text_hash
from shoal.services.matching.pairs import Place
from shoal.services.sightings import Sighting, said_by, said_from

_SAID = ("owner", "effort", "estimate_minutes", "priority", "due_at")


class Told(NamedTuple):
    """An event of an item, with the fields whose old and new values it tells."""

    kind: Kind
    fields: tuple[str, ...]
    data: dict[str, Any]


class Change(NamedTuple):
    """What becomes of an item: new values, what is told of it, and one word for the report."""

    fields: dict[str, Any]
    told: list[Told]
    became: Became


class Seen(NamedTuple):
    """What a scan saw again: where, what, below which item, and by what it was known."""

    at: Place
    found: Found
    above: int | None
    moved: bool
    why: str
    by: str
    now: int


def change_seen(item: Item, old: Sighting, new: Seen) -> Change:
    """The change of an item that was seen again."""
    fields: dict[str, Any] = {}
    told: list[Told] = []
    became: Became = "same"
    back = _come_back(item)
    if back and new.found.mark is not Mark.DONE:
        fields |= back
        became = "returned"
        told.append(Told(Kind.ITEM_RETURNED, ("status",), {"why": new.why}))
    elif item.unseen:
        fields["unseen"] = 0
    moved = _moved(item, old, new)
    fields |= moved
    if moved.keys() - {"source_line", "text_hash", "form"} or new.moved:
        reworded = "text" in moved
        became = became if became == "returned" else "reworded" if reworded else "moved"
        names = ("source_file", "heading", "text")
        told.append(Told(Kind.ITEM_MOVED, names, {"why": new.why, "line": new.found.line}))
    said = _said(item, old, new)
    if said:
        fields |= said
        if became == "same":
            became = "moved" if said.keys() == {"parent"} else "reworded"
        told.append(Told(Kind.ITEM_UPDATED, tuple(said), {"by": new.by}))
    marked = change_mark(item, old.mark, new)
    if marked is not None:
        fields |= marked.fields
        told = [one for one in told if one.kind is not Kind.ITEM_RETURNED] + marked.told
        became = marked.became
    if fields.keys() - {"source_line"}:
        fields["last_seen_at"] = new.now
    return Change(fields, told, became)


def change_mark(item: Item, old: str, new: Seen) -> Change | None:
    """The change that a changed box makes; None when it makes none."""
    mark = new.found.mark
    if mark.value == old:
        return None
    if item.status is ItemStatus.IN_PROGRESS:
        return None  # its tasks say when it is done; what the box says counts when they end otherwise
    if mark is Mark.DONE and item.status is not ItemStatus.DONE:
        # Which commit ticked it is asked of git, and told after the scan: the box may not be committed yet.
        fields = {"status": ItemStatus.DONE, "done_at": new.now, "done_commit": None, "unseen": 0}
        data = {"reason": f"ticked in {new.at.path}"}
        return Change(fields, [Told(Kind.ITEM_DONE, ("status",), data)], "done")
    if mark is Mark.DECLINED and item.status in OPEN | {ItemStatus.STALE}:
        fields = {"status": ItemStatus.WONTFIX, "accepted": False, "decided_by": new.by, "unseen": 0}
        data = {"by": new.by, "reason": f"declined in {new.at.path}"}
        return Change(fields, [Told(Kind.ITEM_REJECTED, ("status", "accepted", "decided_by"), data)], "declined")
    unticked = old == Mark.DONE.value and item.status is ItemStatus.DONE
    undeclined = old == Mark.DECLINED.value and item.status is ItemStatus.WONTFIX and item.decided_by == new.by
    if mark is Mark.OPEN and (unticked or undeclined):
        fields = {"status": status_of(item, accepted=item.accepted), "done_at": None, "done_commit": None, "unseen": 0}
        return Change(fields, [Told(Kind.ITEM_REOPENED, ("status",), {"reason": f"open in {new.at.path}"})], "reopened")
    return None


def change_unseen(item: Item, *, stale_after: int, last_at: int | None) -> Change | None:
    """The change of an item that a complete scan did not see; None when that changes nothing."""
    if item.status not in OPEN or item.status is ItemStatus.IN_PROGRESS or item.merged_into is not None:
        return None
    fields: dict[str, Any] = {"unseen": item.unseen + 1}
    if item.unseen == 0 and last_at is not None:
        fields["last_seen_at"] = max(item.last_seen_at, last_at)
    if item.unseen + 1 < stale_after:
        return Change(fields, [], "gone")
    fields["status"] = ItemStatus.STALE
    data = {"scans": item.unseen + 1, "path": item.source_file}
    return Change(fields, [Told(Kind.ITEM_STALE, ("status",), data)], "stale")


def _come_back(item: Item) -> dict[str, Any]:
    if item.status is not ItemStatus.STALE:
        return {}
    return {"status": status_of(item, accepted=item.accepted), "unseen": 0}


def _moved(item: Item, old: Sighting, new: Seen) -> dict[str, Any]:
    """Where it stands now and what stands there, as far as the file changed it."""
    given: dict[str, Any] = {"source_file": new.at.path, "source_line": new.found.line}
    heading = list(new.found.heading)
    if msgspec.json.encode(heading).decode() != old.heading:
        given["heading"] = heading
    if new.found.text != old.text:
        given |= {"text": new.found.text, "text_hash": text_hash(new.found.text)}
    if new.found.form.value != old.form:
        given["form"] = Form(new.found.form)
    return {name: value for name, value in given.items() if value != getattr(item, name)}


def _said(item: Item, old: Sighting, new: Seen) -> dict[str, Any]:
    """What the file says otherwise than before, where the item still has what it said then."""
    before, after = said_from(old.said), said_by(new.found)
    fields = {
        name: getattr(after, name)
        for name in _SAID
        if getattr(after, name) != getattr(before, name) == getattr(item, name)
    }
    if after.labels != before.labels:
        kept = [label for label in item.labels if label in after.labels or label not in before.labels]
        fields["labels"] = list(dict.fromkeys([*kept, *(one for one in after.labels if one not in before.labels)]))
    if after.refs != before.refs:
        mine = {name: ref for name, ref in item.refs.items() if before.refs.get(name) != ref}
        fields["refs"] = after.refs | mine
    if new.above != old.above and item.parent == old.above:
        fields["parent"] = new.above
    return {name: value for name, value in fields.items() if value != getattr(item, name)}
