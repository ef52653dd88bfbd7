"""The box of an item that is done, ticked in its file: that one sign, and no other byte."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shoal.adapters.git.files import Note, Reader
from shoal.adapters.scanners.decoding import BREAK, decoded, encoding_of
from shoal.adapters.scanners.markdown import MOST_FOUND, TooMany, declares_work, scan
from shoal.errors import Refused
from shoal.model.found import Found, Mark
from shoal.model.item import Form

_BEFORE_BOX = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t>]+)*")
_SAME = re.compile(r"[\W_]+")


def tick(
    root: Path, path: str, items: Mapping[str, tuple[int, str]], max_bytes: int, *, dry_run: bool = False
) -> tuple[list[str], list[Note]]:
    """Tick boxes that are still open; which were, and why others were not.

    `items` are lines, counted from 1, and texts by item. A line that is not that item's any more is left alone, and so
    is one that is ticked. With `dry_run` nothing is written. Raises Refused when the file is saved meanwhile.
    """
    data = Reader(root, max_bytes).read(path)
    if not isinstance(data, bytes):
        return [], [data or Note(path, "is gone")]
    encoding, mark = encoding_of(data)
    text = data[mark:].decode(encoding, "surrogateescape" if encoding == "utf-8" else "surrogatepass")
    if data[mark:] != _bytes(text, encoding):
        return [], [Note(path, f"is not whole as {encoding}; tick by hand")]
    try:
        found = {one.line: one for one in scan(decoded(data), declared=declares_work(path))}
    except TooMany:
        return [], [Note(path, f"has more than {MOST_FOUND:,} things to do; divide it")]
    ends = [0, *(one.end() for one in BREAK.finditer(text))]
    places: dict[str, int] = {}
    notes = []
    for item, (line, words) in items.items():
        if not _is(found.get(line), words):
            notes.append(Note(path, f"line {line} is not {item} any more; scan again"))
        elif (place := _box(text, ends, line)) is not None:
            places[item] = place
    if places and not dry_run:
        parts, at = [], 0
        for place in sorted(set(places.values())):
            parts += [text[at:place], "x"]
            at = place + 1
        parts.append(text[at:])
        _replace(Path(root) / path, data, data[:mark] + _bytes("".join(parts), encoding))
    return list(places), notes


def _is(found: Found | None, words: str) -> bool:
    return (
        found is not None
        and found.form in (Form.BOX, Form.QUESTION, Form.DECISION)
        and found.mark is not Mark.DECLINED
        and _SAME.sub("", found.text).casefold() == _SAME.sub("", words).casefold()
    )


def _box(text: str, ends: list[int], line: int) -> int | None:
    """Where the sign of a line's open box is: `[ ]` alone, since `[]` would need one more byte."""
    if not 0 < line <= len(ends):
        return None
    start = ends[line - 1] + len(_BEFORE_BOX.match(text, ends[line - 1])[0])  # type: ignore[index]
    return start + 1 if text[start : start + 3] == "[ ]" else None


def _bytes(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "surrogatepass")


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """The file with its new bytes and its old mode, at once; not if somebody has saved it meanwhile."""
    descriptor, unready = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(descriptor)
        os.chmod(unready, path.stat().st_mode & 0o7777)
        if path.read_bytes() != before:
            raise Refused(f"{path} was changed meanwhile; try again")
        os.replace(unready, path)
    except BaseException:
        os.unlink(unready)
        raise
