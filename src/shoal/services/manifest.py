"""The manifest of jobs and the ledger: the sync that somebody asks for, and that of a server that saw it change.

What a job may be and how one is changed: jobs.py. Where the manifest is: adapters/manifests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial

import msgspec

from shoal.errors import ShoalError
from shoal.model.event import Kind
from shoal.model.job import Applied, Definition
from shoal.model.manifest import SOURCE, JobChange, Manifest, Problem, Synced
from shoal.services import jobs
from shoal.services.outside import Outside
from shoal.services.transaction import Tx
from shoal.services.verb import verb

APPLIED = "manifest"  # facts: what was applied last, on whichever server
PROBLEM = "manifest_problem"
Outcome = tuple[Applied, list[JobChange]]
Work = Callable[[list[Definition]], Outcome]
_encode = msgspec.json.Encoder(order="deterministic").encode


@verb("POST /jobs/sync", outside=True)
def sync(outside: Outside, *, dry_run: bool = False) -> Synced:
    """Make the jobs of the manifest what it says now; with `dry_run` only tell what that would change.

    Jobs that it no longer has are taken away, jobs made by API stay, and runs under way go on. All of it or nothing:
    what cannot be is refused with file, line and reason.
    """
    manifest = outside.manifest()
    if dry_run:
        applied, changes = outside.read(lambda tx: _placed(manifest, partial(jobs.compare, tx, SOURCE)))
    else:
        applied, changes = outside.write(lambda tx: _apply(tx, manifest))
    return _synced(manifest, applied, changes, dry_run=dry_run)


@verb("GET /jobs/sync")
def problem(tx: Tx) -> Problem:
    """Why the manifest of jobs is not taken up, as the servers found it last; null when it is."""
    return Problem(_fact(tx, PROBLEM) or None)


def follow(outside: Outside, manifest: Manifest) -> Synced | None:
    """The same with a manifest that was read, when it is another than the one that was applied last; else None.

    So a restart does not undo what people changed since, and any number of servers do it once.
    """
    if outside.read(lambda tx: _fact(tx, APPLIED)) == _digest(manifest):
        if outside.read(lambda tx: _fact(tx, PROBLEM)):
            outside.write(lambda tx: tx.all("facts.set", name=PROBLEM, value=""))
        return None
    applied, changes = outside.write(lambda tx: _apply(tx, manifest))
    return _synced(manifest, applied, changes, dry_run=False)


def tell_problem(tx: Tx, *, reason: str) -> None:
    """Tell why the manifest is not applied: once, however many servers and looks find it so."""
    if _fact(tx, PROBLEM) == reason:
        return
    tx.all("facts.set", name=PROBLEM, value=reason)
    line = re.search(r"\bline (\d+)", reason)
    tx.emit(Kind.JOBS_REFUSED, data={"reason": reason[:2000]} | ({"line": int(line[1])} if line else {}))


def _apply(tx: Tx, manifest: Manifest) -> Outcome:
    # First: it keeps other servers from comparing until this one has committed.
    tx.all("facts.set", name=APPLIED, value=_digest(manifest))
    if _fact(tx, PROBLEM):
        tx.all("facts.set", name=PROBLEM, value="")

    def change(definitions: list[Definition]) -> Outcome:
        _, changes = jobs.compare(tx, SOURCE, definitions)
        return jobs.apply(tx, SOURCE, definitions), changes

    return _placed(manifest, change)


def _placed(manifest: Manifest, work: Work) -> Outcome:
    """Errors say where it stands in the manifest."""
    try:
        return work(manifest.definitions)
    except ShoalError as error:
        place = manifest.place(error.field) if error.field else ""
        if not place:
            raise
        raise type(error)(f"{place}: {error.message}", field=error.field) from None


def _synced(manifest: Manifest, applied: Applied, changes: list[JobChange], *, dry_run: bool) -> Synced:
    counts = [
        (len(applied.added), "added"),
        (len(applied.removed), "removed"),
        (len(applied.rescheduled), "rescheduled"),
        (len(applied.changed), "changed"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    message = f"would be: {told}" if dry_run and told else told or "nothing to change"
    return Synced(
        success=True,
        message=message,
        sha=manifest.sha,
        jobs_added=applied.added,
        jobs_removed=applied.removed,
        jobs_rescheduled=applied.rescheduled,
        jobs_changed=applied.changed,
        changes=changes,
    )


def _digest(manifest: Manifest) -> str:
    """Of what it means: a comment that is added changes nothing."""
    written = sorted(manifest.definitions, key=lambda one: one.name)
    return hashlib.sha256(_encode(written)).hexdigest()


def _fact(tx: Tx, name: str) -> str | None:
    row = tx.one("facts.get", name=name)
    return None if row is None else row[0]
