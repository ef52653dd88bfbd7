"""A task as an older vault tells of it, and what came of bringing such tasks into a ledger."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from shoal.model.fields import Count, Markdown, Minutes, Moment, Name, Positive, PriorityInput, Slug, Text, Title
from shoal.model.task import Status


class OldTask(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a file tells of its task. `name` is what it was called; `text` is the whole file, if it is to be kept.

    With `id` the task keeps its number, which must be free; else it gets the next one and its name for a slug.
    """

    name: Name
    title: Title
    status: Status
    id: Positive | None = None
    type: Name = "swe"
    priority: PriorityInput = 2
    queue: Name = "default"
    slug: Slug | None = None
    created_at: Moment | None = None
    assignee: Name | None = None
    claimed_at: Moment | None = None
    completed_at: Moment | None = None
    run_at: Moment | None = None
    hold_reason: Text | None = None
    estimate_minutes: Minutes | None = None
    model: Name | None = None
    repos: Annotated[list[Name], Meta(max_length=50)] = []
    workflow: Name | None = None
    labels: Annotated[list[Name], Meta(max_length=50)] = []
    requires_qa: bool = False
    discord_thread_id: Name | None = None
    depends_on: Annotated[list[Name], Meta(max_length=200, description="Old names, or tasks of the ledger.")] = []
    parent: Name | None = None
    cost_usd_micros: Count | None = None
    text: Markdown | None = None
    request_id: Name | None = None


class RefusedTask(Struct, frozen=True):
    """An old task that was not taken, or not wholly."""

    name: str
    reason: str


class Migration(Struct, frozen=True):
    """What a migration came to; `map` is {old name: T-id} of all that are in the ledger now."""

    created: list[str]
    existing: list[str]
    refused: list[RefusedTask]
    map: dict[str, str]
