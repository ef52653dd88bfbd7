"""The programs of jobs: how each is started, and why one cannot be."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path


def command_line(command: list[str]) -> list[str]:
    """What is started: a .py file with this Python, a .sh file with sh, anything else as it is."""
    program = command[0]
    if program.endswith(".py"):
        return [sys.executable, *command]
    return ["sh", *command] if program.endswith(".sh") else list(command)


def missing(program: str, folder: Path, environment: Mapping[str, str]) -> str | None:
    """Why a program cannot be started that is not there; what else is wrong with it says the system."""
    if not folder.is_dir():
        return None
    if program.endswith((".py", ".sh")) or "/" in program:
        path = folder / program
        return None if path.exists() else f"{program} cannot be started: there is no {path}"
    if shutil.which(program, path=environment.get("PATH", os.defpath)) is None:
        return f"{program} cannot be started: it is not on PATH"
    return None
