"""The manifest that the setting `jobs` names, read whenever somebody asks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable
from pathlib import Path

from shoal.adapters.manifests.definition import definition, place
from shoal.adapters.manifests.files import Files
from shoal.adapters.manifests.repository import Repository, is_repository
from shoal.adapters.manifests.written import Entry, Text, entries
from shoal.errors import BadInput
from shoal.model.manifest import Manifest
from shoal.settings import Settings

Where = tuple[str, int]


class Manifests:
    """The manifest of a home; the setting may change meanwhile."""

    def __init__(self, home: Path, settings: Callable[[], Settings]) -> None:
        self._home = home
        self._settings = settings
        self._lock = threading.Lock()
        self._where: Where | None = None
        self._source: Files | Repository | None = None

    def __call__(self) -> Manifest:
        """What is written down now. Raises BadInput with file, line and reason, GitError, WorkspaceError."""
        source = self._found()
        with self._lock:
            texts, sha = source.read()
        return read(texts, sha)

    def mark(self) -> Hashable:
        """What differs when a look is due; None when the home has no manifest and the setting names none."""
        source = self._found()
        mark = source.mark()
        return None if mark is None else (self._where, mark)

    def _found(self) -> Files | Repository:
        settings = self._settings()
        where = (settings.jobs, settings.jobs_fetch_seconds)
        with self._lock:
            if self._source is None or where != self._where:
                if is_repository(settings.jobs):
                    self._source = Repository(self._home, *where)
                else:
                    self._source = Files(self._home, settings.jobs)
                self._where = where
            return self._source


def read(texts: list[Text], sha: str | None = None) -> Manifest:
    """The jobs of these files. Raises BadInput with file, line and reason."""
    found: dict[str, Entry] = {}
    definitions = []
    for text in texts:
        for entry in entries(text):
            if (other := found.get(entry.name)) is not None:
                raise BadInput(
                    f"{entry.place()}: job {entry.name} is defined already, at {other.place()}; rename or remove one",
                    field="jobs",
                )
            found[entry.name] = entry
            definitions.append(definition(entry))

    def where(field: str) -> str:
        near = [name for name in found if field == name or field.startswith(f"{name}.")]
        if not near:
            return ""
        name = max(near, key=len)
        return place(found[name], field[len(name) + 1 :])

    return Manifest(definitions, sha or _hash(texts), where)


def _hash(texts: list[Text]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(b"%d %s %d " % (len(text.name.encode()), text.name.encode(), len(text.content)) + text.content)
    return digest.hexdigest()[:40]
