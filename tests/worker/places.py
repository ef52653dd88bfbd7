"""What the tests of workspaces are made of: a task, a remote on disk, somebody who commits to it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoal.adapters.processes.commands import Ran
from shoal.model.task import Criterion, Status, Task
from shoal.settings import RepositorySettings
from tests.vaults import git

REPOSITORY = "acme/pond"


def task_of(number: int = 42, **given: Any) -> Task:
    values: dict[str, Any] = dict.fromkeys(Task.__struct_fields__)
    values |= {name: 0 for name, kind in Task.__annotations__.items() if kind == "int"}
    values |= {"labels": [], "repos": [], "success_criteria": [], "participants": [], "requires_qa": False}
    values |= {"id": number, "title": "Mend the pond", "type": "swe", "status": Status.ACTIVE, "queue": "default"}
    values |= {"created_by": "ana", "task_id": f"T{number}"}
    return Task(**values | given)


def criteria(*measurable: str | None) -> list[Criterion]:
    return [Criterion(f"criterion {number}", one) for number, one in enumerate(measurable, start=1)]


class Remote:
    """A bare repository, and a clone of it in which somebody works."""

    def __init__(self, folder: Path, *, files: Mapping[str, str] | None = None) -> None:
        self.path = folder / "remote.git"
        self.clone = folder / "person"
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.path))
        git(folder, "clone", "--quiet", str(self.path), str(self.clone))
        git(self.clone, "switch", "--quiet", "--orphan", "main")
        if files is None or files:
            self.commit(files or {"README.md": "pond\n", ".gitignore": "*.log\n"})

    def commit(self, files: Mapping[str, str], branch: str = "main") -> str:
        for name, text in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_text(text)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--message", "By a person")
        git(self.clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.clone, "rev-parse", "HEAD")

    def settings(self, **given: Any) -> dict[str, RepositorySettings]:
        return {REPOSITORY: RepositorySettings(**{"url": str(self.path)} | given)}

    def branches(self) -> list[str]:
        return git(self.path, "for-each-ref", "--format=%(refname:strip=2)", "refs/heads").split()


def on_push(remote: Remote, command: str) -> None:
    """Let the remote do something before it takes a push."""
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{command}\n")
    hook.chmod(0o755)


def run_plainly(
    command: Sequence[str], folder: Path, *, seconds: float, environment: Mapping[str, str] | None = None
) -> Ran:
    around = os.environ | dict(environment or {})
    run = subprocess.run(command, cwd=folder, env=around, timeout=seconds, capture_output=True, text=True, check=False)
    return Ran(run.returncode, (run.stdout + run.stderr).strip())


def kill(process: subprocess.Popen[Any]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
