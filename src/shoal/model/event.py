"""What an event is, and the closed set of their kinds. Who writes them: services; who reads: services/events.py."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct


class Kind(StrEnum):
    """Every kind of event there is."""

    TASK_CREATED = "task.created"
    TASK_UPDATED = "task.updated"
    TASK_DUE = "task.due"
    TASK_UNBLOCKED = "task.unblocked"
    TASK_HELD = "task.held"
    TASK_UNHELD = "task.unheld"
    TASK_CLAIMED = "task.claimed"
    TASK_STARTED = "task.started"
    TASK_PROGRESSED = "task.progressed"
    TASK_RELEASED = "task.released"
    TASK_COMPLETED = "task.completed"
    TASK_SUBMITTED = "task.submitted"
    TASK_RETRIED = "task.retried"
    TASK_FAILED = "task.failed"
    TASK_EXPIRED = "task.expired"
    TASK_APPROVED = "task.approved"
    TASK_REJECTED = "task.rejected"
    TASK_CANCELLED = "task.cancelled"
    TASK_REOPENED = "task.reopened"
    TASK_RATED = "task.rated"
    TASK_COMMENTED = "task.commented"
    TASK_WRITTEN = "task.written"
    TASK_REPORTED = "task.reported"
    TASK_SHARED = "task.shared"
    TASK_NOTED = "task.noted"
    TASK_DISCOVERED = "task.discovered"
    TASK_ARCHIVED = "task.archived"
    TASK_RESTORED = "task.restored"
    TASK_MIGRATED = "task.migrated"
    TASK_RECALLED = "task.recalled"
    TASK_JOINED = "task.joined"
    TASK_LEFT = "task.left"
    DEPENDENCY_ADDED = "dependency.added"
    DEPENDENCY_REMOVED = "dependency.removed"
    QUEUE_PAUSED = "queue.paused"
    QUEUE_RESUMED = "queue.resumed"
    QUEUE_LIMITED = "queue.limited"
    LOCK_ACQUIRED = "lock.acquired"
    LOCK_RELEASED = "lock.released"
    TASK_TOLD = "task.told"
    TASK_HEARD = "task.heard"
    TASK_VERIFIED = "task.verified"
    TASK_WARNED = "task.warned"
    TASK_STALE = "task.stale"
    TASK_ORPHANED = "task.orphaned"
    TASK_RESCUED = "task.rescued"
    SESSION_STARTED = "session.started"
    SESSION_SAID = "session.said"
    SESSION_ENDED = "session.ended"
    TOOL_STARTED = "tool.started"
    TOOL_COMPLETED = "tool.completed"
    TOOL_FAILED = "tool.failed"
    COST_RECORDED = "cost.recorded"
    PULL_REQUEST_OPENED = "pull_request.opened"
    TASK_REGISTERED = "task.registered"
    TASK_DEREGISTERED = "task.deregistered"
    TOKEN_ISSUED = "token.issued"  # noqa: S105 - a name
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a name
    TOKEN_UNREVOKED = "token.unrevoked"  # noqa: S105 - a name
    PULL_REQUEST_REVIEWED = "pull_request.reviewed"
    PULL_REQUEST_MERGED = "pull_request.merged"
    VAULT_UNREADABLE = "vault.unreadable"
    VAULT_CONFLICT = "vault.conflict"
    SYNC_REQUESTED = "sync.requested"
    JOB_CREATED = "job.created"
    JOB_CHANGED = "job.changed"
    JOB_REMOVED = "job.removed"
    JOB_MISSED = "job.missed"
    RUN_REQUESTED = "run.requested"
    RUN_STARTED = "run.started"
    RUN_STOPPED = "run.stopped"
    RUN_ENDED = "run.ended"
    RUN_SKIPPED = "run.skipped"
    JOBS_REFUSED = "jobs.refused"
    SETTINGS_REFUSED = "settings.refused"
    ITEM_CREATED = "item.created"
    ITEM_FOUND = "item.found"
    ITEM_UPDATED = "item.updated"
    ITEM_MOVED = "item.moved"
    ITEM_ACCEPTED = "item.accepted"
    ITEM_REJECTED = "item.rejected"
    ITEM_REOPENED = "item.reopened"
    ITEM_STALE = "item.stale"
    ITEM_RETURNED = "item.returned"
    ITEM_DONE = "item.done"
    ITEM_LINKED = "item.linked"
    ITEM_MERGED = "item.merged"
    ITEM_ASSESSED = "item.assessed"
    ITEM_PRIORITISED = "item.prioritised"
    ITEM_DECOMPOSED = "item.decomposed"
    SCAN_ENDED = "scan.ended"
    BROADCAST = "broadcast"


# What an agent says and does while it runs: hundreds of lines a minute, for those who follow its session.
OF_SESSIONS = frozenset(
    {
        Kind.SESSION_STARTED,
        Kind.SESSION_SAID,
        Kind.SESSION_ENDED,
        Kind.TOOL_STARTED,
        Kind.TOOL_COMPLETED,
        Kind.TOOL_FAILED,
        Kind.TASK_HEARD,
    }
)
# What fires by the clock.
OF_JOBS = frozenset(
    {
        Kind.JOB_CREATED,
        Kind.JOB_CHANGED,
        Kind.JOB_REMOVED,
        Kind.JOB_MISSED,
        Kind.RUN_REQUESTED,
        Kind.RUN_STARTED,
        Kind.RUN_STOPPED,
        Kind.RUN_ENDED,
        Kind.RUN_SKIPPED,
        Kind.JOBS_REFUSED,
    }
)
# The backlog.
OF_ITEMS = frozenset({kind for kind in Kind if kind.startswith(("item.", "scan."))})
# What the broker does; it changes nothing that people read about a task.
OF_TOKENS = frozenset(
    {
        Kind.TASK_REGISTERED,
        Kind.TASK_DEREGISTERED,
        Kind.TOKEN_ISSUED,
        Kind.TOKEN_REVOKED,
        Kind.TOKEN_UNREVOKED,
    }
)
# Those of which a run has so many that nobody finds anything else between them; `no_steps` in events.sql.
STEPS = frozenset({Kind.SESSION_SAID, Kind.TOOL_STARTED, Kind.TOOL_COMPLETED, Kind.TOOL_FAILED, Kind.COST_RECORDED})

KIND_MEANINGS = {
    Kind.TASK_CREATED: "a task came into the ledger",
    Kind.TASK_UPDATED: "fields of a task were changed",
    Kind.TASK_DUE: "a scheduled task's time came and it was queued",
    Kind.TASK_UNBLOCKED: "a task it waited for completed or was taken away, and nothing holds it back",
    Kind.TASK_HELD: "a task was held back, with a reason",
    Kind.TASK_UNHELD: "a hold was lifted",
    Kind.TASK_CLAIMED: "a worker took the task; a new attempt began",
    Kind.TASK_STARTED: "the worker began the work itself",
    Kind.TASK_PROGRESSED: "the worker reported how far it is",
    Kind.TASK_RELEASED: "the worker gave the task back; the attempt does not count",
    Kind.TASK_COMPLETED: "the task is done",
    Kind.TASK_SUBMITTED: "the work is done and awaits a verdict",
    Kind.TASK_RETRIED: "an attempt failed and the task waits for its next one",
    Kind.TASK_FAILED: "the task was given up",
    Kind.TASK_EXPIRED: "the worker's lease ended without a word and the task was taken back",
    Kind.TASK_APPROVED: "a review said yes",
    Kind.TASK_REJECTED: "a review said no, and the task waits for another attempt",
    Kind.TASK_CANCELLED: "the task was called off",
    Kind.TASK_REOPENED: "a finished task was put back to work",
    Kind.TASK_RATED: "someone gave feedback on the work",
    Kind.TASK_COMMENTED: "someone said something about the task",
    Kind.TASK_WRITTEN: "the body of the task was written",
    Kind.TASK_REPORTED: "a result was added to the task's file",
    Kind.TASK_SHARED: "a key of the task's shared context was set",
    Kind.TASK_NOTED: "an agent wrote a private note on the task",
    Kind.TASK_DISCOVERED: "an agent found something out that the participants should know",
    Kind.TASK_ARCHIVED: "the task's files were packed into an archive",
    Kind.TASK_RESTORED: "the task's files came back from the archive",
    Kind.TASK_MIGRATED: "the task came from an older vault",
    Kind.TASK_RECALLED: "something happened to the task before it came here",
    Kind.TASK_JOINED: "an agent joined the task",
    Kind.TASK_LEFT: "an agent left the task",
    Kind.DEPENDENCY_ADDED: "a task was made to wait for, or point at, another",
    Kind.DEPENDENCY_REMOVED: "a dependency was taken away",
    Kind.QUEUE_PAUSED: "a queue was paused: nothing is claimed from it",
    Kind.QUEUE_RESUMED: "a paused queue was opened again",
    Kind.QUEUE_LIMITED: "a queue's concurrency limit was set or lifted",
    Kind.LOCK_ACQUIRED: "a lock got a new owner",
    Kind.LOCK_RELEASED: "a lock was given back",
    Kind.TASK_TOLD: "someone told whoever works on the task something",
    Kind.TASK_HEARD: "what someone told the task was delivered to its agent",
    Kind.TASK_VERIFIED: "the success criteria were checked",
    Kind.TASK_WARNED: "an attempt takes longer than was thought; it will be ended",
    Kind.TASK_STALE: "nothing has happened to the task for long",
    Kind.TASK_ORPHANED: "whoever worked on the task is gone, and what was left of it was found",
    Kind.TASK_RESCUED: "work that could not be pushed was brought to the vault, or could not be either",
    Kind.SESSION_STARTED: "an agent began, or went on with, a session about the task",
    Kind.SESSION_SAID: "the agent said something",
    Kind.SESSION_ENDED: "an episode of the agent ended",
    Kind.TOOL_STARTED: "the agent called a tool",
    Kind.TOOL_COMPLETED: "a tool answered",
    Kind.TOOL_FAILED: "a tool failed",
    Kind.COST_RECORDED: "model calls were put on the account of what they were for",
    Kind.PULL_REQUEST_OPENED: "a pull request was opened for the task",
    Kind.TASK_REGISTERED: "someone said which repositories the task may have tokens for",
    Kind.TASK_DEREGISTERED: "the task may have no tokens any more",
    Kind.TOKEN_ISSUED: "a token was made for the task's attempt, or for a service",
    Kind.TOKEN_REVOKED: "a token was ended before its time",
    Kind.TOKEN_UNREVOKED: "a token should end and could not be ended; it ends by itself within its hour",
    Kind.PULL_REQUEST_REVIEWED: "a commit of the task's pull request was approved or commented on",
    Kind.PULL_REQUEST_MERGED: "the task's pull request was merged",
    Kind.VAULT_UNREADABLE: "a file of the vault cannot be read and was left alone",
    Kind.VAULT_CONFLICT: "two versions of a file could not be made one, and both were kept",
    Kind.SYNC_REQUESTED: "someone asked for a sync of the vault",
    Kind.JOB_CREATED: "a job was made",
    Kind.JOB_CHANGED: "a job was changed, enabled or disabled",
    Kind.JOB_REMOVED: "a job was taken away; its history stays",
    Kind.JOB_MISSED: "slots of a job passed without a run, and are not made up for",
    Kind.RUN_REQUESTED: "someone triggered a job",
    Kind.RUN_STARTED: "a server began a run of a job",
    Kind.RUN_STOPPED: "a run of a job was asked to end",
    Kind.RUN_ENDED: "a run of a job ended",
    Kind.RUN_SKIPPED: "a slot was skipped, because a run of its job was under way",
    Kind.JOBS_REFUSED: "the manifest of jobs cannot be read or meant, and the jobs stay as they are",
    Kind.SETTINGS_REFUSED: "a changed shoal.toml cannot be meant, and the settings before it stay in force",
    Kind.ITEM_CREATED: "someone made a work item",
    Kind.ITEM_FOUND: "a scan, a check or an import brought a work item",
    Kind.ITEM_UPDATED: "fields of a work item were changed",
    Kind.ITEM_MOVED: "a scan found the work item elsewhere, or in other words",
    Kind.ITEM_ACCEPTED: "the work item is worth doing, says a person or a rule",
    Kind.ITEM_REJECTED: "the work item will not be done, says a person or a rule",
    Kind.ITEM_REOPENED: "a work item that was done or rejected is open again",
    Kind.ITEM_STALE: "the last scans did not see the work item",
    Kind.ITEM_RETURNED: "a stale work item was seen again",
    Kind.ITEM_DONE: "the work item is done",
    Kind.ITEM_LINKED: "a file or another item was linked to the work item, or the link taken away",
    Kind.ITEM_MERGED: "the work item is the same as another one",
    Kind.ITEM_ASSESSED: "someone or a model said what the work item takes, or could not",
    Kind.ITEM_PRIORITISED: "the work item was given a priority",
    Kind.ITEM_DECOMPOSED: "the work item became tasks",
    Kind.SCAN_ENDED: "a project was scanned",
    Kind.BROADCAST: "a message to everyone",
}


class Event(Struct, frozen=True):
    """One line of the log: what happened, to what, by whom, when.

    `changes` maps each changed field to [old, new]; `data` holds what else belongs to the kind.
    """

    id: int
    at: int
    kind: str
    actor: str
    task: int | None
    task_id: str | None
    attempt: int | None
    queue: str | None
    changes: dict[str, Any]
    data: dict[str, Any]
    item: int | None = None


_decode = msgspec.json.Decoder(dict[str, Any]).decode


def event_from_row(row: tuple[Any, ...], prefix: str) -> Event:
    """An event from its row: statuses and queues have columns, so that they can be counted."""
    (id, at, kind, actor, task, attempt, queue, old_queue, old_status, new_status, changes, data, item) = row
    shown = _decode(changes) if changes else {}
    if old_status != new_status:
        shown["status"] = [old_status, new_status]
    if old_queue is not None:
        shown["queue"] = [old_queue, queue]
    return Event(
        id=id,
        at=at,
        kind=kind,
        actor=actor,
        task=task,
        task_id=None if task is None else f"{prefix}{task}",
        attempt=attempt,
        queue=queue,
        changes=shown,
        data=_decode(data) if data else {},
        item=item,
    )
