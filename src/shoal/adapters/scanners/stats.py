"""What files looked like when they were last read: size, times and inode, so that the same file is not read again.

Kept in a file beside the home, and only to save time: without it, or with one that is broken, everything is read.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

FORMAT = 1
# A file changed within the grain of the file system's clock after it was read has the same time as before, so what is
# this young when it is read is not trusted the next time. Two seconds are the grain of FAT; git does the same with one.
GRAIN_NS = 2_000_000_000


class _Kept(Struct, frozen=True, array_like=True):
    format: int
    root: str
    files: dict[str, tuple[int, int, int, int, str]]


_read = msgspec.msgpack.Decoder(_Kept).decode
_write = msgspec.msgpack.Encoder().encode


class Stats:
    """The files of one tree. `now_ms` is the time when this look at them began, in epoch milliseconds."""

    def __init__(self, place: Path | None, root: Path, *, now_ms: int) -> None:
        self._place, self._root = place, os.fspath(root)
        self._trusted_before_ns = now_ms * 1_000_000 - GRAIN_NS
        self._before = self._load()
        self._now: dict[str, tuple[int, int, int, int, str]] = {}

    def hash_of(self, path: str, stat: os.stat_result) -> str | None:
        """The hash that the file had when it was read, if it looks the same now."""
        kept = self._before.get(path)
        if kept is None or kept[:4] != (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino):
            return None
        self._now[path] = kept
        return kept[4]

    def keep(self, path: str, stat: os.stat_result, hash: str) -> None:
        """Remembers a file that was read after this was its state."""
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < self._trusted_before_ns:
            self._now[path] = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, hash)

    def save(self) -> None:
        """Writes what was kept in this look, and only that. That it cannot be written costs time at the next."""
        if self._place is None or self._now == self._before:
            return
        unready = self._place.with_name(f".{self._place.name}.{os.getpid()}")
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            unready.write_bytes(_write(_Kept(FORMAT, self._root, self._now)))
            unready.replace(self._place)
        except OSError:
            unready.unlink(missing_ok=True)

    def _load(self) -> dict[str, tuple[int, int, int, int, str]]:
        try:
            kept = _read(self._place.read_bytes()) if self._place else None
        except (OSError, msgspec.DecodeError):
            return {}
        return kept.files if kept and kept.format == FORMAT and kept.root == self._root else {}
