"""The real agents that tests run: from SHOAL_TEST_AGENTS, a folder with node_modules, else fetched from npm once.

    python -m tests.agents.programs     fetches them; fails where they cannot be had

They are large (about 700 MB on the disk), so they are kept in .agents of the repository until `make clean`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / ".agents"
# The versions that the adapters were tried with.
PACKAGES = {"@anthropic-ai/claude-code": "2.1.197", "@openai/codex": "0.169.0"}
FETCH_SECONDS = 150


class Unavailable(Exception):
    """The agents cannot be had here; the message says why."""


def program(name: str) -> Path:
    """Where `claude` or `codex` is; skips the test where it cannot be had."""
    given = os.environ.get("SHOAL_TEST_AGENTS")
    try:
        folder = Path(given) if given else install()
    except Unavailable as error:
        pytest.skip(str(error))
    found = folder / "node_modules" / ".bin" / name
    if not found.exists():
        pytest.skip(f"{folder} has no {name}")
    return found


def install(folder: Path = FOLDER, packages: dict[str, str] = PACKAGES) -> Path:
    """Fetch the packages, once for all test processes and runs, and return the folder. Raises Unavailable."""
    for needed in ("node", "npm"):
        if not shutil.which(needed):
            raise Unavailable(f"what comes from npm needs {needed}")
    folder.mkdir(exist_ok=True)
    finished, wanted = folder / "finished", json.dumps(packages)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists() or finished.read_text() != wanted:
            finished.unlink(missing_ok=True)
            _fetch(folder, packages)
            finished.write_text(wanted)
    return folder


def _fetch(folder: Path, packages: dict[str, str]) -> None:
    # What one test process could not fetch, the others of the same episode need not wait for again.
    failed = folder / "failed"
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    if failed.exists() and failed.read_text().startswith(run):
        raise Unavailable(failed.read_text().partition("\n")[2])
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": packages}))
    try:
        subprocess.run(
            ["npm", "install", "--loglevel=error", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1"],
            cwd=folder, capture_output=True, text=True, check=True, timeout=FETCH_SECONDS,
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        told = (error.stderr or "") if isinstance(error, subprocess.CalledProcessError) else "no answer in time"
        reason = f"{', '.join(packages)} cannot be fetched: {' '.join(told.split())[:300] or error}"
        failed.write_text(f"{run}\n{reason}")
        raise Unavailable(reason) from error


if __name__ == "__main__":
    try:
        print(f"The agents are in {install()}")
    except Unavailable as reason:
        sys.exit(str(reason))
