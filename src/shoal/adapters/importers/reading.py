"""The files of strangers as text, JSON or YAML: whatever stands in one, it can be read, or BadInput says why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from shoal.errors import BadInput

DEEPEST = 30
LONGEST_WORD = 1000
LARGEST_FILE = 64 * 1024 * 1024
# What PyYAML raises for odd values, beside its own errors: `!!bool x`, `!!int ""`, `!!timestamp x`.
_ODD_VALUES = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)


def read_text(path: Path, *, limit: int = LARGEST_FILE) -> str:
    """A file's text; what is no UTF-8 in it is replaced. Raises BadInput when it cannot be read, or is too large."""
    try:
        if path.stat().st_size > limit:
            raise BadInput(f"{path} has more than {limit // 1024 // 1024} MB", field="file")
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", field="file") from None


def json_of(text: str | bytes, name: str, *, table: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a text says as JSON; `table` makes its objects. Raises BadInput when it is none, or nested too deeply."""
    try:
        given = json.loads(text, object_pairs_hook=table)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is no JSON: {error}", field="file") from None
    if is_deep(given):
        raise BadInput(f"{name} is nested too deeply", field="file")
    return given


def is_deep(given: Any) -> bool:
    """Whether lists and tables stand in each other so deeply that nobody wrote that by hand."""
    level = [given]
    for _ in range(DEEPEST):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [one for ones in inner for one in ones if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def yaml_of(text: str, name: str) -> Any:
    """What a text says as YAML. Raises BadInput when it is none, or has tricks."""
    import yaml

    refuse_tricks(lambda: yaml.parse(text), name)
    return constructed(lambda: yaml.safe_load(text), name)


def constructed(load: Callable[[], Any], name: str) -> Any:
    """What a loader of YAML makes of it. Raises BadInput for whatever it cannot make something of."""
    import yaml

    try:
        return load()
    except (yaml.YAMLError, *_ODD_VALUES) as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        said = " ".join(str(getattr(error, "problem", None) or error).split())[:300]
        raise BadInput(f"{name}{at} is no YAML: {said}", field="file") from None


def refuse_tricks(parse: Callable[[], Iterable[Any]], name: str) -> None:
    """Raise BadInput for YAML with aliases, of which a few can stand for billions, with what is nested too deeply, or
    with a word so long that it may be a number that takes hours to reckon.
    """
    import yaml

    def look() -> None:
        depth = 0
        for event in parse():
            if isinstance(event, yaml.AliasEvent):
                raise BadInput(f"{name} has aliases (*name): write out what they stand for", field="file")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise BadInput(f"{name} is nested too deeply", field="file")
            if isinstance(event, yaml.ScalarEvent) and not event.style and _is_long(event.value):
                raise BadInput(f"{name} has a word of {len(event.value)} letters: put it in quotes", field="file")

    constructed(look, name)


def _is_long(word: str) -> bool:
    return len(word) > LONGEST_WORD and " " not in word
