"""What pods print, brought into a file bit by bit: each line once, whoever brings it and whenever he dies.

A cluster tells lines from a whole second on, each with its time. Which of them the file has is remembered beside it,
together with the file's size: what was written and not remembered is cut off, and told again.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from shoal.errors import ExecutorError, ExecutorUnreachable

MEMORIES = ".pods"
# Two streams of a pod are written side by side: a line may come after one that has a later time.
OVERLAP = timedelta(seconds=1)


class Seen(Struct, frozen=True):
    """What the file has of a pod: everything before a moment, and these lines since."""

    since: str | None = None
    lines: list[str] = []


class Memory(Struct):
    """What is remembered of a file. `worker` tells the attempt from one of this name that another ledger had."""

    worker: str
    size: int = 0
    pods: dict[str, Seen] = {}


class PodLog:
    """The file of one attempt; use it in a `with`, which one process and thread does at a time.

    Raises ExecutorUnreachable when another does, and ExecutorError when it cannot be written.
    """

    def __init__(self, path: Path, *, worker: str) -> None:
        self._path = path
        self._file = path.parent / MEMORIES / f"{path.stem}.json"
        self._worker = worker
        self._memory = Memory(worker)
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
                    raise BlockingIOError  # it was taken away meanwhile
                self._memory = self._remembered()
                os.ftruncate(self._descriptor, min(self._memory.size, os.fstat(self._descriptor).st_size))
                self._memory.size = os.fstat(self._descriptor).st_size
            except BaseException:
                os.close(self._descriptor)
                raise
        except (BlockingIOError, FileNotFoundError):
            raise ExecutorUnreachable(f"{self._path} is just being written by somebody else") from None
        except OSError as error:
            raise ExecutorError(f"{self._path} cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def since(self, pod: str) -> str | None:
        """The moment from which a pod is to be asked; None from the beginning."""
        return self._memory.pods.get(pod, Seen()).since

    def add(self, pod: str, told: bytes, *, last: bool) -> None:
        """Append what is new in an answer, lines with their times. The end of a line is waited for, unless it is the
        `last` time.
        """
        seen = self._memory.pods.get(pod, Seen())
        known, new, marks = Counter(seen.lines), [], []
        for line in _lines(told):
            stamp, _, text = line.partition(b" ")
            at = _moment(stamp)
            if at is None or not (last or line.endswith(b"\n")):
                continue
            mark = f"{stamp.decode()} {zlib.crc32(text):x}"
            marks.append((at, mark))
            if known[mark]:
                known[mark] -= 1
            else:
                new.append(text)
        if not new:
            return
        since = max(seen.since or "", _second(max(at for at, _ in marks) - OVERLAP))
        pods = self._memory.pods | {pod: Seen(since, [mark for at, mark in marks if _second(at) >= since])}
        try:
            self._append(b"".join(new))
            self._remember(Memory(self._worker, os.fstat(self._descriptor).st_size, pods))
        except OSError as error:
            raise ExecutorError(f"{self._path} cannot be written: {error.strerror}") from error

    def _append(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.write(self._descriptor, data[written:])

    def _remembered(self) -> Memory:
        try:
            memory = msgspec.json.decode(self._file.read_bytes(), type=Memory)
        except (FileNotFoundError, msgspec.DecodeError):
            return Memory(self._worker)
        return memory if memory.worker == self._worker else Memory(self._worker)

    def _remember(self, memory: Memory) -> None:
        partial = self._file.with_suffix(".new")
        partial.write_bytes(msgspec.json.encode(memory))
        partial.replace(self._file)
        self._memory = memory


def _lines(text: bytes) -> list[bytes]:
    """The lines of a text; a carriage return ends none."""
    *whole, rest = text.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _moment(stamp: bytes) -> datetime | None:
    """The time that stands before a line; None where none does."""
    try:
        at = datetime.fromisoformat(stamp.decode())
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def _second(at: datetime) -> str:
    """The second of a moment, as clusters take it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
