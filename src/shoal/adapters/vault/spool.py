"""Content that has been promised and is not yet in its file: a log of each process beside the vault.

An entry is on the disk before the transaction that it belongs to is committed. When a process dies in between, another
one finds its log, asks the ledger which entries were committed, and brings these to their files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from shoal.adapters.vault.files import sync_folder
from shoal.model.content import Entry

_encode = msgspec.json.Encoder().encode


class SpoolLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the log: an entry, or the tokens of those that are done with."""

    entry: Entry | None = None
    done: list[str] = []


_decode = msgspec.json.Decoder(SpoolLine).decode


class Spool:
    """The log of this process; the file is made with the first entry and locked for as long as the process lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._descriptor = -1
        self._open: set[str] = set()

    def lay_down(self, entries: list[Entry]) -> None:
        """Bring entries to the disk."""
        lines = b"".join(_encode(SpoolLine(entry)) + b"\n" for entry in entries)
        with self._lock:
            if self._path is None:
                self._begin()
            self._open.update(entry.token for entry in entries)
            self._append(lines)
            os.fdatasync(self._descriptor)

    def done(self, tokens: list[str]) -> None:
        """These entries are in their files, or belong to nothing: they need not be found again."""
        with self._lock:
            self._open.difference_update(tokens)
            if self._descriptor < 0:
                return
            if self._open:
                self._append(_encode(SpoolLine(done=tokens)) + b"\n")
            else:
                os.ftruncate(self._descriptor, 0)
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Remove the log when nothing in it is left to do."""
        with self._lock:
            if self._path is None:
                return
            if not self._open:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._path, self._descriptor = None, -1

    def uncertain(self, older_than: int) -> list[Entry]:
        """Entries of this process that were laid down before that moment and never taken up."""
        with self._lock:
            if not self._open or self._path is None:
                return []
            return [
                one for one in unfinished(self._path.read_bytes()) if one.token in self._open and one.at < older_than
            ]

    def orphans(self) -> Iterator[tuple[Path, list[Entry]]]:
        """The logs that processes left behind which are no more, each with what was not done.

        Each is this process's alone until the next one is asked for. One that cannot be read is put aside.
        """
        for path in sorted(self.folder.glob("*.jsonl")):
            if path == self._path:
                continue
            with contextlib.suppress(OSError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                try:
                    entries = unfinished(file.read())
                except msgspec.DecodeError:
                    path.rename(path.with_suffix(".damaged"))
                    continue
                yield path, entries

    def report(self, older_than: int) -> Iterator[str]:
        """What has waited here since before that moment, in whichever process, and what cannot be read."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                late = [one for one in unfinished(path.read_bytes()) if one.at < older_than]
                if late:
                    told = ", ".join(sorted({f"{one.what} of task {one.task}" for one in late}))
                    yield f"{path} holds what is in no file yet: {told}"
        for path in sorted(self.folder.glob("*.damaged")):
            yield f"{path} cannot be read; look what it holds, and remove it"

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{os.getpid()}-{secrets.token_hex(6)}.jsonl"
        unnamed = path.with_suffix(".new")
        self._descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # Locked before it has its name: nobody takes it for an orphan.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._path = unnamed.rename(path)
        for folder in (self.folder, self.folder.parent):
            sync_folder(folder)

    def _append(self, lines: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
        except OSError:
            os.ftruncate(self._descriptor, size)  # half a line would spoil the next one
            raise


def unfinished(log: bytes) -> list[Entry]:
    """The entries of a log that are not done with, in their order. Raises DecodeError when it is damaged.

    A last line that was cut off does not count: nobody has heard that it was taken.
    """
    entries: dict[str, Entry] = {}
    for written in log.split(b"\n")[:-1]:
        line = _decode(written)
        if line.entry is not None:
            entries[line.entry.token] = line.entry
        for token in line.done:
            entries.pop(token, None)
    return list(entries.values())
