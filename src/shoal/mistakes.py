"""What is wrong with input that does not fit its type, in words for people: the field, and what it may be instead.

It explains msgspec's validation errors, which name neither the values of an enum nor the fields that there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import inspect

_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_PATTERN = re.compile(r"Expected `str` matching regex .*")
_NAMED = re.compile(r"field `([^`]+)`")
_ENUM = re.compile(r"Invalid enum value (.*)")
_TYPE = re.compile(r"Expected `str.*`, got `.*`")
_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")


def explain(error: msgspec.ValidationError, kind: Any) -> tuple[str | None, str]:
    """The field that an error is about, if it is about one, and what is wrong with it; `kind` is what was expected."""
    message = str(error)
    at = _AT.search(message)
    field = at[1] if at else ""
    if at:
        message = message[: at.start()]
    form = next(_forms(kind, field), "") if _PATTERN.match(message) else ""
    wrong = f"it is not {form}" if form else "it is empty, or has characters or a form that are not allowed here"
    message = _PATTERN.sub(lambda _: wrong, message)
    if message.startswith("Expected `array`, got `str`"):
        message = 'it is a list, as ["…"]'
    allowed = [str(value) for node in _nodes(kind, field) for value in _values(node)]
    if allowed and _TYPE.fullmatch(message):
        message = f"it is one of {', '.join(allowed)}"
    elif chosen := _ENUM.fullmatch(message):
        if allowed:
            message = f"{chosen[1]} is not one of {', '.join(allowed)}{nearest(chosen[1].strip(chr(39)), allowed)}"
    elif named := _NAMED.search(message):
        if "unknown" in message:
            known = [one.encode_name for node in _nodes(kind, field) for one in getattr(node, "fields", ())]
            message = f"there is no such field{nearest(named[1], known)}"
        field = f"{field}.{named[1]}" if field else named[1]
    return field.replace("[...]", ".NAME") or None, message


def nearest(given: str, known: Iterable[str]) -> str:
    """What may have been meant, as the end of a sentence; empty when nothing is near."""
    import difflib

    near = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The line of a TOML text in which a key stands, by its whole path, else what is nearest above it."""
    import tomllib

    table: list[str] = []
    found: int | None = None
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        is_header = line.lstrip().startswith("[")
        # By itself, and without its value, which may go on in the next line.
        try:
            parsed: Any = tomllib.loads(line if is_header else f"{line.partition('=')[0]}= 0")
        except tomllib.TOMLDecodeError:
            continue
        keys = []
        while isinstance(parsed, dict) and parsed:
            [(key, parsed)] = parsed.items()
            keys.append(key)
        if not keys:
            continue
        if is_header:
            table = keys
        here = table if is_header else [*table, *keys]
        if here[: len(path)] == list(path):
            return number
        if len(here) > depth and here == list(path[: len(here)]):
            found, depth = number, len(here)
    return found


def _nodes(kind: Any, path: str) -> list[Any]:
    """The types that may stand at a path such as `tasks[0].status`, as msgspec describes them."""
    nodes = list(_unwrapped(inspect.type_info(kind)))
    for step in _STEP.findall(path):
        nodes = [inner for node in nodes for next in _inside(node, step) for inner in _unwrapped(next)]
    return nodes


def _inside(node: Any, step: str) -> Iterator[Any]:
    if step.startswith("["):
        for name in ("item_type", "value_type"):
            if hasattr(node, name):
                yield getattr(node, name)
        return
    for field in getattr(node, "fields", ()):
        if field.encode_name == step:
            yield field.type


def _forms(kind: Any, path: str) -> Iterator[str]:
    """What a text at a path has to be like, where its type says so in words."""
    *above, last = [""] if not path else ["", *_STEP.findall(path)]
    nodes = _nodes(kind, "".join(step if step.startswith("[") else f".{step}" for step in above if step))
    for node in [inner for one in nodes for inner in _inside(one, last)]:
        while isinstance(node, inspect.Metadata):
            if node.extra is not None and "form" in node.extra:
                yield node.extra["form"]
            node = node.type


def _unwrapped(node: Any) -> Iterator[Any]:
    if isinstance(node, inspect.Metadata):
        yield from _unwrapped(node.type)
    elif isinstance(node, inspect.UnionType):
        for one in node.types:
            yield from _unwrapped(one)
    else:
        yield node


def _values(node: Any) -> Iterator[Any]:
    if isinstance(node, inspect.EnumType):
        yield from (one.value for one in node.cls)
    elif isinstance(node, inspect.LiteralType):
        yield from node.values
