"""The logs of runs, for those who read them on the machine where they are. Who writes them: job_runner.py."""

from __future__ import annotations

import socket
from pathlib import Path

from shoal.adapters.processes.log_file import Follower
from shoal.model.job import Run

__all__ = ["Follower", "reader"]


def reader(run: Run) -> Follower | None:
    """The whole log of a run, also while it grows; None when it is not on this machine, or not any more."""
    if run.log is None or run.server is None or not run.server.startswith(f"{socket.gethostname()}-"):
        return None
    path = Path(run.log)
    return Follower(path, whole=True) if path.is_file() else None
