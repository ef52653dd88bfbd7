"""Jobs that run what Shoal brings along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.daemon.job_runner import JobRunner
from shoal.daemon.scheduler import Scheduler
from shoal.model.job import Run
from shoal.settings import Home
from tests.conftest import wait_until

Fire = Callable[..., Run]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def fire(home: Home) -> Iterator[Fire]:
    """Makes a job of a built-in, fires it, and answers with its run."""
    runners: list[JobRunner] = []

    def fire(ledger: Ledger, name: str, **options: Any) -> Run:
        engine: Any = ledger.engine
        runner = JobRunner(engine, home)
        runners.append(runner)
        job = f"{name}-{len(runners)}"
        action = {"kind": "built_in", "name": name, "options": options}
        ledger.jobs.create(name=job, schedule="@yearly", action=action)
        made = ledger.jobs.trigger(job)
        Scheduler(engine, runner).tick()

        def look() -> Run | None:
            found = ledger.runs.get(made.id)
            return None if found.status in {"waiting", "running"} else found

        return wait_until(look)  # type: ignore[no-any-return]

    yield fire
    for runner in runners:
        runner.stop(10)
