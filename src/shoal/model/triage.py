"""What the rules of triage decided about new items. The rules: services/triage.py."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Decision(Struct, frozen=True, kw_only=True):
    """What a rule says about one item; `why` is for people."""

    item_id: str
    name: str
    source_file: str | None
    rule: str
    then: Literal["accept", "reject", "leave"]
    why: str
    queued: list[str] = []


class Triaged(Struct, frozen=True, kw_only=True):
    """What the rules took of a page of new items; `left` of them are for a person, `notes` say what hindered a rule."""

    decisions: list[Decision]
    looked_at: int
    left: int
    notes: list[str]
    dry_run: bool
    next: int | None
