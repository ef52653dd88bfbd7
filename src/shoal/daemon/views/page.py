"""A page of the vault, and what it is built of: tables, queries, moments. What the pages say: the views beside it.

Text from the ledger may hold anything. It is escaped wherever it is no Markdown, so that a view cannot forget it: for
CommonMark, and for what Obsidian and Dataview read beyond that (tags, math, comments, highlights, inline fields).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import PurePosixPath

from msgspec import Struct

from shoal.adapters.vault.front_matter import Bare, FrontMatter, Value
from shoal.adapters.vault.report_file import KIND

LONGEST_CELL = 500
_SPECIAL = re.compile(
    r"[\\`*\[\]<>#~|$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # not in snake_case, where it means nothing
    r"|%%|==|::|&(?=[#\w])"
    r"|:(?=//)|(?<=[wW]{3})\."  # a bare address would swallow the backslashes of what follows
    r"|[\x00-\x1f\x7f-\x9f]"
)
_BACKSLASHED = frozenset("\\`*[]<>#~_")


class Markdown(str):
    """Text that is markdown already."""

    __slots__ = ()


Cell = Markdown | str | int | None


class Page(Struct, frozen=True):
    """One file of the vault that Shoal writes whole."""

    path: PurePosixPath
    front: Mapping[str, Value]
    body: str

    @property
    def text(self) -> str:
        """The file's text."""
        return f"{FrontMatter('').changed(self.front)}\n{self.body}"


def view(path: PurePosixPath, name: str, sentence: str, counts: Mapping[str, int], *blocks: str) -> Page:
    """A view's page: what it shows, then its blocks, the empty ones left out; each count is a key that queries see."""
    front: dict[str, Value] = {"kind": KIND, "view": name}
    front |= {key: Bare(str(number)) for key, number in counts.items()}
    opening = f"{sentence} Shoal writes this page from its ledger; what is changed here is overwritten."
    return Page(path, front, section(f"# {name.capitalize()}", opening, *blocks) + "\n")


def section(*blocks: str) -> str:
    """Blocks below each other, the empty ones left out."""
    return "\n\n".join(filter(None, blocks))


def table(headers: Iterable[str], rows: Iterable[Iterable[Cell]]) -> str:
    """A table; without rows, the word that there are none."""
    lines = [_row(cell(value) for value in row) for row in rows]
    if not lines:
        return "None."
    names = list(headers)
    return "\n".join([_row(names), _row("---" for _ in names), *lines])


def cell(value: Cell) -> str:
    """What stands in a table for a value."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, str):
        return escaped(shortened(value, LONGEST_CELL))
    return "" if value is None else str(value)


@lru_cache(maxsize=4096)
def escaped(text: str) -> str:
    """Text on one line that markdown shows as it is."""
    return _SPECIAL.sub(_shown, " ".join(text.split()))


def shortened(text: str, length: int) -> str:
    """Text of so many characters at most."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def link(folder: str, name: str) -> Markdown:
    """A link in a table to the file of that name in a folder of the vault; its bar must not end the cell."""
    return Markdown(f"[[{folder}/{name}\\|{name}]]")


def moment(milliseconds: int | None) -> Markdown | None:
    """A moment as pages say it: never how long ago, or the page would change by itself."""
    if milliseconds is None:
        return None
    return Markdown(f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M} UTC")


def dataview(columns: Mapping[str, str], folder: PurePosixPath, *clauses: str) -> str:
    """A query of the Dataview plugin over the front matter of a folder's files; headers and what they show."""
    shown = ", ".join(f'{expression} AS "{header}"' for header, expression in columns.items())
    source = str(folder).replace('"', '\\"')
    return fenced("dataview", [f"TABLE WITHOUT ID {shown}", f'FROM "{source}"', *clauses])


def fenced(language: str, lines: Iterable[str]) -> str:
    """A block of code, as plugins draw it."""
    return "\n".join([f"```{language}", *lines, "```"])


def left_out(shown: int, total: int) -> str:
    """A sentence when not all are shown."""
    return f"{total - shown} more are not shown." if total > shown else ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(match: re.Match[str]) -> str:
    found = match[0]
    if found in _BACKSLASHED:
        return f"\\{found}"
    if found < " " or "\x7f" <= found <= "\x9f":
        return "\N{REPLACEMENT CHARACTER}"
    return "".join(f"&#{ord(character)};" for character in found)
