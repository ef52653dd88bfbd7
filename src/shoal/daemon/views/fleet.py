"""The fleet: workers and what they hold, queues that are paused or limited, locks."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.adapters.vault.layout import Layout
from shoal.daemon.views.page import Page, dataview, left_out, moment, section, table, view
from shoal.daemon.views.reads import active
from shoal.daemon.views.task_columns import ASSIGNEE, CLAIMED, PROGRESS, TITLE, WORKER, task_table
from shoal.model.lock import Lock
from shoal.model.queue import Queue
from shoal.model.task import Status
from shoal.services import locks, queues, stats, sync
from shoal.services.transaction import Tx

SHOWN = 200
COLUMNS = (WORKER, ASSIGNEE, TITLE, CLAIMED, PROGRESS)


def page(tx: Tx, layout: Layout) -> Page:
    """The active tasks by worker, the queues with settings of their own, the locks that are held."""
    total = stats.totals(stats.counts(tx))[Status.ACTIVE]
    row = tx.one("views.count_workers")
    held = sorted(
        active(tx, SHOWN),
        key=lambda task: (task.worker or "", task.claimed_at or 0, task.id),
    )
    restricted = [queue for queue in queues.list_(tx) if queue.paused or queue.concurrency is not None]
    # The sync that writes this page holds one itself.
    found = [lock for lock in locks.list_(tx, limit=SHOWN) if lock.name != sync.LOCK]
    counts = {
        "workers": row[0] if row else 0,
        "active": total,
        "queues_paused": sum(queue.paused for queue in restricted),
        "queues_limited": sum(queue.concurrency is not None for queue in restricted),
        "locks": len(found),
    }
    return view(
        layout.view("fleet"),
        "fleet",
        "The workers and what they hold, the queues that are paused or limited, and the locks that are held.",
        counts,
        section(
            "## Workers",
            task_table(layout, COLUMNS, held),
            left_out(len(held), total),
            dataview(
                {"Assignee": "assigned_to", "Tasks": "rows.file.link", "Claimed": "rows.assigned_at"},
                layout.task_folder(Status.ACTIVE),
                'WHERE status = "active"',
                "GROUP BY assigned_to",
            ),
        ),
        section("## Queues", _queues(restricted[:SHOWN]), left_out(min(SHOWN, len(restricted)), len(restricted))),
        section("## Locks", _locks(found), f"The first {SHOWN} by name." if len(found) == SHOWN else ""),
    )


def _queues(shown: Iterable[Queue]) -> str:
    return table(
        ["Queue", "Paused", "Reason", "At most active", "Active", "Queued"],
        (
            [
                queue.name,
                "yes" if queue.paused else "no",
                queue.pause_reason,
                queue.concurrency,
                queue.active,
                queue.queued,
            ]
            for queue in shown
        ),
    )


def _locks(shown: Iterable[Lock]) -> str:
    return table(
        ["Lock", "Owner", "Fence", "Since"],
        ([lock.name, lock.owner, lock.fence, moment(lock.acquired_at)] for lock in shown),
    )
