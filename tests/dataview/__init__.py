"""Runs the queries of a vault's pages with the parser and the values of the Obsidian plugin Dataview, under Node.

Not for what pages look like. Real are the grammar, errors of syntax, dates, links, and how values compare and read as
text: the npm package holds these. It lacks the plugin's evaluator, engine and index; the `.cjs` files here stand in.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".dataview"
# Neither has a dependency that it does not bring along, and neither runs a script.
PACKAGES = {
    "obsidian-dataview@0.5.68": "7a8615c6a81e01433ae1f57afd85d6b97be69bd0da56847587f3bebc12074b4c"
    "90fa7f71e4c6959dd0f75a37155ae6899ab30cf62c2fbad91b6746825a92e61f",
    "yaml@2.9.1": "dcdc4df3eefc39dcdb4fb0bf5a31acc9f3c0b4968ddc5343b16c6fed8ee6703b"
    "13fe83a6816f01a72410145067bd91378fd63649dcf550b14b7b32fb11bdb217",
}


@dataclass(frozen=True)
class Answer:
    """What one query gave.

    `headers` are empty except for a TABLE. A row of a LIST is [page, value], of a TASK [text, status, page], of a TASK
    with GROUP BY [key, rows]. `dropped` are the errors of rows that Dataview leaves out without a word.
    """

    page: str
    query: str
    ok: bool
    error: str | None
    headers: list[str]
    rows: list[list[Any]]
    dropped: list[str]


def install(folder: Path = FOLDER) -> Path:
    """Fetch the packages once and return their `node_modules`; skips the test where they cannot be had."""
    modules, finished = folder / "node_modules", folder / "finished"
    wanted = json.dumps(PACKAGES)
    for program in ("node", "npm"):
        if not shutil.which(program):
            pytest.skip(f"Dataview needs {program}")
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists() or finished.read_text() != wanted:
            shutil.rmtree(modules, ignore_errors=True)
            finished.unlink(missing_ok=True)
            _fetch(folder, modules)
            finished.write_text(wanted)
    return modules


def _fetch(folder: Path, modules: Path) -> None:
    # What one test process could not fetch, the others of the same run need not wait for again.
    failed = folder / "failed"
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    if failed.exists() and failed.read_text().startswith(run):
        pytest.skip(failed.read_text().partition("\n")[2])
    try:
        subprocess.run(
            ["npm", "pack", "--loglevel=error", "--ignore-scripts", "--fetch-retries=0", *PACKAGES],
            cwd=folder, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        told = (error.stderr or "") if isinstance(error, subprocess.CalledProcessError) else "no answer in time"
        reason = f"Dataview cannot be fetched: {' '.join(told.split())[:300] or error}"
        failed.write_text(f"{run}\n{reason}")
        pytest.skip(reason)
    for package, digest in PACKAGES.items():
        archive = folder / f"{package.replace('@', '-')}.tgz"
        assert hashlib.sha512(archive.read_bytes()).hexdigest() == digest, f"{package} is not what it was"
        with tarfile.open(archive) as members:
            members.extractall(modules, filter="data")
        (modules / "package").rename(modules / package.partition("@")[0])
        archive.unlink()


def run_queries(vault: Path, *, now_ms: int | None = None) -> list[Answer]:
    """Run every `dataview` block of every page, in the order of paths, in UTC; `now_ms` is what `date(today)` goes by.

    Raises AssertionError when the vault cannot be read, as when a page's front matter is not YAML.
    """
    given = [] if now_ms is None else [str(now_ms)]
    done = subprocess.run(
        ["node", str(HERE / "run.cjs"), str(install()), str(vault), *given],
        capture_output=True, text=True, encoding="utf-8", timeout=120,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "en_US.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Answer(**answer) for answer in json.loads(done.stdout)]
