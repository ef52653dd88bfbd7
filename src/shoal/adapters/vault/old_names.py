"""Task files that are not called by their number: from before Shoal, or renamed by people."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from shoal.adapters.vault import files, task_file
from shoal.adapters.vault.layout import Layout
from shoal.errors import ShoalError
from shoal.model.task import Task

_NUMBERED = re.compile(r"[A-Za-z]{1,8}\d+\.md")


class OldNames:
    """An index of such files, read again only where a folder or a file has changed."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self._root = root
        self._layout = layout
        self._seen: dict[PurePosixPath, int] = {}
        self._ids: dict[PurePosixPath, tuple[tuple[int, int], str | None]] = {}
        self._by_name: dict[str, PurePosixPath] = {}

    def find(self, task: Task) -> PurePosixPath | None:
        """The file of a task: named by its slug or external key, or with its id in the front matter.

        As it was at the last `refresh`.
        """
        if not self._seen:
            self.refresh()
        for name in (task.task_id, task.slug, task.external_key):
            if name is not None and (place := self._by_name.get(name)) is not None:
                return place if (self._root / place).is_file() else None
        return None

    def names(self) -> list[str]:
        """Every name that was found."""
        return list(self._by_name)

    def refresh(self) -> None:
        """Look again."""
        times = {}
        for folder in self._layout.task_folders:
            try:
                times[folder] = (self._root / folder).stat().st_mtime_ns
            except FileNotFoundError:
                continue
        if times == self._seen:
            return
        layout = self._layout
        found: dict[str, PurePosixPath] = {}
        ids: dict[str, PurePosixPath] = {}
        for folder in times:
            for name in sorted(filter(_is_text, os.listdir(self._root / folder))):
                if (
                    not name.endswith(".md")
                    or _NUMBERED.fullmatch(name)
                    or name.startswith(("_", "."))
                    or layout.is_other(name)
                ):
                    continue
                place = folder / name
                found.setdefault(place.stem, place)
                task_id = self._id(place)
                if task_id is not None:
                    ids.setdefault(task_id, place)
        # What a file says of itself counts for more than what another one is called.
        self._by_name, self._seen = found | ids, times

    def _id(self, place: PurePosixPath) -> str | None:
        path = self._root / place
        try:
            status = path.stat()
            key = (status.st_mtime_ns, status.st_size)
            known = self._ids.get(place)
            if known is None or known[0] != key:
                known = self._ids[place] = (key, task_file.read(files.read(path)).get("id"))
        except (ShoalError, OSError, ValueError, OverflowError):
            return None
        return known[1]


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8; no task can be called otherwise."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
