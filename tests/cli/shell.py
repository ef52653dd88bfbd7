"""`shoal` as a person and a script run it: real processes, on a home of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.fleet import SHOAL, environment


class Shell:
    """Runs `shoal` in a folder with an empty home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".shoal"

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "", **settings: str) -> str:
        run = subprocess.run(
            [*SHOAL, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environment(HOME=str(self.folder), USER="ana", LOGNAME="ana", **settings),
            timeout=60,
        )
        assert run.returncode == code, f"{arguments}: {run.returncode}\n{run.stdout}\n{run.stderr}"
        self.errors = run.stderr
        return run.stdout

    def json(self, *arguments: str) -> Any:
        envelope = json.loads(self(*arguments, "--json"))
        assert envelope["version"] == 1
        return envelope["data"]
