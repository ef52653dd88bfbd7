"""Which peers there are, and an environment of its own for each under .bench."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent
ENVIRONMENTS = Path(__file__).parents[2] / ".bench"
PATIENCE = 300


class NotMeasured(Exception):
    """Why a peer cannot be run here."""


@dataclass(frozen=True)
class Peer:
    """Another queue: its program, what that needs, and how it differs from Shoal."""

    name: str
    store: str
    packages: tuple[str, ...]
    notes: str

    @property
    def version(self) -> str:
        return self.packages[0].rpartition("@" if self.node else "==")[2]

    @property
    def node(self) -> bool:
        return "==" not in self.packages[0]

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name

    def command(self) -> list[str]:
        """How its program is started."""
        name = self.name.replace("-", "_")
        if self.node:
            # A module is resolved from where it lies, so the programs lie beside the packages.
            for file in ("harness.mjs", f"{name}.mjs"):
                shutil.copy(PROGRAMS / file, self.folder)
            own = self.folder / "node_modules" / ".bin" / "node"
            return [str(own) if own.exists() else "node", str(self.folder / f"{name}.mjs")]
        return [str(self.folder / "bin" / "python"), str(PROGRAMS / f"{name}_peer.py")]


# Both Node peers need a newer Node than many machines have, so one of their own is among their packages.
NODE = "node@22.23.3"
PEERS = (
    Peer(
        "huey",
        "SQLite",
        ("huey==3.5.4",),
        "fsync=True, that is synchronous=FULL. So many processes at one file, as its consumers are, where Shoal has "
        "threads at one ledger. It deletes the row when a job is taken: no acknowledgement, no lease, and a job is "
        "lost with its worker. No bulk call.",
    ),
    Peer("honker", "SQLite", ("honker==0.2.4",), "Only its installation is tried."),
    Peer(
        "procrastinate",
        "PostgreSQL",
        ("procrastinate==3.10.0", "psycopg[binary]==3.3.9"),
        "One process with asyncio workers, a pool of 16 connections. Keeps a row for each job and for each of its "
        "events, as Shoal does. Latency is of its job manager's fetch_job and finish_job, without its worker. No "
        "batched mode.",
    ),
    Peer(
        "pgqueuer",
        "PostgreSQL",
        ("pgqueuer==1.6.0", "asyncpg==0.32.0"),
        "One process, a queue manager with a connection of its own for each worker, batch size 1. Completions are "
        "buffered and written behind the jobs: a crash runs those again. Latency is of its dequeue and log_jobs, "
        "without its manager. Deletes the job and keeps rows of a log.",
    ),
    Peer(
        "dbos",
        "PostgreSQL",
        ("dbos==3.4.0", "psycopg[binary]==3.3.9"),
        "Each job is a durable workflow, a heavier thing than a task. Its queues poll, here every 10 ms (its default "
        "is 1 s), and with one worker a poll starts one job: its drain and its latency are mostly waiting. One "
        "process with threads. No bulk call; in place of batches a queue without a limit, of 1,000 jobs.",
    ),
    Peer(
        "graphile-worker",
        "PostgreSQL",
        ("graphile-worker@0.18.0", NODE),
        "One Node process. Deletes the job when it is completed and keeps no record of it. Latency is from job to job "
        "of one worker. Stopping it left the jobs in hand locked, which is let pass here.",
    ),
    Peer(
        "pg-boss",
        "PostgreSQL",
        ("pg-boss@12.20.0", NODE),
        "One Node process with loops of fetch and complete, for its own loop polls at most twice a second. Keeps the "
        "job's row. Sorts all ready jobs at every fetch, so its figures hang on the backlog.",
    ),
)


def prepare(peer: Peer) -> None:
    """Make its environment, once for each set of packages."""
    made = peer.folder / "made.json"
    if made.exists() and json.loads(made.read_text()) == list(peer.packages):
        return
    shutil.rmtree(peer.folder, ignore_errors=True)
    peer.folder.mkdir(parents=True)
    if peer.node:
        if shutil.which("npm") is None or shutil.which("node") is None:
            raise NotMeasured("node is not installed")
        (peer.folder / "package.json").write_text('{"private": true}')
        _install(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(peer.folder), *peer.packages])
    else:
        _install([sys.executable, "-m", "venv", str(peer.folder)])
        pip = [str(peer.folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        _install([*pip, *peer.packages])
    made.write_text(json.dumps(peer.packages))


def _install(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"cannot be installed here: no end after {PATIENCE} s") from None
    if done.returncode:
        raise NotMeasured(f"cannot be installed here: {reason(done.stderr, first=True)}")


def reason(errors: str, *, first: bool = False) -> str:
    """The line of a program's complaints that says most, without the paths and hosts in it."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or [""]
    telling = [line for line in lines if re.match(r"(npm )?\w*error\b", line, re.IGNORECASE)]
    telling = [line for line in telling if "subprocess-exited" not in line] or lines[-1:]
    line = re.sub(r"\S*/\S*|\b(?:[\w-]+\.)+[a-z]{2,}\b", "…", telling[0 if first else -1])
    return re.sub(r"^(?:npm )?error[: ]+", "", line, flags=re.IGNORECASE)[:200]
