"""Patterns of paths, as settings have them: `*` and `?` stay in a folder, `**` does not, and a pattern without a slash
is about names in any folder.
"""

from __future__ import annotations

import re
from functools import lru_cache

_PARTS = re.compile(r"(?:^|(?<=/))\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]|[^*?\[]+|\[")


def matches(path: str, pattern: str) -> bool:
    """Whether a path, with / between folders, is one that a pattern means."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = pattern.removeprefix("./")
    if "/" not in pattern.rstrip("/"):
        pattern = f"**/{pattern}"
    if pattern.endswith("/"):
        pattern += "**"
    return re.compile("".join(map(_expression, _PARTS.findall(pattern.removeprefix("/")))), re.DOTALL)


def _expression(part: str) -> str:
    if part == "**/":
        return "(?:[^/]+/)*"
    if part == "**":
        return ".*"
    if part == "*":
        return "[^/]*"
    if part == "?":
        return "[^/]"
    if part.startswith("[") and len(part) > 2:
        negated = part.startswith("[!")
        inner = part[2 if negated else 1 : -1].replace("\\", "\\\\").replace("^", "\\^")
        return f"[{'^/' if negated else ''}{inner}]"
    return re.escape(part)
