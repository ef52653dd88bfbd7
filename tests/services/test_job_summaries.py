"""Jobs in one look: the run that began last, the one that ended last."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import NotFound
from shoal.model.job import RunStatus
from shoal.services import job_summaries
from shoal.services.job_summaries import Summary
from tests.conftest import FakeClock


def summary(ledger: Ledger, job: str = "sweep") -> tuple[Summary, str | None]:
    found: tuple[Summary, str | None] = ledger.engine.read(  # type: ignore[attr-defined]
        partial(job_summaries.of_one, job=job)
    )
    return found


def test_summary_tells_the_last_end_while_the_next_run_is_under_way(
    ledger: Ledger, make_job: Any, claim: Any, end: Any, fire: Any, clock: FakeClock
) -> None:
    make_job()
    found, output = summary(ledger)
    assert (found.running, found.began, found.ended, output) == (False, None, None, None)
    clock.advance(60)
    fire()
    [first] = claim()
    assert (summary(ledger)[0].running, summary(ledger)[0].ended) == (True, None)
    clock.advance(3)
    end(first.run.id, RunStatus.FAILED, output="oops")
    clock.advance(57)
    fire()
    [second] = claim()
    clock.advance(60)
    fire()
    assert ledger.runs.list(limit=1)[0].status is RunStatus.SKIPPED
    found, output = summary(ledger)
    assert found.running
    assert found.began is not None
    assert found.ended is not None
    assert (found.began.id, found.ended.id, found.ended.duration_ms) == (second.run.id, first.run.id, 3000)
    assert output == "oops"


def test_all_jobs_are_there_however_many(ledger: Ledger, make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_summaries, "PAGE", 2)
    for name in "abcde":
        make_job(name)
    found = ledger.engine.read(job_summaries.of_all)  # type: ignore[attr-defined]
    assert [one.job.definition.name for one in found] == list("abcde")
    with pytest.raises(NotFound):
        summary(ledger, "f")
