"""Jobs that fail, fail now and then, are overdue, or take much longer than they used to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.ledger import Ledger
from shoal.model.check import Finding
from shoal.model.item import Severity
from shoal.model.job import BAD, Job, Run, RunStatus

NAME = "jobs-health"
VERSION = "1"
PAGE = 500
_JUDGED = BAD | {RunStatus.SUCCESS}


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a job is not well."""

    failures: Annotated[int, Meta(ge=1, le=100, description="bad runs in a row, from which a job is failing; 3")] = 3
    critical_failures: Annotated[int, Meta(ge=1, le=1000, description="from so many in a row it is critical; 10")] = 10
    runs: Annotated[int, Meta(ge=4, le=1000, description="how many of its last runs are looked at; 20")] = 20
    changes: Annotated[
        int, Meta(ge=2, le=1000, description="changes between good and bad among them, from which it is flapping; 4")
    ] = 4
    overdue_minutes: Annotated[int, Meta(ge=1, le=100_000, description="how late a slot may be entered; 15")] = 15
    slow_factor: Annotated[float, Meta(gt=1, le=1e6, description="times its usual time that is slow; 3")] = 3.0
    slow_seconds: Annotated[int, Meta(ge=0, le=604_800, description="what is shorter than this is not slow; 60")] = 60


def run(context: Context) -> Iterator[Finding]:
    """Look at every job and its last runs."""
    ledger: Ledger = context.ledger
    options: Options = context.options
    cursor: str | None = None
    while True:
        page = ledger.jobs.list(limit=PAGE, cursor=cursor)
        for job in page:
            runs = list(ledger.jobs.runs(job.definition.name, limit=options.runs)) if job.run_count else []
            yield from _of(job, runs, options, context.now_ms)
        cursor = page.next
        if cursor is None:
            return


def _of(job: Job, runs: list[Run], options: Options, now: int) -> Iterator[Finding]:
    name = job.definition.name
    if not job.definition.enabled:
        return
    late = 0 if job.next_fire_at is None else (now - job.next_fire_at) // 60_000
    if late >= options.overdue_minutes:
        yield _finding("overdue", name, f"Job {name} should have fired {late} minutes ago; does a server run?")
    ended = [one for one in runs if one.status in _JUDGED]  # the newest first
    failures = next((place for place, one in enumerate(ended) if one.status not in BAD), len(ended))
    if failures >= options.failures:
        reason = f": {ended[0].reason}" if ended[0].reason else ""
        severity = Severity.CRITICAL if failures >= options.critical_failures else Severity.WARNING
        yield _finding("failing", name, f"Job {name} has failed {failures} times in a row{reason}"[:2000], severity)
    else:
        changes = sum((one.status in BAD) != (before.status in BAD) for one, before in pairwise(ended))
        if changes >= options.changes:
            bad = sum(one.status in BAD for one in ended)
            yield _finding(
                "flapping", name, f"Job {name} has failed in {bad} of its last {len(ended)} runs, now and then"
            )
    yield from _slow(name, [one for one in ended if one.status is RunStatus.SUCCESS], options)


def _slow(name: str, good: list[Run], options: Options) -> Iterator[Finding]:
    took = [one.duration_ms or 0 for one in good]
    if len(took) < 4 or took[0] < 1000 * options.slow_seconds:
        return
    usual = median(took[1:])
    if took[0] >= options.slow_factor * usual:
        message = f"Job {name} took {took[0] / 1000:.0f} s, where {usual / 1000:.0f} s are usual"
        yield _finding("slow", name, message, Severity.INFO)


def _finding(rule: str, job: str, message: str, severity: Severity = Severity.WARNING) -> Finding:
    return Finding(rule=rule, message=message, severity=severity, key=job, title=f"Job {job} is {rule}")
