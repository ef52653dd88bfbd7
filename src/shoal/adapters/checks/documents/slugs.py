"""The anchors that GitHub makes of headings."""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import category

# What Unicode calls alphabetic beyond letters and marks: circled and squared letters.
ALPHABETIC = re.compile("[\u24b6-\u24e9\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189]")
PLAIN = re.compile(r"[^a-z0-9_\- ]")


class Slugger:
    """The anchors of one page: what comes again gets -1, -2 and so on."""

    def __init__(self) -> None:
        """None so far."""
        self._seen: dict[str, int] = {}

    def slug(self, heading: str) -> str:
        """The anchor of the next heading, from its text without markup."""
        first = found = slug(heading)
        while found in self._seen:
            self._seen[first] += 1
            found = f"{first}-{self._seen[first]}"
        self._seen[found] = 0
        return found


def slug(text: str) -> str:
    """Lower case, without what is neither letter, mark, digit, underscore nor hyphen; spaces become hyphens."""
    lowered = text.lower()
    if lowered.isascii():
        return PLAIN.sub("", lowered).replace(" ", "-")
    return "".join(one for one in lowered if _is_kept(one)).replace(" ", "-")


@lru_cache(maxsize=10_000)
def _is_kept(one: str) -> bool:
    return one in "- " or category(one)[0] in "LM" or category(one) in ("Nd", "Nl", "Pc") or bool(ALPHABETIC.match(one))
