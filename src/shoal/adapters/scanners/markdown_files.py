"""Markdown files, read for their work items; those that are as the last scan read them are not parsed again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from shoal.adapters.git.files import Note, Reader
from shoal.adapters.scanners.decoding import decoded, is_binary
from shoal.model.found import FoundFile


class Unchanged(Struct, frozen=True):
    """A file that is as the last scan read it."""

    path: str


def scan_files(
    root: Path, paths: Iterable[str], known: Mapping[str, str], *, max_bytes: int
) -> Iterator[FoundFile | Unchanged | Note]:
    """Each of the files as it was found, in their order. `known` has the hashes of the last scan."""
    reader = Reader(root, max_bytes)
    for path in paths:
        data = reader.read(path)
        if isinstance(data, Note):
            yield data
        elif data is not None and is_binary(data):
            yield Note(path, "is binary")
        elif data is not None:
            hash = hashlib.sha256(data).hexdigest()
            yield Unchanged(path) if known.get(path) == hash else _scanned(path, data, hash)


def _scanned(path: str, data: bytes, hash: str) -> FoundFile | Note:
    from shoal.adapters.scanners.markdown import MOST_FOUND, TooMany

    try:
        return scan_bytes(path, data, hash)
    except TooMany:
        return Note(path, f"has more than {MOST_FOUND:,} things to do; divide it")


def scan_bytes(path: str, data: bytes, hash: str) -> FoundFile:
    """What a file holds. Raises TooMany for more than a file may hold."""
    # What parses is imported only where something changed: most scans find nothing to parse.
    from shoal.adapters.scanners.markdown import declares_work, scan

    return FoundFile(path=path, hash=hash, found=scan(decoded(data), declared=declares_work(path)))
