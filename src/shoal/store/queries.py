"""Named SQL, read once from queries/*.sql and fitted to a database. What a query means is its service's affair.

A file holds the queries of one noun: `-- name: claim`, a line of purpose, the text. `:name` is a parameter.
A line that ends in `-- if name` stands only when that parameter is given. `{{token}}` is a word in which the
databases differ, or a part that several queries of the file share: `-- part: token`, a line of purpose, the text.
A line that ends in `-- on sqlite` or `-- on postgresql` stands only there; for where a word is not enough.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from operator import itemgetter
from typing import Any

_HEADER = re.compile(r"^-- (name|part): (\w+)\n-- (.+)\n", re.MULTILINE)
_CONDITION = re.compile(r"\s*-- if (\w+)$")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_TOKEN = re.compile(r"\{\{(\w+)\}\}")
_ON = re.compile(r"^(.*?) *-- on (\w+)$", re.MULTILINE)


class Dialect:
    """How one database spells what the shared text leaves open."""

    def __init__(self, *, name: str, tokens: Mapping[str, str], placeholder: str) -> None:
        """`placeholder` stands for a parameter; `{}` in it for its number."""
        self.name = name
        self.tokens = tokens
        self.placeholder = placeholder

    def fill(self, text: str) -> str:
        """The text with this database's lines and words."""
        text = _ON.sub(lambda match: match[1] if match[2] == self.name else "", text)
        return _TOKEN.sub(lambda match: self.tokens[match[1]], text)


class Statement:
    """SQL as the driver takes it, and how to line up its parameters."""

    __slots__ = ("bind", "returns", "sql")

    def __init__(self, text: str, dialect: Dialect) -> None:
        names: list[str] = _PARAMETER.findall(text)
        numbers = itertools.count(1)
        self.sql = _PARAMETER.sub(lambda _: dialect.placeholder.format(next(numbers)), text)
        self.returns = "RETURNING" in text or not text.startswith(("INSERT", "UPDATE", "DELETE"))
        self.bind: Callable[[Mapping[str, Any]], tuple[Any, ...]]
        if len(names) > 1:
            self.bind = itemgetter(*names)
        elif names:
            only = names[0]
            self.bind = lambda given: (given[only],)
        else:
            self.bind = lambda given: ()


class Query:
    """One named query, compiled once per set of its conditional lines."""

    def __init__(self, name: str, purpose: str, text: str, dialect: Dialect) -> None:
        self.name = name
        self.purpose = purpose
        self._dialect = dialect
        self._lines: list[tuple[str, str | None]] = []
        for line in dialect.fill(text).strip().splitlines():
            condition = _CONDITION.search(line)
            if condition:
                self._lines.append((line[: condition.start()], condition[1]))
            elif not line.startswith("--"):
                self._lines.append((line, None))
        self._conditions = tuple({name for _, name in self._lines if name})
        self._compiled: dict[tuple[bool, ...], Statement] = {}

    def statement(self, given: Mapping[str, Any]) -> Statement:
        """The statement for these parameters."""
        key = tuple([name in given for name in self._conditions])
        statement = self._compiled.get(key)
        if statement is None:
            kept = [line for line, name in self._lines if name is None or name in given]
            statement = self._compiled[key] = Statement("\n".join(kept), self._dialect)
        return statement


@cache
def sources() -> dict[str, str]:
    """The text of each query file by its noun."""
    folder = files(__package__) / "queries"
    return {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def load(dialect: Dialect) -> dict[str, Query]:
    """Every query as `noun.name`."""
    queries: dict[str, Query] = {}
    for noun, source in sources().items():
        parts: dict[str, str] = {}
        headers = list(_HEADER.finditer(source))
        for header, following in zip(headers, [*headers[1:], None], strict=True):
            kind, name, purpose = header.groups()
            text = source[header.end() : following.start() if following else None].strip()
            if kind == "part":
                parts[name] = text
            else:
                for token, part in parts.items():
                    text = text.replace(f"{{{{{token}}}}}", part)
                queries[f"{noun}.{name}"] = Query(f"{noun}.{name}", purpose, text, dialect)
    return queries
