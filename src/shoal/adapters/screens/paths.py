"""Which changed paths are outside what is allowed. Patterns are meant from the top of a repository:

`*` and `?` stand for anything within a name, `**` for any folders; a folder's name with `/` at the end means all in it.
Everything else, brackets too, means itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from shoal.adapters.screens.hit import Hit

FORBIDDEN = "is a forbidden path"
NOT_ALLOWED = "is not among the allowed paths"


def scan(paths: Iterable[str], *, allowed: Sequence[str], forbidden: Sequence[str]) -> list[Hit]:
    """A finding for each path that a forbidden pattern names, or that no allowed one does; in order, each once."""
    found = []
    for path in dict.fromkeys(paths):
        if any(matches(path, one) for one in forbidden):
            found.append(Hit(path, 0, FORBIDDEN))
        elif not any(matches(path, one) for one in allowed):
            found.append(Hit(path, 0, NOT_ALLOWED))
    return found


def matches(path: str, pattern: str) -> bool:
    """Whether a path of a repository fits a pattern."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = pattern.removeprefix("./").removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    # Runs of stars are made one first: several in a row would be tried in every combination.
    pattern = re.sub(r"(?:\*\*/)+", "**/", re.sub(r"\*{3,}", "**", pattern))
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(parts.get(one) or re.escape(one) for one in pieces), re.DOTALL)
