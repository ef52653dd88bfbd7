"""Jobs in one look each: what their last runs came to. For those who ask in the words of the service before Shoal."""

from __future__ import annotations

from msgspec import Struct

from shoal.model.job import Job, Run, RunStatus
from shoal.services import jobs, runs
from shoal.services.transaction import Tx

PAGE = 500
LOOKED_AT = 20  # runs of a job; behind so many skipped ones nobody looks for an older end
TOLD = frozenset({RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.ERROR, RunStatus.CANCELLED})


class Summary(Struct, frozen=True):
    """A job, whether it runs, the last run that began, and the last one that ended; without output."""

    job: Job
    running: bool
    began: Run | None
    ended: Run | None


def of_all(tx: Tx) -> list[Summary]:
    """All jobs in the order of their names."""
    found: list[Summary] = []
    cursor: str | None = None
    while True:
        page = jobs.list_(tx, cursor=cursor, limit=PAGE)
        found += [_summary(tx, one) for one in page]
        cursor = page.next
        if cursor is None:
            return found


def of_one(tx: Tx, *, job: str) -> tuple[Summary, str | None]:
    """One job, and the end of its last output. Raises NotFound."""
    summary = _summary(tx, jobs.get(tx, job=job))
    return summary, None if summary.ended is None else runs.get(tx, run=summary.ended.id).output


def _summary(tx: Tx, job: Job) -> Summary:
    found = runs.list_(tx, job=job.definition.name, limit=LOOKED_AT)
    began = next((one for one in found if one.started_at is not None), None)
    ended = next((one for one in found if one.status in TOLD), None)
    return Summary(job, any(one.status is RunStatus.RUNNING for one in found), began, ended)
