"""A markdown file as sections, list items and paragraphs, with their lines. What of that is work: markdown.py."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it.token import Token

# Two levels for each list in a list. Python's stack holds about three times as many.
NESTING = 160
LONGEST_LABEL = 120
_FRONT = re.compile(
    r"\A(?:---[ \t]*\n(?=[\w\"'-][^\n]*:)|\+\+\+[ \t]*\n)(?:.*\n){0,500}?(?:---|\.\.\.|\+\+\+)[ \t]*(?:\n|\Z)"
)
_BULLET = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_BOX = re.compile(r"\[([ xX\-~/><!?*✓✔√]?)\](?:[ \t]+|(?=\n|$))|(?=[☐☑☒🔲])(.)\ufe0f?[ \t]+")


@dataclass(slots=True)
class Section:
    """A heading, and what stands under it until the next one of its rank. The file itself has rank 0."""

    rank: int
    title: str
    line: int
    above: Section | None = None
    items: list[Entry] = field(default_factory=list)
    prose: list[Prose] = field(default_factory=list)
    below: list[Section] = field(default_factory=list)

    def path(self) -> list[Section]:
        """The sections from the outermost to this one."""
        found: list[Section] = []
        at: Section | None = self
        while at is not None and at.rank:
            found.append(at)
            at = at.above
        return found[::-1]

    def within(self) -> Iterator[Section]:
        """This section and all below it."""
        yield self
        for one in self.below:
            yield from one.within()


@dataclass(slots=True)
class Prose:
    """A paragraph that is in no list."""

    line: int
    text: str


@dataclass(slots=True)
class Entry:
    """An item of a list, or a line that begins with a box. `box` is the sign in it, None where there is none."""

    line: int
    section: Section
    above: Entry | None
    label: Prose | None
    quoted: bool
    box: str | None = None
    parts: list[str] = field(default_factory=list)
    below: list[Entry] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its own words, without its box."""
        return self.parts[0] if self.parts else ""


def blocks(text: str) -> Section:
    """The file as a tree. Code, what HTML hides and front matter are not in it."""
    from markdown_it import MarkdownIt

    text = _FRONT.sub(lambda found: "\n" * found[0].count("\n"), text)
    # Indented code is read: lists are often indented below a line of text. `_Walk` leaves out what is code after all.
    parser = MarkdownIt("commonmark", {"maxNesting": NESTING}).disable(["inline", "code", "reference"])
    walk = _Walk(text)
    with _uncollected():
        walk.all(parser.parse(text))
    return walk.root


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looks for garbage: there is none, and each would look through all tokens that there are so far."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Walk:
    """The tokens of a file, one after the other."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.root = self.section = Section(0, "", 1)
        self.entries: list[Entry] = []
        self.labels: list[Prose | None] = []
        self.quotes = 0
        self.hidden = 0
        self.last: tuple[Prose, int] | None = None

    def all(self, tokens: list[Token]) -> None:
        """Take them all."""
        for number, token in enumerate(tokens):
            kind = token.type
            if kind == "inline":
                if not self.hidden:
                    self.inline(tokens[number - 1], token)
            elif kind.endswith("list_open"):
                self.list_(token)
            elif kind.endswith("list_close"):
                if self.hidden:
                    self.hidden -= 1
                else:
                    self.labels.pop()
            elif kind == "list_item_open" and not self.hidden:
                self.item(token)
            elif kind == "list_item_close" and not self.hidden:
                self.entries.pop()
            elif kind == "blockquote_open":
                self.quotes += 1
            elif kind == "blockquote_close":
                self.quotes -= 1

    def list_(self, token: Token) -> None:
        line = token.map[0] if token.map else 0
        if self.hidden or (not token.level and self._is_code(line)):
            self.hidden += 1
            return
        label = None
        if self.last is not None and not self.entries:
            prose, end = self.last
            near, after = end == line, line - end <= 1
            if near or (after and prose.text.rstrip("*_ ").endswith(":")):
                label = prose
        self.labels.append(label)

    def _is_code(self, line: int) -> bool:
        """A list so far to the right after an empty line is an example, as GitHub shows it."""
        before = self.lines[line - 1] if line else ""
        return self._is_far(line) and not before.strip()

    def _is_far(self, line: int) -> bool:
        written = self.lines[line].expandtabs(4) if line < len(self.lines) else ""
        return len(written) - len(written.lstrip()) >= 4

    def item(self, token: Token) -> None:
        above = self.entries[-1] if self.entries else None
        label = self.labels[-1] if self.labels else None
        line = token.map[0] + 1 if token.map else 1
        entry = Entry(line, self.section, above, label, bool(self.quotes))
        (self.section.items if above is None else above.below).append(entry)
        self.entries.append(entry)

    def inline(self, opening: Token, token: Token) -> None:
        first, end = token.map or [0, 1]
        if opening.type == "heading_open" and not self.entries and not self.quotes:
            # A paragraph above a line of dashes is a heading, too; but nobody means several lines as one.
            is_meant = opening.markup[:1] == "#" or "\n" not in token.content
            if is_meant and not self._is_far(first):
                self.heading(int(opening.tag[1]), token.content, first)
                return
        if not self.entries:
            self.paragraph(token.content, first, end)
            return
        entry = self.entries[-1]
        if entry.parts or entry.below:
            entry.parts.append(token.content)
            return
        entry.line = first + 1
        box, words = boxed(token.content)
        entry.box = box
        entry.parts.append(words)
        if box is not None and entry.label is not None and entry.above is None:
            # Boxes after an empty line are in one list with the plain items before them, whose label is not theirs.
            eldest = next(one for one in self.section.items if one.label is entry.label)
            entry.label = entry.label if eldest.box is not None else None

    def heading(self, rank: int, title: str, line: int) -> None:
        above = self.section
        while above.rank >= rank:
            assert above.above is not None  # noqa: S101 - the file's rank is 0
            above = above.above
        self.section = Section(rank, title, line + 1, above)
        above.below.append(self.section)
        self.last = None

    def paragraph(self, content: str, first: int, end: int) -> None:
        """A paragraph. Lines in it may begin with boxes: without bullets, or too far to the right to be a list."""
        told: list[str] = []
        over: list[tuple[int, Entry]] = []
        texts: list[tuple[Entry, list[str]]] = []
        label = Prose(first + 1, "")
        for number, line in enumerate(content.split("\n")):
            bullet = _BULLET.match(line)
            box, words = boxed(line[bullet.end() :] if bullet else line)
            if box is not None:
                depth = len(line) - len(line.lstrip())
                over = [one for one in over if one[0] < depth]
                above = over[-1][1] if over else None
                entry = Entry(
                    first + number + 1, self.section, above, label if told else None, bool(self.quotes), box, [words]
                )
                (self.section.items if above is None else above.below).append(entry)
                over.append((depth, entry))
                texts.append((entry, [words]))
            elif texts:
                texts[-1][1].append(line.strip())
            else:
                told.append(line)
        for entry, lines in texts:
            entry.parts[0] = "\n".join(lines)
        label.text = "\n".join(told)
        if told:
            self.section.prose.append(label)
        self.last = (label, end) if told and not texts else None


def boxed(text: str) -> tuple[str | None, str]:
    """The sign in the box that a text begins with, and the rest; None when it begins with none."""
    found = _BOX.match(text)
    if found is None:
        return None, text
    sign: Any = found[1] if found[1] is not None else {"☑": "x", "☒": "-"}.get(found[2], " ")
    return sign or " ", text[found.end() :]
