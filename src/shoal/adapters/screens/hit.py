"""What a screen lets nothing pass without: where it is and what it is, never the text itself."""

from __future__ import annotations

import re

from msgspec import Struct

SHOWN_LENGTH = 200


class Hit(Struct, frozen=True, order=True):
    """Something that should not be there. `line` counts from 1; 0 is the file as such.

    `allowed` says that a comment on its line declares it to be harmless.
    """

    path: str
    line: int
    kind: str
    allowed: bool = False

    def __str__(self) -> str:
        return f"{shown(self.path)}:{self.line}: {self.kind}" if self.line else f"{shown(self.path)}: {self.kind}"


def shown(name: str) -> str:
    """A name that somebody else chose, on one line and without what would end its place in a page of markdown."""
    plain = re.sub(r"[^\x20-\x7e\xa1-\U0010ffff]|[`<>@\u200b-\u200f\u2028-\u202e\u2066-\u2069]", "?", name)
    return plain if len(plain) <= SHOWN_LENGTH else f"{plain[:SHOWN_LENGTH]}…"
