"""How large and how deep the JSON may be that a task keeps as its result."""

from __future__ import annotations

from typing import Any

RESULT_LIMIT = 64 * 1024  # bytes
RESULT_DEPTH = 64  # some JSON readers stop at a few hundred


def is_deep(value: Any, levels: int) -> bool:
    """Whether JSON is nested more levels deep."""
    level = [value]
    for _ in range(levels):
        inner = [list(one.values()) if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        if not inner:
            return False
        level = [one for part in inner for one in part]
    return True
