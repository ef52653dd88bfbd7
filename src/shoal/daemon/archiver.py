"""Archives the files of tasks that finished long ago; only where the setting `vault_archive_days` asks for it."""

from __future__ import annotations

from functools import partial

from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import Tx, contents

DAY_MS = 86_400_000
BATCH = 100


def tick(engine: EmbeddedEngine) -> int:
    """Archive what has come of age since the last time; how many tasks."""
    archived = 0
    while (days := engine.settings.vault_archive_days) and (batch := engine.write(partial(_archive, days=days))):
        archived += batch
    return archived


def _archive(tx: Tx, days: int) -> int:
    due = contents.due_for_archive(tx, finished_before=tx.now - days * DAY_MS, limit=BATCH)
    for task in due:
        contents.archive(tx, task=task.id)
    return len(due)
