"""Audits: findings that somebody outside submits. They are items like those of checks, and never close themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from shoal.errors import NotFound
from shoal.model.check import AUDIT, Finding, Findings
from shoal.model.fields import Limit, Moment, Name, Positive, Text, Title
from shoal.model.item import Item, ItemRef, ItemText, Path, Project, Severity, item_from_row
from shoal.model.page import Page, position
from shoal.services import checks, items
from shoal.services.item_numbers import get_item, lock_item
from shoal.services.refs import LARGEST_ID
from shoal.services.transaction import Tx
from shoal.services.verb import verb

AuditType = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}(?![\s\S])",
        description="What kind of audit it is, as `security`: letters, digits, dots, dashes and underscores.",
    ),
]


class NewAudit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A finding from outside. The same type, file, rule and message is the same finding."""

    type: AuditType
    message: ItemText
    severity: Severity = Severity.WARNING
    file: Path | None = None
    line: Positive | None = None
    rule: Name = "audit"
    title: Title | None = None
    project: Project = "default"
    files: Annotated[list[Path], Meta(max_length=200)] = []
    safe: bool = False


@verb("POST /audits", status=201, repeatable=True)
def submit(tx: Tx, new: NewAudit) -> Item:
    """Submit a finding from outside; the same again is the same work item, with the severity that it has now."""
    fields = {name: getattr(new, name) for name in new.__struct_fields__ if name not in {"type", "project"}}
    finding = Finding(**fields)
    found = Findings(check=f"{AUDIT}{new.type}", project=new.project, findings=[finding], complete=False)
    checks.record(tx, found)
    return get_item(tx, checks.item_of(tx, found, finding))


@verb("GET /audits")
def list_(
    tx: Tx,
    *,
    type: AuditType | None = None,
    project: Name | None = None,
    severity: Severity | None = None,
    since: Annotated[Moment | None, Meta(description="Only those first submitted at or after this.")] = None,
    until: Annotated[Moment | None, Meta(description="Only those first submitted before this.")] = None,
    resolution: Annotated[
        Literal["open", "resolved", "rejected"] | None, Meta(description="Only those with this outcome.")
    ] = None,
    cursor: Annotated[Name | None, Meta(description="Where the page begins: `next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[Item]:
    """A page of the findings from outside, newest first."""
    filters: dict[str, Any] = {"check_name": type and f"{AUDIT}{type}", "project": project, "since": since}
    filters |= {"severity": severity and severity.value, "until": until}
    given = {name: value for name, value in filters.items() if value is not None}
    if resolution is not None:
        given[resolution] = True
    before = LARGEST_ID if cursor is None else position(cursor)
    found = [item_from_row(row) for row in tx.all("checks.audits", before=before, limit=limit, **given)]
    return Page(found, next=str(found[-1].id) if len(found) == limit else None)


@verb("POST /audits/{item}/resolve", repeatable=True)
def resolve(tx: Tx, *, item: ItemRef, reason: Text | None = None) -> Item:
    """Say that what an audit found is mended. It stays so, also when it is submitted again: reopen it then."""
    return items.finish(tx, _audit(tx, item), reason=reason)


@verb("POST /audits/{item}/reopen", repeatable=True)
def reopen(tx: Tx, *, item: ItemRef) -> Item:
    """Open a finding of an audit again that was resolved or rejected."""
    _audit(tx, item)
    return items.reopen(tx, item=item)


def _audit(tx: Tx, ref: str | int) -> Item:
    found = lock_item(tx, ref)
    if not (found.check_name or "").startswith(AUDIT):
        raise NotFound(f"{found.item_id} was found by no audit; `shoal item` is for other work items", field="item")
    return found
