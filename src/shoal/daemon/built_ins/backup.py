"""The built-in job `backup`: one more copy of the database, at a time of your choice."""

from __future__ import annotations

from shoal.daemon.built_ins.context import Context
from shoal.errands import backup
from shoal.errors import StoreError
from shoal.model.built_in import BackupOptions


def run(context: Context) -> str:
    """Make a checked backup of the database in the home, and let go of the oldest ones."""
    options: BackupOptions = context.options
    try:
        made = backup.make(context.engine, context.home.backups)
        size = made.stat().st_size
        backup.prune(context.home, options.keep or context.engine.settings.backups_kept)
    except OSError as error:
        raise StoreError(f"the backup cannot be written: {error}") from error
    kept = len(backup.backups(context.home))
    return f"{made}: {size:,} bytes; {kept} {'backup' if kept == 1 else 'backups'} kept\n"
