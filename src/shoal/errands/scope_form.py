"""An assessment as a person writes it down: the fields that a model is asked for, in JSON, TOML or YAML."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import msgspec

from shoal.errors import BadInput
from shoal.mistakes import explain
from shoal.model.assessment import Suggestion
from shoal.model.item import ItemDetail

BLANK = """\
# {item}: {name}
# Say what it takes. What is left out stays unknown; lines with # in front say nothing.
title = {title}
summary = {summary}
effort = {effort}         # small: less than half an hour, medium: up to two hours, large, unknown
risk = {risk}           # low, medium, high, unknown
confidence = "high"     # low, medium, high
files_involved = {files}
sub_tasks = []          # in order, each in quotes
dependencies = []       # items that come before: "W3", or their titles
overlaps = []           # items that want the same
"""


def blank(item: ItemDetail) -> str:
    """The form for an item, with what is known of it, as TOML."""
    return BLANK.format(
        item=item.item_id,
        name=item.name,
        title=_quoted(item.title or ""),
        summary=_quoted(item.summary or ""),
        effort=_quoted(item.effort.value),
        risk=_quoted(item.risk.value),
        files=f"[{', '.join(_quoted(one.path) for one in item.files)}]",
    )


def read(text: str, name: str) -> Suggestion:
    """What a form says; the end of `name` says in which language, YAML when it has none. Raises BadInput."""
    try:
        given = _parsed(text, name)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} cannot be read: {' '.join(str(error).split())}", field="from") from None
    if not isinstance(given, dict):
        raise BadInput(f"{name} must have fields, as `effort: small`", field="from")
    given = {str(key): value for key, value in given.items() if value not in ("", None)}
    try:
        return msgspec.convert(given, Suggestion)
    except msgspec.ValidationError as error:
        field, message = explain(error, Suggestion)
        raise BadInput(f"{name}: {field}: {message}", field=field) from None


def _parsed(text: str, name: str) -> Any:
    match name.rpartition(".")[2].lower():
        case "toml":
            return tomllib.loads(text)
        case "json":
            return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def _quoted(text: str) -> str:
    # What JSON writes between quotes is what TOML reads there, except for this one sign.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
