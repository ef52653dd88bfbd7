"""The files of a manifest on this machine."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path

from shoal.adapters.manifests.written import SUFFIXES, Text
from shoal.errors import BadInput

DEFAULTS = tuple(f"jobs{suffix}" for suffix in SUFFIXES)


class Files:
    """A file, a folder of them with the folders in it, or the manifest that a home has by itself."""

    def __init__(self, home: Path, setting: str) -> None:
        self._home = home
        self._is_default = not setting
        self._path = home / Path(setting).expanduser() if setting else home

    def mark(self) -> Hashable:
        """What differs when one was written, made or removed."""
        found = []
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((str(path), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
        return tuple(found) if found or not self._is_default else None

    def read(self) -> tuple[list[Text], str | None]:
        """The files in the order of their names. Raises BadInput when there is none."""
        paths = self._paths()
        if not paths:
            # An empty file takes all jobs away; one that is gone may be in the middle of being replaced.
            where = f"no {DEFAULTS[0]} or {DEFAULTS[1]} in {self._home}" if self._is_default else self._missing()
            raise BadInput(f"there is {where}; jobs stay as they are, and an empty manifest has none", field="jobs")
        texts = []
        for path in paths:
            try:
                texts.append(Text(self._name(path), path.read_bytes()))
            except OSError as error:
                raise BadInput(f"{self._name(path)} cannot be read: {error.strerror}", field="jobs") from None
        return texts, None

    def _paths(self) -> list[Path]:
        if self._is_default:
            return [path for name in DEFAULTS if (path := self._path / name).is_file()]
        if not self._path.is_dir():
            return [self._path] if self._path.is_file() else []
        found = []
        for folder, inner, names in os.walk(self._path):
            inner[:] = [name for name in inner if not name.startswith(".")]
            found += [
                Path(folder, name) for name in names if name.endswith(SUFFIXES) and not name.startswith((".", "#"))
            ]
        return sorted(path for path in found if path.is_file())

    def _name(self, path: Path) -> str:
        within = self._path if self._path.is_dir() else self._path.parent
        return str(path.relative_to(within))

    def _missing(self) -> str:
        if self._path.is_dir():
            return f"no manifest in {self._path}: no file that ends with {', '.join(SUFFIXES)}"
        return f"no {self._path} (setting jobs)"
