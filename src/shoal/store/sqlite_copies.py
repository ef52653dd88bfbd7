"""Copies of a SQLite ledger: checked before anyone relies on one, and put in its place only when nobody is at work."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from shoal.errors import Refused, StoreCorrupt
from shoal.store.sqlite_errors import translated


def check_backup(path: Path) -> None:
    """Open a copy that nobody else uses and read it whole. Raises StoreCorrupt."""
    with translated(path):
        copy = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            problems = integrity(copy)
            copy.execute("SELECT version FROM schema_version").fetchall()
        except apsw.SQLError:
            problems = ["it holds no ledger"]
        finally:
            copy.close()
    if problems:
        raise StoreCorrupt(f"{path} cannot be used as a backup: {problems[0]}")


def fold_log(path: Path) -> None:
    """Play a database's log into it, so that it is one file, and see thereby that nobody else has it open.

    One that is too damaged for that stays as it is.
    """
    try:
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            mode = database.pragma("journal_mode", "delete")
        finally:
            database.close()
    except apsw.BusyError:
        mode = "wal"
    except apsw.Error:
        return
    if mode != "delete":
        raise Refused(f"{path} is open in another process; stop the workers and commands that use it")


def integrity(connection: apsw.Connection) -> list[str]:
    """What is wrong with a database, in SQLite's words; nothing is the good answer."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)").fetchall()]
    return [] if found == ["ok"] else found


def fsync(path: Path) -> None:
    """Bring a file, or a folder's list of files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
