"""The backlogs of other tools that can be imported, and which of them a path is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from shoal.adapters.importers import backlog_md, beads, github_issues, queue_yaml, shoal_export, task_master
from shoal.errors import BadInput
from shoal.model.item_import import ImportedItem, Refusal, System


class Backlog(Protocol):
    """What a module has that reads one."""

    SYSTEM: System

    def fits(self, path: Path) -> bool:
        """Whether a path looks like it, by its name and its first bytes."""

    def read(self, path: Path) -> Iterator[ImportedItem | Refusal]:
        """Its items, and what in it is none. Raises BadInput when it is another thing, or cannot be read."""


_MODULES: tuple[Backlog, ...] = (queue_yaml, beads, backlog_md, task_master, github_issues, shoal_export)
BACKLOGS = {one.SYSTEM: one for one in _MODULES}


def read(path: Path, system: System) -> Iterator[ImportedItem | Refusal]:
    """The items of a backlog of that system. Raises BadInput when it is another thing, or cannot be read."""
    try:
        yield from BACKLOGS[system].read(path)
    except OSError as error:
        raise BadInput(f"cannot read {error.filename or path}: {error.strerror}", field="file") from None


def guess(path: Path) -> System:
    """Which backlog a path is. Raises BadInput when that is not clear, or it cannot be read."""
    try:
        if not path.exists():
            raise BadInput(f"there is no {path}", field="file")
        found = [name for name, one in BACKLOGS.items() if one.fits(path)]
    except OSError as error:
        raise BadInput(f"cannot read {error.filename or path}: {error.strerror}", field="file") from None
    if len(found) == 1:
        return found[0]
    said = f"{path} may be {' or '.join(found)}" if found else f"cannot tell what {path} is"
    raise BadInput(f"{said}; say it by --from {', '.join(found or BACKLOGS)}", field="from")
