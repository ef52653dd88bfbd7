"""The audit of tokens: what was registered, given out, refused and ended; who asked, and what there is now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shoal.clock import DAY_MS
from shoal.errors import NotFound
from shoal.model.fields import Limit, Moment, Name, TaskRef
from shoal.model.grant import Grant, GrantAction, GrantLine, grant_from_row, line_from_row
from shoal.model.page import Page, position
from shoal.model.veil import HIDDEN, veiled_name
from shoal.services.refs import get_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb
from shoal.settings import ADMIN_TOKEN

NEWEST = 2**63 - 1
LONGEST = 500
_json = msgspec.json.Encoder(order="sorted").encode


@verb("GET /grants/audit")
def audit(
    tx: Tx,
    *,
    task: Annotated[TaskRef | None, Meta(description="A task, or what somebody called one that there is not.")] = None,
    service: Name | None = None,
    action: GrantAction | None = None,
    since: Annotated[Moment | None, Meta(description="Only lines of this moment or later.")] = None,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[GrantLine]:
    """A page of the audit of tokens, newest first: every registration, token, refusal and revocation."""
    filters: dict[str, Any] = {"service": service, "action": action and action.value, "since": since}
    if task is not None:
        try:
            filters["task"] = get_task(tx, task).id
        except NotFound:
            filters["reference"] = shown_reference(task)
    given = {name: value for name, value in filters.items() if value is not None}
    before = NEWEST if cursor is None else position(cursor)
    rows = tx.all("grants.audit", before=before, limit=limit, **given)
    return Page(
        [line_from_row(row, tx.identity.prefix) for row in rows], next=str(rows[-1][0]) if len(rows) == limit else None
    )


@verb("GET /grants")
def list_(
    tx: Tx,
    *,
    task: TaskRef | None = None,
    alive: Annotated[bool, Meta(description="Only tokens that live still.")] = False,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[Grant]:
    """A page of the tokens that were given out, newest first, without the tokens themselves."""
    filters = {"alive": tx.now} if alive else {}
    if task is not None:
        filters["task"] = get_task(tx, task).id
    rows = tx.all("grants.list", before=NEWEST if cursor is None else position(cursor), limit=limit, **filters)
    return Page(
        [grant_from_row(row, tx.identity.prefix) for row in rows], next=str(rows[-1][0]) if len(rows) == limit else None
    )


def note(
    tx: Tx,
    action: GrantAction,
    *,
    task: int | None = None,
    attempt: int | None = None,
    reference: str | int | None = None,
    service: str | None = None,
    repositories: Iterable[str] = (),
    permissions: Mapping[str, str] | None = None,
    expires_at: int | None = None,
    reason: str | None = None,
) -> None:
    """Write a line of the audit."""
    tx.all(
        "grants.note",
        now=tx.now,
        action=action.value,
        task=task,
        attempt=attempt,
        reference=None if reference is None else shown_reference(reference),
        service=None if service is None else veiled_name(service),
        actor=tx.actor,
        repositories=encoded(list(repositories)),
        permissions=encoded(permissions or {}),
        expires_at=expires_at,
        reason=None if reason is None else told(reason),
    )


def is_told(tx: Tx, action: GrantAction, *, task: int, repositories: list[str], since: int) -> bool:
    """Whether there is a line of this about exactly these repositories since a moment."""
    asked = {"action": action.value, "task": task, "repositories": encoded(repositories), "since": since}
    return bool(tx.all("grants.audit", before=NEWEST, limit=1, **asked))


def prune(tx: Tx, *, limit: int = 1000) -> int:
    """Forget a small batch of lines and grants that are older than the setting; how many went."""
    older_than = tx.now - tx.settings.broker.audit_days * DAY_MS
    gone = tx.all("grants.prune_audit", older_than=older_than, limit=limit)
    return len(gone) + len(tx.all("grants.prune", older_than=older_than, limit=limit))


def encoded(value: Any) -> str:
    """JSON text as it is stored: the same for what is the same."""
    return _json(value).decode()


def shown_reference(reference: str | int) -> str:
    """What somebody called a task, as it can be stored: without tokens and keys that were given in its place."""
    return "".join(one for one in told(str(reference))[:200] if one.isprintable())


def told(text: str) -> str:
    """A text that others had a part in, as it can be stored and told: without tokens and keys."""
    administrator = os.environ.get(ADMIN_TOKEN, "").strip()
    if administrator:
        text = text.replace(administrator, HIDDEN)
    return veiled_name(text)[:LONGEST]
