"""The pond, a repository of the tests of workspaces: the task that mends it, its mirror, what stands on a branch."""

from __future__ import annotations

from pathlib import Path

from tests.vaults import git
from tests.worker.places import REPOSITORY, task_of

TASK = task_of(repos=[REPOSITORY])
BRANCH = "shoal/T42-mend-the-pond"


def mirror(home: Path) -> Path:
    return home / "mirrors" / f"{REPOSITORY}.git"


def file_on(home: Path, branch: str, name: str) -> str:
    return git(mirror(home), "show", f"{branch}:{name}", check=False)


def commit(folder: Path, name: str, text: str = "text\n") -> str:
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", f"Write {name}")
    return git(folder, "rev-parse", "HEAD")
