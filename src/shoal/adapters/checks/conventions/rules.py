"""The file of conventions: tables of TOML, each one rule. What is wrong with it is told with its line."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shoal.errors import BadInput
from shoal.mistakes import explain
from shoal.model.item import Severity

LONGEST = 2000  # characters of a pattern
RuleName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}(?![\s\S])")]
Globs = Annotated[list[Annotated[str, Meta(min_length=1, max_length=500)]], Meta(min_length=1)]
Pattern = Annotated[str, Meta(min_length=1, max_length=LONGEST)]
Message = Annotated[str, Meta(min_length=1, max_length=1000)]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all rules have: a name, the files they are about, and what people are told."""

    name: RuleName
    files: Globs = msgspec.field(default_factory=lambda: ["**"])
    exclude: list[str] = []
    message: Message | None = None
    severity: Severity = Severity.WARNING


class Forbid(Rule, frozen=True, kw_only=True):
    """A pattern that no file may hold."""

    pattern: Pattern
    ignore_case: bool = False


class Require(Rule, frozen=True, kw_only=True):
    """A pattern that each file must hold, perhaps among its first lines."""

    pattern: Pattern
    ignore_case: bool = False
    first_lines: Annotated[int, Meta(ge=1, le=100_000)] | None = None


class Names(Rule, frozen=True, kw_only=True):
    """A pattern that the whole name of each file must fit."""

    pattern: Pattern
    whole_path: bool = False


class Size(Rule, frozen=True, kw_only=True):
    """How long a file may be."""

    lines: Annotated[int, Meta(ge=0)] | None = None
    bytes: Annotated[int, Meta(ge=0)] | None = None


class Present(Rule, frozen=True, kw_only=True):
    """Files that must be there: for each file pattern at least one. With `beside`, in each folder with such a file."""

    beside: Globs | None = None


class Ruff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That ruff is asked too, by its own configuration or these rules."""

    paths: Globs = msgspec.field(default_factory=lambda: ["."])
    select: list[str] = []
    severity: Severity = Severity.WARNING


class Conventions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of conventions."""

    exclude: list[str] = []
    forbid: list[Forbid] = []
    require: list[Require] = []
    names: list[Names] = []
    size: list[Size] = []
    present: list[Present] = []
    ruff: Ruff | None = None

    @property
    def rules(self) -> list[Rule]:
        """All rules, in the order of their kinds."""
        return [*self.forbid, *self.require, *self.names, *self.size, *self.present]


def read(text: str, *, where: str) -> Conventions:
    """The conventions that a file holds. Raises BadInput with `where`, the line and the reason."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        reason = str(error).replace(found[0], "").strip() if found else str(error)
        line = int(found[1]) if found else len(text.splitlines())
        raise BadInput(f"{where}:{line}: {reason}", field="file") from None
    try:
        conventions = msgspec.convert(given, Conventions)
    except msgspec.ValidationError as error:
        field, reason = explain(error, Conventions)
        line = line_of(text, re.findall(r"[\w-]+", field or ""))
        raise BadInput(f"{where}:{line}: {field or 'the file'}: {reason}", field="file") from None
    _examine(text, given, conventions, where)
    return conventions


def line_of(text: str, steps: list[str]) -> int:
    """The line where a key stands: `steps` is a table, the place in its list, and a key; as near as can be told."""
    lines = text.splitlines()
    table, place, key = (*steps, "", "", "")[:3]
    if place and not place.isdigit():
        place, key = "", place
    header = re.compile(rf"^\s*\[{{1,2}}\s*[\"']?{re.escape(table)}[\"']?\s*\]{{1,2}}")
    starts = [number for number, line in enumerate(lines) if table and header.match(line)]
    start = starts[int(place or 0)] if len(starts) > int(place or 0) else 0
    named = re.compile(rf"^\s*[\"']?{re.escape(key or table)}[\"']?\s*=")
    for number in range(start, len(lines)):
        if number > start and table and starts and lines[number].lstrip().startswith("["):
            break
        if (key or table) and named.match(lines[number]):
            return number + 1
    return start + 1


def _examine(text: str, given: dict[str, Any], conventions: Conventions, where: str) -> None:
    """What types do not say: patterns that compile, names once each, limits that limit."""
    seen: set[str] = set()
    for kind in ("forbid", "require", "names", "size", "present"):
        for place, rule in enumerate(getattr(conventions, kind)):
            steps = [kind, str(place)]
            if rule.name in seen:
                raise BadInput(_at(text, [*steps, "name"], where, rule, "another rule has this name"), field="name")
            seen.add(rule.name)
            if isinstance(rule, Forbid | Require | Names):
                try:
                    re.compile(rule.pattern)
                except (re.error, OverflowError, RecursionError) as error:
                    said = f"is no regular expression: {error}"
                    raise BadInput(_at(text, [*steps, "pattern"], where, rule, said), field="pattern") from None
            if isinstance(rule, Size) and rule.lines is None and rule.bytes is None:
                raise BadInput(_at(text, steps, where, rule, "give it lines, bytes or both"), field="size")
            if isinstance(rule, Present) and "files" not in given[kind][place]:
                raise BadInput(_at(text, steps, where, rule, "give it files"), field="files")


def _at(text: str, steps: list[str], where: str, rule: Rule, said: str) -> str:
    what = f"{rule.name}.{steps[2]}" if len(steps) > 2 else rule.name
    return f"{where}:{line_of(text, steps)}: {what}: {said}"
