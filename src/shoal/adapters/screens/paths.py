"""Which changed paths are outside what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shoal.adapters.screens.hit import Hit
from shoal.model.path_pattern import fits

FORBIDDEN = "is a forbidden path"
NOT_ALLOWED = "is not among the allowed paths"


def scan(paths: Iterable[str], *, allowed: Sequence[str], forbidden: Sequence[str]) -> list[Hit]:
    """A finding for each path that a forbidden pattern names, or that no allowed one does; in order, each once."""
    found = []
    for path in dict.fromkeys(paths):
        if fits(path, forbidden):
            found.append(Hit(path, 0, FORBIDDEN))
        elif not fits(path, allowed):
            found.append(Hit(path, 0, NOT_ALLOWED))
    return found
