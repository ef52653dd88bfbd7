"""Whether a task's criteria hold for a commit, as far as the ledger knows. Checked they are where the work is done:
worker/verification.py.
"""

from __future__ import annotations

from msgspec import Struct

from shoal.adapters.screens.hit import shown
from shoal.ledger import Ledger
from shoal.model.event import Event, Kind
from shoal.model.session import Branch
from shoal.model.task import Status, Task


class Left(Struct, frozen=True):
    """A branch as a session left it, and the attempt that this was in."""

    attempt: int
    branch: Branch


class Standing(Struct, frozen=True):
    """What stands against a task's work, and what is waited for. Nothing of both: its criteria hold."""

    findings: list[str] = []
    waits: list[str] = []


def standing(ledger: Ledger, task: Task, sessions: list[Left], branch: str, head: str) -> Standing:
    """How a task that is finished or in review stands, and whether that is about this commit of this branch.

    `sessions` are what its sessions left in the repository of the commit, the newest first.
    """
    name = task.task_id
    if task.status not in (Status.REVIEW, Status.COMPLETED):
        return Standing([f"{name} is {task.status.value}"])
    if sessions and (finding := _elsewhere(name, sessions, branch, head)):
        return Standing([finding])
    verified = _newest(ledger, task, Kind.TASK_VERIFIED)
    if verified is not None and verified.attempt != task.attempt:
        verified = None
    if task.status is Status.COMPLETED and _is_judged_by_someone(ledger, task, verified):
        return Standing()
    if task.status is Status.REVIEW and verified is None:
        return Standing(waits=[f"{name} awaits its verdict"])
    if not any(one.attempt == task.attempt for one in sessions):
        if task.status is Status.REVIEW:
            return Standing(waits=[f"{name} awaits its verdict: none of its sessions left this commit"])
        return Standing(
            [f"nothing says that this is what {name} was completed with: no session of it left this commit"]
        )
    if verified is None:
        return Standing([f"the success criteria of {name} were not checked"] if task.success_criteria else [])
    if failed := verified.data["failed"]:
        return Standing([f"{len(failed)} of what {name} must fulfil did not hold: `shoal events --task {name}`"])
    if manual := verified.data["manual"]:
        return Standing(waits=[f"{name} awaits its verdict: {len(manual)} of its criteria are for a person to judge"])
    return Standing()


def _elsewhere(name: str, sessions: list[Left], branch: str, head: str) -> str | None:
    """What is wrong with a commit that is not what the newest attempt with work in its repository left."""
    heads: dict[str, str] = {}
    newest = max(one.attempt for one in sessions)
    for one in sessions:
        if one.attempt == newest:
            heads.setdefault(one.branch.branch, one.branch.head)
    if heads.get(branch, head) != head:
        return f"{name} was verified at {heads[branch][:12]}, and what was pushed since then was not"
    if head not in heads.values():
        left = ", ".join(f"{shown(one)} at {at[:12]}" for one, at in heads.items())
        return f"{name} was verified on another branch: its sessions left {left}"
    return None


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
