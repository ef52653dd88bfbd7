"""Reads tables of a SQLite database that is none of ours, from a copy: nothing of it is written or locked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw

from shoal.errors import BadInput


def read_tables(path: Path, tables: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of those tables that there are, by the names of their columns, in the order of their insertion.

    What stands in a write-ahead log beside it is read, too. Raises BadInput when it is no database, or a damaged one.
    """
    with tempfile.TemporaryDirectory(prefix="shoal-import-") as folder:
        copy = Path(folder) / "copy.db"
        try:
            shutil.copyfile(path, copy)
            for suffix in ("-wal", "-journal"):
                beside = path.with_name(path.name + suffix)
                if beside.exists():
                    shutil.copyfile(beside, copy.with_name(copy.name + suffix))
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}") from None
        try:
            connection = apsw.Connection(str(copy))
            try:
                return _read(connection, tables)
            finally:
                connection.close()
        except apsw.Error as error:
            raise BadInput(f"{path} cannot be read as a SQLite database: {error}") from None


def _read(connection: apsw.Connection, tables: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    problem = connection.execute("PRAGMA quick_check(1)").fetchall()
    if problem != [("ok",)]:
        raise BadInput(f"the database is damaged: {problem[0][0]}")
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found = {}
    for table in tables:
        if table not in there:
            continue
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        # Text as bytes: what is no UTF-8 costs its own characters, and not the whole table.
        cell = """CASE typeof("{0}") WHEN 'text' THEN CAST("{0}" AS BLOB) ELSE "{0}" END, typeof("{0}")"""
        wanted = ", ".join(cell.format(name.replace('"', '""')) for name in columns)
        rows = connection.execute(f'SELECT {wanted} FROM "{table}" ORDER BY rowid')  # noqa: S608 - quoted
        found[table] = [dict(zip(columns, map(_value, row[::2], row[1::2]), strict=True)) for row in rows]
    return found


def _value(value: Any, kind: str) -> Any:
    return value.decode(errors="replace") if kind == "text" else value
