"""Backups: a checked copy of the database in the home, the newest kept. Restoring is `shoal restore`."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from shoal.clock import SystemClock
from shoal.ledger.embedded import EmbeddedEngine
from shoal.settings import Home
from shoal.store.sqlite_copies import check_backup, fold_log

SUFFIXES = {"sqlite": ".db", "postgresql": ".pgdump"}


def tick(engine: EmbeddedEngine, home: Home) -> Path:
    """Make one backup and let go of the oldest ones."""
    made = make(engine, home.backups)
    prune(home, engine.settings.backups_kept)
    return made


def prune(home: Home, keep: int) -> None:
    """Let go of all backups but the newest."""
    for old in backups(home)[keep:]:
        old.unlink(missing_ok=True)


def make(engine: EmbeddedEngine, folder: Path) -> Path:
    """Write a copy named by the time; it is checked before it gets its name."""
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime.fromtimestamp(engine.clock.now_ms() / 1000, UTC)
    target = folder / f"ledger-{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z{SUFFIXES[engine.database.kind]}"
    engine.database.backup(str(target))
    return target


def backups(home: Home) -> list[Path]:
    """The backups of a home, newest first."""
    if not home.backups.is_dir():
        return []
    found = [path for suffix in SUFFIXES.values() for path in home.backups.glob(f"ledger-*{suffix}")]
    return sorted(found, key=lambda path: path.name, reverse=True)


def restore(source: Path, database: Path) -> Path | None:
    """Put a checked copy of a backup in the place of a database; where the old one is kept.

    Raises Refused when another process has it open.
    """
    check_backup(source)
    if database.exists():
        fold_log(database)
    kept = None
    arriving = database.with_name(database.name + ".restoring")
    shutil.copyfile(source, arriving)
    if database.exists():
        kept = database.with_name(f"{database.name}.before-restore-{SystemClock().now_ms()}")
        database.rename(kept)
    for suffix in ("-wal", "-shm"):
        # The log of a damaged database; beside the new one it would be played into it.
        leftover = database.with_name(database.name + suffix)
        if leftover.exists():
            leftover.rename(f"{kept or database}{suffix}")
    arriving.rename(database)
    return kept
