"""Where things stand in a vault: paths relative to its folder. What stands in the files: task_file.py and others."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from msgspec import Struct

from shoal.model.task import Status, Task
from shoal.settings import Settings

PLACES = {
    **dict.fromkeys(Status, "active"),
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}
OVERVIEW = "_overview.md"
LONGEST_NUMBER = 18
LONGEST_NAME = 100  # bytes
_HASHED = re.compile(r"-[0-9a-f]{8}$")
_ARCHIVE = re.compile(r"task_([A-Za-z]{1,8}\d+)_.*\.tar\.gz")
_UNFIT = re.compile(r"[^\w.@+-]+")


class Layout(Struct, frozen=True):
    """The folders of a vault."""

    tasks: PurePosixPath
    logs: PurePosixPath
    knowledge: PurePosixPath
    fleet: PurePosixPath
    context: PurePosixPath
    notes: PurePosixPath
    audits: PurePosixPath
    views: PurePosixPath
    archive: PurePosixPath

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        """The layout that the settings name."""
        return cls(*(PurePosixPath(getattr(settings, f"{name}_folder")) for name in cls.__struct_fields__))

    @property
    def folders(self) -> list[PurePosixPath]:
        """Every folder, as `shoal vault init` makes them."""
        return [*self.task_folders, *(getattr(self, name) for name in self.__struct_fields__ if name != "tasks")]

    @property
    def task_folders(self) -> list[PurePosixPath]:
        """The folders with tasks' files."""
        return [self.tasks / place for place in ("active", "completed", "failed")]

    @property
    def content_folders(self) -> list[PurePosixPath]:
        """The folders with files of tasks."""
        return [*self.task_folders, self.context, self.notes]

    @property
    def overview(self) -> PurePosixPath:
        """The page of counts and recent tasks."""
        return self.tasks / OVERVIEW

    def task_folder(self, status: Status) -> PurePosixPath:
        """The folder with the files of a status."""
        return self.tasks / PLACES[status]

    def task_file(self, task: Task) -> PurePosixPath:
        """Where the file of a task belongs now."""
        return self.task_folder(task.status) / f"{task.task_id}.md"

    def context_file(self, task_id: str) -> PurePosixPath:
        """The shared context of a task."""
        return self.context / f"{task_id}.yaml"

    def progress_file(self, task_id: str) -> PurePosixPath:
        """The progress log of a task."""
        return self.context / f"{task_id}.progress.jsonl"

    def rescue_file(self, name: str) -> PurePosixPath:
        """A bundle or patch with work that could not be pushed; its name begins with the task."""
        return self.context / name

    def notes_file(self, task_id: str, agent: str) -> PurePosixPath:
        """The private notes of an agent on a task."""
        return self.notes / f"{task_id}.{fit(agent)}.md"

    def view(self, name: str) -> PurePosixPath:
        """A view's page."""
        return self.views / f"{name}.md"

    def beside(self, place: PurePosixPath, mark: str) -> PurePosixPath:
        """A name beside a file for another version of it."""
        return place.with_name(f"{place.stem}.other-{mark}{place.suffix}")

    def is_other(self, name: str) -> bool:
        """Whether a file's name says that it is another version of one."""
        return ".other-" in name

    def number_of(self, place: PurePosixPath, prefix: str) -> int | None:
        """The number of the task whose page this is, by its name."""
        digits = place.stem.removeprefix(prefix)
        named = place.suffix == ".md" and place.stem.startswith(prefix) and digits.isascii() and digits.isdecimal()
        if not named or place.parent not in self.task_folders or len(digits) > LONGEST_NUMBER or digits.startswith("0"):
            return None
        return int(digits)

    def archive_file(self, task_id: str, moment: str) -> PurePosixPath:
        """An archive of a task's files."""
        return self.archive / f"task_{task_id}_{moment}.tar.gz"

    def archived_id(self, name: str) -> str | None:
        """The task whose files an archive of this name holds."""
        found = _ARCHIVE.fullmatch(name)
        return found[1] if found else None


def fit(name: str) -> str:
    """A name as part of a file's name; two names never become one."""
    fitting = _UNFIT.sub("-", name).strip(".-") or "-"
    if fitting == name and len(name.encode()) <= LONGEST_NAME and not _HASHED.search(name):
        return name
    import hashlib

    short = fitting.encode()[:LONGEST_NAME].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
