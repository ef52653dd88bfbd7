"""Comparisons over an attempt's result: a small language of its own, never evaluated as a program.

    comparison = path operator value | path "is" ["not"] "set"
    path       = "result" { "." name | "[" number "]" | "[" string "]" }      name: letters, digits, _ and -
    operator   = "==" | "!=" | "<" | "<=" | ">" | ">=" | "contains" | "matches"
    value      = JSON; text in double quotes

What is not there is null. `is set`: neither null nor empty. Order holds between two numbers or two texts. `contains`: a
part of a text, an element of a list, a key of an object. `matches`: a regular expression, anywhere in a text.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import msgspec
from msgspec import Struct

MATCH_SECONDS = 5
SHOWN = 100
_STEP = re.compile(r'\.([\w-]+)|\[(-?\d{1,9})\]|\[("(?:[^"\\]|\\.)*")\]', re.ASCII)
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*|\s+(contains|matches|is)\s+")
_SET = re.compile(r"(not\s+)?set\s*\Z")
# A pattern may take for ever and holds Python's lock meanwhile: it must not stop the worker's beats.
_MATCH = (
    "import re, sys; sys.exit(not re.search(sys.argv[1], sys.stdin.buffer.read().decode('utf-8', 'surrogatepass')))"
)


class Unreadable(ValueError):
    """A text that is no comparison; says what is expected where."""


class Comparison(Struct, frozen=True):
    """A path into the result, an operator and what to compare with; `is` compares with set or not."""

    path: list[str | int]
    operator: str
    value: Any

    def __str__(self) -> str:
        right = ("set" if self.value else "not set") if self.operator == "is" else _json(self.value)
        return f"{self.name} {self.operator} {right}"

    @property
    def name(self) -> str:
        """The path as it is written."""
        return "result" + "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" if _is_name(step) else f"[{_json(step)}]"
            for step in self.path
        )

    def objection(self, result: Any) -> str | None:
        """Why it does not hold; None when it does."""
        found = self._find(result)
        try:
            holds = self._holds(found)
        except _Incomparable as error:
            return f"{self.name} is {_describe(found)}, {error}"
        except RecursionError:
            return f"{self.name} is nested too deeply to be compared"
        return None if holds else f"{self.name} is {_describe(found)}"

    def _find(self, found: Any) -> Any:
        for step in self.path:
            if isinstance(found, dict):
                found = found.get(str(step))
            elif isinstance(found, list) and isinstance(step, int) and -len(found) <= step < len(found):
                found = found[step]
            else:
                return None
        return found

    def _holds(self, found: Any) -> bool:
        match self.operator:
            case "is":
                return (found is not None and found not in ("", [], {})) is bool(self.value)
            case "==":
                return _same(found, self.value)
            case "!=":
                return not _same(found, self.value)
            case "contains":
                return _contains(found, self.value)
            case "matches":
                return _matches(found, self.value)
        return _is_ordered(found, self.operator, self.value)


class _Incomparable(Exception):
    """The two values have nothing that this operator could compare."""


def parse(text: str) -> Comparison:
    """Read a comparison. Raises Unreadable."""
    text = text.strip()
    if not text.startswith("result"):
        raise Unreadable("it begins with `result`")
    at, path = len("result"), []
    while step := _STEP.match(text, at):
        name, number, quoted = step.groups()
        path.append(name if name is not None else int(number) if number is not None else _value(quoted))
        at = step.end()
    operator = _OPERATOR.match(text, at)
    if operator is None:
        raise Unreadable(
            f"after {text[:at]!r} comes one of == != < <= > >= contains matches, `is set` or `is not set`, "
            f"and not {text[at : at + 20]!r}"
        )
    word, rest = operator[1] or operator[2], text[operator.end() :]
    if word == "is":
        wanted = _SET.match(rest)
        if wanted is None:
            raise Unreadable(f"after `is` comes `set` or `not set`, and not {rest[:20]!r}")
        return Comparison(path, word, wanted[1] is None)
    value = _value(rest)
    if word == "matches":
        _check_pattern(value)
    return Comparison(path, word, value)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Unreadable(f"{text[:40]!r} is no JSON; text stands in double quotes") from None


def _check_pattern(pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise Unreadable("after `matches` comes a pattern in double quotes")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unreadable(f"{pattern[:40]!r} is no regular expression: {error}") from None


def _is_name(step: str) -> bool:
    return re.fullmatch(r"[\w-]+", step, re.ASCII) is not None


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON is: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _is_ordered(found: Any, operator: str, value: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (found, value))
    if not numbers and not (isinstance(found, str) and isinstance(value, str)):
        raise _Incomparable(f"which has no order with {_describe(value)}")
    if operator.startswith("<"):
        return bool(found < value or (operator == "<=" and found == value))
    return bool(found > value or (operator == ">=" and found == value))


def _contains(found: Any, value: Any) -> bool:
    if isinstance(found, list):
        return any(_same(one, value) for one in found)
    if isinstance(found, str | dict) and isinstance(value, str):
        return value in found
    raise _Incomparable(f"which cannot contain {_describe(value)}")


def _matches(found: Any, pattern: str) -> bool:
    if not isinstance(found, str):
        raise _Incomparable("and only text matches a pattern")
    try:
        run = subprocess.run(  # noqa: S603 - our own line of Python
            [sys.executable, "-I", "-S", "-c", _MATCH, pattern],
            input=found.encode("utf-8", "surrogatepass"),
            timeout=MATCH_SECONDS,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _Incomparable(f"and the pattern took longer than {MATCH_SECONDS} s") from None
    except (OSError, ValueError) as error:
        raise _Incomparable(f"and the pattern cannot be tried: {error}") from None
    return run.returncode == 0


def _describe(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys" if value else "an empty object"
    if value is None:
        return "not there"
    shown = _json(value[:SHOWN] if isinstance(value, str) else value)
    return f"{shown}…" if isinstance(value, str) and len(value) > SHOWN else shown


def _json(value: Any) -> str:
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    return msgspec.json.encode(value).decode()
