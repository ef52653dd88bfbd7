"""What tests write past the verbs: the past of an attempt, and many rows at once."""

from __future__ import annotations

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


def begun_earlier(address: str, task: int, minutes: int) -> None:
    """Let the attempt that has a task have begun so much earlier."""
    span = minutes * 60_000
    execute(
        address,
        "UPDATE tasks SET claimed_at = claimed_at - ?, started_at = started_at - ? WHERE id = ?",
        *(span, span, task),
    )
