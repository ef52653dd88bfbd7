"""From an address to a database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from shoal.errors import BadInput
from shoal.store.database import Database


def open_database(address: str, *, create: bool, patience_seconds: float = 30.0) -> Database:
    """The database at a path, `sqlite:///path` or `postgresql://…`, its schema brought up to date.

    `create` allows a SQLite file to be made; without it a missing one is an error.
    """
    scheme = urlsplit(address).scheme
    database: Database
    if scheme in {"postgresql", "postgres"}:
        try:
            from shoal.store.postgres import Postgres
        except ImportError as error:
            raise BadInput(f"PostgreSQL needs `pip install 'shoal[postgres]'` ({error})") from None

        database = Postgres(address, patience_seconds=patience_seconds)
    elif scheme in {"", "sqlite", "file"}:
        from shoal.store.sqlite import SQLite

        path = Path(address.removeprefix("sqlite:///").removeprefix("file://"))
        database = SQLite(path.absolute(), create=create, patience_seconds=patience_seconds)
    else:
        raise BadInput(f"{address!r} is not a path, sqlite:///path or postgresql://host/database")
    try:
        database.migrate()
    except BaseException:
        database.close()
        raise
    return database
