"""Assessments: what an accepted item takes, as a person or a model says. All are kept; the item has the last good one.

It looks at no files and asks no model: daemon/scoping.py does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shoal.errors import Cycle, Refused
from shoal.model.assessment import Assessed, Matched, NewAssessment
from shoal.model.event import Kind
from shoal.model.item import Assessment, Effort, Item, ItemRef, ItemStatus, Risk
from shoal.services import items
from shoal.services.item_changes import change_item, require_open
from shoal.services.item_names import Names
from shoal.services.item_numbers import item_number, lock_item
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
    changed = _change(tx, found, new)
    for file in new.files:
        tx.all("items.put_file", item=found.id, path=file.path, validated=int(file.validated))
    names = Names(tx, found) if new.dependencies or new.overlaps else None
    waited_for = [_wait(tx, found, one) for one in names.match_all(new.dependencies)] if names else []
    overlaps = names.match_all(new.overlaps) if names else []
    kept = _keep(tx, changed, new, _answer(new, waited_for, overlaps))
    return Assessed(item=items.get(tx, item=found.id), assessment=kept, dependencies=waited_for, overlaps=overlaps)


def require_accepted(item: Item) -> None:
    """Raises Refused for an item that nobody accepted, WrongStatus for one that is over."""
    require_open(item, "assess")
    if not item.accepted:
        raise Refused(
            f"{item.item_id} is not accepted, so nothing is spent on it; `shoal item accept {item.item_id}` first",
            field="item",
        )


def _change(tx: Tx, item: Item, new: NewAssessment) -> Item:
    """The item with what was said of it, and an event of it."""
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
    return change_item(tx, item, Kind.ITEM_ASSESSED, fields, data=_told(new, fields["assessment_version"]))


def _may_name(tx: Tx, item: Item) -> bool:
    """Whether a model may give the title: there is none, or it is what a model said the last time."""
    if item.title is None:
        return True
    row = tx.one("items.last_model_title", item=item.id)
    return row is not None and msgspec.json.decode(row[0]).get("title") == item.title


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
    told = {"version": version, "model": new.model, "cost_usd_micros": new.cost_usd_micros}
    return {name: value for name, value in told.items() if value is not None}


def _answer(new: NewAssessment, waited_for: list[Matched], overlaps: list[Matched]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "title": new.title,
        "summary": new.summary,
        "files": new.files,
        "claimed_files": new.claimed_files,
        "effort": new.effort,
        "risk": new.risk,
        "sub_tasks": new.sub_tasks,
        "dependencies": waited_for,
        "overlaps": overlaps,
        "confidence": new.confidence,
    }
    built: dict[str, Any] = msgspec.to_builtins(answer)
    return built


def _keep(tx: Tx, item: Item, new: NewAssessment, answer: dict[str, Any] | None) -> Assessment:
    kept = Assessment(
        item=item.id,
        version=item.assessment_version,
        at=tx.now,
        actor=tx.actor,
        model=new.model,
        prompt_version=new.prompt_version,
        input_hash=new.input_hash,
        cost_usd_micros=new.cost_usd_micros,
        input_tokens=new.input_tokens,
        output_tokens=new.output_tokens,
        answer=answer,
        error=new.error,
    )
    row = msgspec.structs.asdict(kept) | {"answer": None if answer is None else _json(answer).decode()}
    tx.all("items.keep_assessment", **row)
    return kept
