"""A foundation that items share, as it is proposed. What speaks for it: services/consolidation.py."""

from __future__ import annotations

from msgspec import Struct

from shoal.model.fields import Name


class Proposal(Struct, frozen=True, kw_only=True):
    """A common item that others would depend on. `key` stands for exactly these items and this evidence."""

    key: Name
    project: str
    title: str
    items: list[str]
    names: list[str]
    files: list[str]
    evidence: list[str]
