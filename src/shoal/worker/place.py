"""The place of an attempt on this machine: its folder, what is remembered of it, and who has it.

workspaces/T42.1/                 the folder
workspaces/T42.1.kept/            what could not be committed: a patch
workspaces/.attempts/T42.1.json   what is remembered
workspaces/.attempts/T42.1.lock   held by the worker of the attempt for as long as it lives
"""

from __future__ import annotations

import os
import re
import weakref
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.adapters.git.tree import remove_tree
from shoal.adapters.processes import lock

FOLDER = "workspaces"
_NAME = re.compile(r"([A-Za-z]{1,8}\d+)\.(\d+)", re.ASCII)


class Part(Struct, frozen=True):
    """A checkout as it is remembered. `left` is the tree of its folder when the attempt ended in good order."""

    repository: str
    folder: str
    branch: str
    base: str
    upstream: str
    mirror: str
    left: str | None = None


class Record(Struct, frozen=True):
    """What is remembered of an attempt's folder. Until it is `ready` nothing in it is an agent's work.

    `at` is when it was last kept, in milliseconds since 1970.
    """

    at: int
    ready: bool = False
    parts: list[Part] = []


class Place:
    """Where one attempt works."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / FOLDER / name
        self.kept = root / FOLDER / f"{name}.kept"
        self._file = root / FOLDER / ".attempts" / f"{name}.json"
        self._lock_file = self._file.with_suffix(".lock")
        self._release: weakref.finalize[[int], Place] | None = None

    @property
    def task_id(self) -> str:
        """The task whose attempt it is."""
        return self.name.partition(".")[0]

    def take(self, seconds: float = 0.0) -> bool:
        """Have it alone, until `release`, or until nobody knows this object any more, or this process ends."""
        descriptor = lock.take(self._lock_file, seconds)
        if descriptor is not None:
            self._release = weakref.finalize(self, os.close, descriptor)
        return descriptor is not None

    def release(self) -> None:
        """Let others have it."""
        if self._release is not None:
            self._release()

    def read(self) -> Record | None:
        """What is remembered; None when nothing is, or it cannot be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, record: Record) -> None:
        """Remember this."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".new")
        partial.write_bytes(msgspec.json.encode(record))
        partial.replace(self._file)

    def forget(self) -> None:
        """Remember nothing of it any more; what could not be committed stays."""
        self._file.unlink(missing_ok=True)
        self._lock_file.unlink(missing_ok=True)

    def remove(self) -> bool:
        """Remove the folder with whatever is in it, and forget it; whether it is gone."""
        gone = remove_tree(self.folder)
        if gone:
            self.forget()
        return gone


def places(root: Path, task_id: str | None = None) -> list[Place]:
    """The places that are remembered, of a task or of all; oldest attempt first."""
    found = [path.stem for path in (root / FOLDER / ".attempts").glob("*.json")]
    parsed = [(match[1], int(match[2]), name) for name in found if (match := _NAME.fullmatch(name))]
    return [Place(root, name) for task, _, name in sorted(parsed) if task_id in (None, task)]


def place_of(root: Path, folder: Path) -> Place | None:
    """The place that a folder lies in."""
    try:
        name = folder.relative_to(root / FOLDER).parts[0]
    except (ValueError, IndexError):
        return None
    return Place(root, name) if _NAME.fullmatch(name) else None
