"""Jobs that fire on an occasion: a new commit, or that nothing is active. Whoever looks for it: daemon/occasions.py.

Any number of servers look; the job is locked while its run is made, so that each occasion makes one.
"""

from __future__ import annotations

from shoal.model.job import Cause, Job, Overlap, job_from_row
from shoal.services import runs
from shoal.services.firing import enter, slot_of
from shoal.services.slots import occasion
from shoal.services.transaction import Tx


def watched(tx: Tx) -> list[Job]:
    """The jobs that fire, and not by the clock."""
    found = map(job_from_row, tx.all("jobs.on_occasion"))
    return [job for job in found if occasion(job.definition.schedule) is not None]


def commit(tx: Tx, *, job: str, head: str) -> bool:
    """Fire a job because its checkout is at another commit than the last time; False when it is too early for that.

    The same commit fires it once, whichever server sees it.
    """
    found = _waiting_for(tx, job, Cause.COMMIT)
    if found is None:
        return True
    if _is_busy(tx, found):
        return False
    if tx.one("jobs.move_head", job=job, head=head) is not None:
        enter(tx, found, slot_of(tx, job, Cause.COMMIT), Cause.COMMIT, under_way=runs.under_way(tx, job))
    return True


def idle(tx: Tx, *, job: str) -> bool:
    """Fire a job because nothing is active, if nothing is, and its last time was long enough ago; whether it fired."""
    found = _waiting_for(tx, job, Cause.IDLE)
    if found is None or _is_busy(tx, found) or tx.one("jobs.at_work") is not None:
        return False
    row = tx.one("runs.last_occasion", job=job, occasion=Cause.IDLE.value)
    wanted = occasion(found.definition.schedule)
    if row is not None and row[0] is not None and wanted is not None and tx.now - row[0] < wanted[1]:
        return False
    return enter(tx, found, slot_of(tx, job, Cause.IDLE), Cause.IDLE, under_way=runs.under_way(tx, job)) is not None


def _waiting_for(tx: Tx, name: str, cause: Cause) -> Job | None:
    row = tx.one("jobs.lock", name=name)
    if row is None:
        return None
    job = job_from_row(row)
    wanted = occasion(job.definition.schedule)
    return job if job.definition.enabled and wanted is not None and wanted[0] is cause else None


def _is_busy(tx: Tx, job: Job) -> bool:
    """Whether its run would be skipped now: it is better made a little later."""
    return job.definition.overlap is Overlap.FORBID and bool(runs.under_way(tx, job.definition.name))
