"""Comments in source that ask for work: TODO, FIXME, HACK, XXX. Never in strings. What such a comment says: tags.py.

Most files hold none of these words, and are let go after a search for them; only the others are read as code.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from shoal.adapters.scanners import tags
from shoal.adapters.scanners.definitions import enclosing
from shoal.adapters.scanners.languages import LANGUAGES as ALL
from shoal.adapters.scanners.languages import Language, language_of
from shoal.model.found import Found

FOUND_IN_A_FILE = 20_000
DEEPEST = 30  # strings within holes of strings
FORGOTTEN_LABELS = 20  # ends of heredocs that were not there: so many, and it is something else

_NEEDLES = (b"todo", b"fixme", b"hack", b"xxx")
# What a value ends with, so that a stroke after it divides.
_VALUE = re.compile(r"[\w)\]}\"'`$]")
_BEFORE_REGEX = frozenset({
    "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "instanceof", "yield",
    "await", "and", "or", "not", "if", "unless", "when", "while", "until", "elsif", "split", "grep", "map", "join",
    "x",
})  # fmt: skip
_SCALAR_INDENT = re.compile(r"[ \t]*(?:-[ \t]+)*")
_ASKS = re.compile(r"todo|fixme|hack|xxx", re.IGNORECASE)


def may_hold(data: bytes) -> bool:
    """Whether any of the words stands in a file at all, in a comment or not. Fast: it decides for most files."""
    small = data.lower()
    return any(needle in small for needle in _NEEDLES)


def scan_bytes(path: str, data: bytes) -> list[Found]:
    """As scan, from a file's bytes; bytes that are no UTF-8 break nothing."""
    return scan(path, data.decode("utf-8", "replace")) if may_hold(data) else []


def scan(path: str, text: str) -> list[Found]:
    """What the comments of a file ask for, in the order of lines; nothing from files of unknown languages.

    Each is labelled with its word in small letters (`todo`), and its heading is the path of definitions around it.
    """
    language = language_of(path, text[:200].partition("\n")[0])
    if language is None or not _ASKS.search(text):
        return []
    text = text.replace("\r\n", "\n")
    spans = Reader(text).comments(language)
    breaks = [-1, *(one.start() for one in re.finditer("\n", text))]
    asked = (one for block in _blocks(text, spans, breaks) for one in tags.read(block))
    return enclosing(text, breaks, language.name, list(islice(asked, FOUND_IN_A_FILE + 1)))


class Span(Struct, frozen=True):
    """A comment: where it begins and ends in the text; `block` is one with an end of its own."""

    start: int
    end: int
    block: bool


class Reader:
    """Goes through one text and keeps the comments that it meets."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans: list[Span] = []
        self._missing: set[str] = set()

    def comments(self, language: Language) -> list[Span]:
        """All comments, in order."""
        self._code(language, 0, len(self._text), hole=False, depth=0)
        return self._spans

    def _code(self, language: Language, at: int, until: int, *, hole: bool, depth: int) -> int:
        """Reads code up to `until` or, in a hole of a string, to the bracket that ends it; answers where that is."""
        search = (language.holes if hole else language.code).search
        level = 1
        while at < until:
            match = search(self._text, at, until)
            if match is None:
                return until
            at = max(match.end(), match.start() + 1)
            kind, _, rest = (match.lastgroup or "").partition("_")
            if kind == "deeper":
                level += 1
            elif kind == "higher":
                level -= 1
                if level == 0:
                    return at
            elif kind == "end":
                return until
            elif kind in {"line", "block"}:
                self._spans.append(Span(match.start(), match.end(), kind == "block"))
            elif kind != "text":
                at = self._special(language, match, kind, rest, until, depth)
        return at

    def _special(self, language: Language, match: re.Match[str], kind: str, rest: str, until: int, depth: int) -> int:
        start, end = match.span()
        if kind == "nested":
            end = self._nested(language, end, until)
            self._spans.append(Span(start, end, True))
        elif kind == "open":
            end = self._string(language, f"open_{rest}", end, until, depth)
        elif kind == "regex":
            end = end if self._may_be_regex(start, bare=language.bare_regex) else start + 1
        elif kind == "heredoc":
            end = self._heredoc(match["label"], end, until)
        elif kind == "scalar":
            end = self._scalar(start, end, until)
        elif kind == "in":
            inner = match.span(f"{rest}_body")
            self._code(ALL[rest], *inner, hole=False, depth=depth)
        return end

    def _nested(self, language: Language, at: int, until: int) -> int:
        level = 1
        while language.nest and (match := language.nest.search(self._text, at, until)):
            at = match.end()
            level += -1 if match["close"] else 1
            if level == 0:
                return at
        return until

    def _string(self, language: Language, name: str, at: int, until: int, depth: int) -> int:
        inside = language.strings[name]
        while at < until and (match := inside.search(self._text, at, until)):
            at = match.end()
            if match.lastgroup == "end":
                return at
            if match.lastgroup == "hole" and depth < DEEPEST:
                at = self._code(language, at, until, hole=True, depth=depth + 1)
        return until

    def _may_be_regex(self, at: int, *, bare: bool) -> bool:
        """Whether no value stands before a stroke. With `bare`, `word /x/` is an argument, as Ruby has it."""
        text, before = self._text, at - 1
        while before >= 0 and text[before] in " \t\r\n":
            before -= 1
        if before < 0 or not _VALUE.match(text[before]):
            return True
        begin = before
        while begin >= 0 and before - begin < 20 and (text[begin].isalnum() or text[begin] in "_$"):
            begin -= 1
        word = text[begin + 1 : before + 1]
        if word in _BEFORE_REGEX:
            return True
        return bare and word[:1].islower() and before < at - 1 and not text[at + 1].isspace()

    def _heredoc(self, label: str, at: int, until: int) -> int:
        if label in self._missing or len(self._missing) >= FORGOTTEN_LABELS:
            return at
        ending = re.compile(rf"^[ \t]*{re.escape(label)}\b", re.MULTILINE)
        line = self._text.find("\n", at, until)
        match = ending.search(self._text, line + 1, until) if line >= 0 else None
        if match is None:
            self._missing.add(label)
            return at
        return match.end()

    def _scalar(self, start: int, at: int, until: int) -> int:
        """Passes the lines below that are indented deeper than the one that begins a block of text in YAML."""
        text = self._text
        begin = text.rfind("\n", 0, start) + 1
        lead = _SCALAR_INDENT.match(text, begin)
        indent = lead.end() - begin if lead else 0
        while at < until:
            line = at + 1
            stop = text.find("\n", line, until)
            stop = until if stop < 0 else stop
            inner = text[line:stop]
            if inner.strip() and len(inner) - len(inner.lstrip(" ")) <= indent - (indent and not inner.startswith(" ")):
                return at
            at = stop
        return at


def _blocks(text: str, spans: list[Span], breaks: list[int]) -> Iterator[tags.Block]:
    """Comments as lines without their signs; those that stand below each other, in the same column, are one."""
    lines: list[tuple[int, str]] = []
    below: tuple[int, int] | None = None  # the line and column where the block would go on
    for span in spans:
        number = bisect_right(breaks, span.start - 1)
        begin = breaks[number - 1] + 1
        column, alone = span.start - begin, not text[begin : span.start].strip()
        if below != (number, column) or not alone or span.block:
            if lines:
                yield tags.Block(lines)
            lines = []
        for place, line in enumerate(text[span.start : span.end].split("\n")):
            lines.append((number + place, tags.bare(line, first=place == 0, block=span.block)))
        below = None if span.block else (number + 1, column)
    if lines:
        yield tags.Block(lines)
