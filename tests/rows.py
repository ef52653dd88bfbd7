"""Rows as a worker that vanished has left them, and attempts that began long ago; written past the verbs."""

from __future__ import annotations

import json
from typing import Any


def execute(address: str, statement: str, *values: Any) -> list[Any]:
    """Run a statement with ? for its values on either database."""
    if address.startswith("postgresql:"):
        import psycopg

        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []
    import apsw

    connection = apsw.Connection(address)
    connection.set_busy_timeout(20_000)
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def session(address: str, task: int, *branches: str, repository: str = "acme/web", attempt: int = 1) -> int:
    """A session that nobody has ended, with these branches."""
    stored = [
        {"repository": repository, "branch": branch, "base": "0" * 40, "head": "0" * 40, "commits": 0, "pushed": False}
        for branch in branches
    ]
    execute(
        address,
        "INSERT INTO sessions (task, attempt, agent, kind, branches, started_at) VALUES (?, ?, ?, ?, ?, ?)",
        *(task, attempt, "claude-1", "claude", json.dumps(stored) if stored else None, 1),
    )
    return int(execute(address, "SELECT MAX(id) FROM sessions")[0][0])


def begun_earlier(address: str, task: int, minutes: int) -> None:
    """Let the attempt that has a task have begun so much earlier."""
    span = minutes * 60_000
    execute(
        address,
        "UPDATE tasks SET claimed_at = claimed_at - ?, started_at = started_at - ? WHERE id = ?",
        *(span, span, task),
    )
