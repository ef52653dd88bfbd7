"""Many files, read for their comments: only those that changed, by several processes where there are many.

Which files there are, and how one is read: adapters/git/files.py.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from msgspec import Struct

from shoal.adapters.git.files import Note, Reader, real
from shoal.adapters.scanners.comments import FOUND_IN_A_FILE, scan_bytes
from shoal.adapters.scanners.languages import may_be_source
from shoal.adapters.scanners.stats import Stats
from shoal.model.found import Found, FoundFile

MAX_BYTES = 5_000_000
CHUNK = 400  # files for a process at a time
WORTH_PROCESSES = 3000  # to start two costs as much as to read about so many files
MOST_JOBS = 8
BINARY_WITHIN = 8192


class Unchanged(Struct, frozen=True):
    """A file that is as the last scan read it."""

    path: str


Seen = FoundFile | Unchanged | Note


class _Read(Struct, frozen=True, array_like=True):
    hash: str
    found: list[Found]


def scan_files(
    root: Path,
    paths: Iterable[str],
    known: Mapping[str, str],
    *,
    stats: Stats | None = None,
    jobs: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Iterator[Seen]:
    """Each source file among the paths, as it was found: in their order, first what needs no reading.

    `paths` are below `root`, with / between folders; files that are no source by their names are passed in silence.
    `known` has the hashes of the last scan. With `stats` files that look the same are not even opened; it is saved
    when all are done. `jobs` is how many processes read, by default as many as there are processors.
    """
    root = real(root)
    unread: list[tuple[str, os.stat_result]] = []
    for path in paths:
        if may_be_source(path):
            seen = _look(root, path, known, stats)
            if isinstance(seen, os.stat_result):
                unread.append((path, seen))
            elif seen is not None:
                yield seen
    for (path, look), read in zip(unread, _read_all(root, [path for path, _ in unread], jobs, max_bytes), strict=True):
        if not isinstance(read, _Read):
            if read is not None:
                yield read
            continue
        if stats:
            stats.keep(path, look, read.hash)
        if known.get(path) == read.hash:
            yield Unchanged(path)
            continue
        if len(read.found) > FOUND_IN_A_FILE:
            yield Note(path, f"has more than {FOUND_IN_A_FILE:,} comments that ask for work; divide it")
        else:
            yield FoundFile(path=path, hash=read.hash, found=read.found)
    if stats:
        stats.save()


def _look(root: Path, path: str, known: Mapping[str, str], stats: Stats | None) -> os.stat_result | Unchanged | None:
    """What can be said without opening a file; else its state before it is read."""
    try:
        look = os.lstat(f"{root}/{path}")
    except OSError:
        return None  # gone since it was listed
    if not stat.S_ISREG(look.st_mode):
        return None
    if stats and (hash := stats.hash_of(path, look)) and known.get(path) == hash:
        return Unchanged(path)
    return look


def _read_all(root: Path, paths: Sequence[str], jobs: int | None, max_bytes: int) -> Iterator[_Read | Note | None]:
    jobs = jobs or min(_processors(), MOST_JOBS)
    chunks = [paths[at : at + CHUNK] for at in range(0, len(paths), CHUNK)]
    if jobs == 1 or len(paths) < WORTH_PROCESSES:
        for chunk in chunks:
            yield from _read_chunk(root, chunk, max_bytes)
        return
    # Started anew and not forked: whoever asks may have threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = iter(chunks)
        pending = [pool.submit(_read_chunk, root, chunk, max_bytes) for chunk in islice(waiting, jobs * 4)]
        while pending:
            done = pending.pop(0).result()
            pending += [pool.submit(_read_chunk, root, chunk, max_bytes) for chunk in islice(waiting, 1)]
            yield from done


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_chunk(root: Path, paths: Sequence[str], max_bytes: int) -> list[_Read | Note | None]:
    reader = Reader(root, max_bytes)
    return [_read(reader, path) for path in paths]


def _read(reader: Reader, path: str) -> _Read | Note | None:
    """A file's hash and comments; why it is not read; None if it is gone."""
    data = reader.read(path)
    if not isinstance(data, bytes):
        return data
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace").encode("utf-8", "replace")
        return _Read(hashlib.sha256(data).hexdigest(), scan_bytes(path, text))
    if b"\x00" in data[:BINARY_WITHIN]:
        return Note(path, "is binary")
    return _Read(hashlib.sha256(data).hexdigest(), scan_bytes(path, data))
