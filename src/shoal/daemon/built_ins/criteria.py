"""Whether a task's criteria hold for a commit, as far as the ledger knows. Checked they are where the work is done:
worker/verification.py.
"""

from __future__ import annotations

from msgspec import Struct

from shoal.ledger import Ledger
from shoal.model.event import Event, Kind
from shoal.model.session import Branch
from shoal.model.task import Status, Task


class Standing(Struct, frozen=True):
    """What stands against a task's work, and what is waited for. Nothing of both: its criteria hold."""

    findings: list[str] = []
    waits: list[str] = []


def standing(ledger: Ledger, task: Task, branches: list[Branch], head: str) -> Standing:
    """How a task that is finished or in review stands; `branches` are what its sessions left, the newest first."""
    name = task.task_id
    if task.status not in (Status.REVIEW, Status.COMPLETED):
        return Standing([f"{name} is {task.status.value}"])
    if branches and branches[0].head != head:
        left = branches[0].head[:12]
        return Standing([f"{name} was verified at {left}, and what was pushed since then was not"])
    verified = _newest(ledger, task, Kind.TASK_VERIFIED)
    if verified is not None and verified.attempt != task.attempt:
        verified = None
    if task.status is Status.COMPLETED and _is_judged_by_someone(ledger, task, verified):
        return Standing()
    if verified is None:
        if task.status is Status.REVIEW:
            return Standing(waits=[f"{name} awaits its verdict"])
        return Standing([f"the success criteria of {name} were not checked"] if task.success_criteria else [])
    if failed := verified.data["failed"]:
        return Standing([f"{len(failed)} of what {name} must fulfil did not hold: `shoal events --task {name}`"])
    if manual := verified.data["manual"]:
        return Standing(waits=[f"{name} awaits its verdict: {len(manual)} of its criteria are for a person to judge"])
    return Standing()


def _is_judged_by_someone(ledger: Ledger, task: Task, verified: Event | None) -> bool:
    """Whether a verdict, or somebody who completed it without an attempt, came after the check."""
    begun = _newest(ledger, task, Kind.TASK_CLAIMED)  # an earlier attempt's verdict is not about this one's work
    after = max(0 if one is None else one.id for one in (verified, begun))
    verdicts = [_newest(ledger, task, Kind.TASK_APPROVED), _newest(ledger, task, Kind.TASK_COMPLETED)]
    return any(
        one is not None and one.id > after and (one.kind == Kind.TASK_APPROVED or one.attempt is None)
        for one in verdicts
    )


def _newest(ledger: Ledger, task: Task, kind: Kind) -> Event | None:
    page = ledger.events.list(task=task.id, kind=kind, limit=1)
    return page[0] if page else None
