"""Patterns of paths, the one way in which settings and checks name files; docs/concepts.md has it for people.

A name alone is meant in any folder, a pattern with a `/` from the top. `*` is anything within a name, `?` one sign of
it, `[a-z]` one of these, `[!a-z]` one but these; `**` between slashes is any folders, `{a,b}` either, a `/` at the end
all that is in such a folder. In a list, `!` in front takes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from shoal.errors import BadInput

MOST_ALTERNATIVES = 1000
_EITHER = re.compile(r"\{([^{},]*(?:,[^{},]*)+)\}")
_SIGNS = re.compile(r"\[[!^]?[^/][^\]/]*\]|.", re.DOTALL)
_RANGE = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_FOLDERS = "(?:[^/]++/)*"


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Whether a list names a path, with / between folders: one pattern does, and none with `!` in front. Takes time
    linear in the path. Raises BadInput for a pattern of more than a thousand alternatives.
    """
    taken, left = parted(patterns)
    return any(matches(path, one) for one in taken) and not any(matches(path, one) for one in left)


def parted(patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """What a list takes, and what it leaves out."""
    taken: list[str] = []
    left: list[str] = []
    for one in patterns:
        (left if one.startswith("!") else taken).append(one.removeprefix("!"))
    return taken, left


def matches(path: str, pattern: str) -> bool:
    """Whether one pattern names a path."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("|".join(map(_whole, _alternatives(pattern))), re.DOTALL)


def _alternatives(pattern: str) -> list[str]:
    found = [pattern]
    while any(_EITHER.search(one) for one in found):
        found = list(dict.fromkeys(other for one in found for other in _one_by_one(one)))
        if len(found) > MOST_ALTERNATIVES:
            raise BadInput(f"{pattern[:200]!r} has more than {MOST_ALTERNATIVES} alternatives; write several patterns")
    return found


def _one_by_one(pattern: str) -> list[str]:
    either = _EITHER.search(pattern)
    if either is None:
        return [pattern]
    return [pattern[: either.start()] + one + pattern[either.end() :] for one in either[1].split(",")]


def _whole(pattern: str) -> str:
    """The expression of a pattern without alternatives. What stands between two stars is taken where it comes first,
    and not tried again: a later place could not help what follows, and trying them all takes for ever.
    """
    groups = _groups(pattern)
    if len(groups) == 1:
        return "/".join(groups[0])
    first, *between, last = groups
    begin = "".join(f"{name}/" for name in first)
    middle = "".join(f"(?>{_FOLDERS}?{'/'.join(names)}/)" for names in between if names)
    return begin + middle + (_FOLDERS + "/".join(last) if last else ".+")


def _groups(pattern: str) -> list[list[str]]:
    """The names before, between and after any folders; from the top nothing is before the first slash."""
    parts = pattern.split("/")
    if parts[0] in ("", ".") and len(parts) > 1:
        parts = parts[1:]
    elif len(parts) == 1 or parts[1:] == [""]:
        parts = ["**", *parts]
    if pattern.endswith("/"):
        parts[-1] = "**"
    groups: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            groups.append([])
        else:
            groups[-1].append(_name(part))
    return groups


def _name(part: str) -> str:
    pieces = [""]
    for sign in _SIGNS.findall(part):
        if sign == "*":
            pieces.append("")
        else:
            pieces[-1] += _sign(sign)
    first, *others = pieces
    between = "".join(f"(?>[^/]*?{piece})" for piece in others[:-1] if piece)
    return first + between + (f"[^/]*{others[-1]}" if others else "")


def _sign(sign: str) -> str:
    if sign == "?":
        return "[^/]"
    if len(sign) == 1:
        return re.escape(sign)
    negated = sign[1] in "!^" and len(sign) > 3
    given = _RANGE.findall(sign[1 + negated : -1])
    ranges = [
        f"{re.escape(low)}-{re.escape(high)}" if low else re.escape(one) for low, high, one in given if low <= high
    ]
    if not ranges:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{''.join(ranges)}]"
