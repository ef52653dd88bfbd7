"""What tests do to a vault as people do it: with git and an editor."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ACTIVE, COMPLETED = "010-tasks/active", "010-tasks/completed"


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "Person",
        "GIT_AUTHOR_EMAIL": "person@example.org",
        "GIT_COMMITTER_NAME": "Person",
        "GIT_COMMITTER_EMAIL": "person@example.org",
        "GIT_EDITOR": "true",
    }
    run = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not check or run.returncode == 0, f"git {arguments}: {run.stdout}{run.stderr}"
    return run.stdout.strip()


def push(folder: Path, message: str = "By hand") -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    git(folder, "push", "--quiet")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def commits(folder: Path) -> int:
    return int(git(folder, "rev-list", "--count", "HEAD"))
