"""Assessments: what an accepted item takes, as a person or a model says. All are kept; the item has the last good one.

It looks at no files and asks no model: errands/scoping.py does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shoal.errors import Cycle, Refused
from shoal.model.assessment import (
    Answer,
    Assessed,
    Assessment,
    Matched,
    NewAssessment,
    Scope,
    assessment_from_row,
    read_answer,
)
from shoal.model.event import Kind
from shoal.model.fields import Limit
from shoal.model.item import Effort, Item, ItemRef, ItemStatus, Risk
from shoal.services import costs, items
from shoal.services.item_changes import change_item, require_open
from shoal.services.item_graph import MOST
from shoal.services.item_names import Names
from shoal.services.item_numbers import get_item, item_number, lock_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb

DECIDED = frozenset({ItemStatus.NEW, ItemStatus.TRIAGED, ItemStatus.ASSESSED})
_json = msgspec.json.Encoder().encode


@verb("POST /items/{item}/assess")
def assess(tx: Tx, new: NewAssessment, *, item: ItemRef) -> Assessed:
    """Say what an accepted item takes, or with `error` why that could not be had; either is kept with its cost.

    The item's fields follow: its title only where no person wrote one, nothing that is left out or unknown. The items
    that `dependencies` name, by number or title, are waited for; a circle is left out, and told, as are words that name
    no open item. Raises Refused for an item that nobody accepted.
    """
    found = lock_item(tx, item)
    require_accepted(found)
    if new.error is not None:
        return _failed(tx, found, new)
    known = {path for path, _ in tx.all("items.files", item=found.id, limit=MOST)}
    changed = _change(tx, found, new, files=[file.path for file in new.files if file.path not in known])
    for file in new.files:
        tx.all("items.put_file", item=found.id, path=file.path, validated=int(file.validated))
    names = Names(tx, found) if new.dependencies or new.overlaps else None
    waited_for = [_wait(tx, found, one) for one in names.match_all(new.dependencies)] if names else []
    overlaps = names.match_all(new.overlaps) if names else []
    kept = _keep(tx, changed, new, _answer(new, waited_for, overlaps))
    return Assessed(item=items.get(tx, item=found.id), assessment=kept, dependencies=waited_for, overlaps=overlaps)


@verb("GET /items/{item}/assessments")
def assessments(tx: Tx, *, item: ItemRef, limit: Limit = 100) -> list[Assessment]:
    """Every assessment of an item, the newest first, with what it cost; failed ones too."""
    found = get_item(tx, item)
    return [*map(assessment_from_row, tx.all("assessments.of_item", item=found.id, limit=limit))]


def last_answer(tx: Tx, item: Item, **filters: bool) -> Answer | None:
    """What was said of an item the last time that something was; with `by_model` what a model said."""
    row = tx.one("assessments.last_answer", item=item.id, **filters)
    return None if row is None else read_answer(row[0])


def last_answers(tx: Tx, **filters: str) -> dict[int, Answer]:
    """The last answers about all assessed items that have no tasks under way, by their numbers; of one `project`."""
    return {number: read_answer(answer) for number, answer in tx.all("assessments.last_answers", **filters)}


def require_accepted(item: Item) -> None:
    """Raises Refused for an item that nobody accepted, WrongStatus for one that is over."""
    require_open(item, "assess")
    if not item.accepted:
        raise Refused(
            f"{item.item_id} is not accepted, so nothing is spent on it; `shoal item accept {item.item_id}` first",
            field="item",
        )


def _change(tx: Tx, item: Item, new: NewAssessment, *, files: list[str]) -> Item:
    """The item with what was said of it, and an event of it, also of the files that it was not about before."""
    fields: dict[str, Any] = {
        "assessed_at": tx.now,
        "assessed_by": new.model or tx.actor,
        "assessment_version": item.assessment_version + 1,
        "input_hash": new.input_hash,
        "confidence": new.confidence,
    }
    if new.title is not None and (new.model is None or _may_name(tx, item)):
        fields["title"] = new.title
    if new.summary:
        fields["summary"] = new.summary
    if new.effort is not Effort.UNKNOWN:
        fields["effort"] = new.effort
    if new.risk is not Risk.UNKNOWN:
        fields["risk"] = new.risk
    if item.status in DECIDED:
        fields["status"] = ItemStatus.ASSESSED
    data = _told(new, fields["assessment_version"]) | ({"files": files} if files else {})
    return change_item(tx, item, Kind.ITEM_ASSESSED, fields, data=data)


def _may_name(tx: Tx, item: Item) -> bool:
    """Whether a model may give the title: there is none, or it is what a model said the last time."""
    if item.title is None:
        return True
    answer = last_answer(tx, item, by_model=True)
    return answer is not None and answer.title == item.title


def _wait(tx: Tx, item: Item, meant: Matched) -> Matched:
    """Let the item wait for what is meant, unless that waits for it."""
    if meant.item is None or meant.how == "itself":
        return meant
    try:
        items.depend(tx, item=item.id, on=item_number(meant.item))
    except Cycle:
        return msgspec.structs.replace(meant, how="would make a circle")
    return meant


def _failed(tx: Tx, item: Item, new: NewAssessment) -> Assessed:
    """Only the try is kept: what is known of the item stays, and the next time there is no reason not to ask."""
    version = item.assessment_version + 1
    data = _told(new, version) | {"error": new.error}
    changed = change_item(tx, item, Kind.ITEM_ASSESSED, {"assessment_version": version}, data=data)
    kept = _keep(tx, changed, new, None)
    return Assessed(item=items.get(tx, item=item.id), assessment=kept, dependencies=[], overlaps=[])


def _told(new: NewAssessment, version: int) -> dict[str, Any]:
    told = {"version": version, "model": new.model}
    return {name: value for name, value in told.items() if value is not None}


def _answer(new: NewAssessment, waited_for: list[Matched], overlaps: list[Matched]) -> Answer:
    return Answer(
        **{name: getattr(new, name) for name in (*Scope.__struct_fields__, "files", "missing_files")},
        dependencies=waited_for,
        overlaps=overlaps,
    )


def _keep(tx: Tx, item: Item, new: NewAssessment, answer: Answer | None) -> Assessment:
    tx.all(
        "assessments.keep",
        item=item.id,
        version=item.assessment_version,
        at=tx.now,
        actor=tx.actor,
        model=new.model,
        prompt_version=new.prompt_version,
        input_hash=new.input_hash,
        answer=None if answer is None else _json(answer).decode(),
        error=new.error,
    )
    costs.count_assessment(tx, item=item, version=item.assessment_version, usages=new.calls)
    return assessments(tx, item=item.id, limit=1)[0]
