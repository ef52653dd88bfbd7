"""What only PostgreSQL does: statements in a pipeline, and processes that hear of each other's commits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from shoal import Ledger, connect
from shoal.errors import NotFound
from shoal.store import postgres
from shoal.store.wire import Connection
from tests.conftest import wait_until


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Connection]:
    with Connection.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT)")
        yield connection


def names(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM things ORDER BY id")]


def test_each_statement_gives_its_rows(connection: Connection) -> None:
    with connection.pipelined() as wire:
        inserted = [
            wire.send("INSERT INTO things VALUES ($1, $2) RETURNING id + 1", [number, "a"]) for number in range(3)
        ]
        updated = wire.send("UPDATE things SET name = $1", [None])
        assert wire.send("SELECT id, name FROM things ORDER BY id").rows() == [(0, None), (1, None), (2, None)]
        assert [one.rows() for one in inserted] == [[(1,)], [(2,)], [(3,)]]
        assert updated.rows() == []


def test_failed_statement_is_told_and_those_behind_it_are_not_run(connection: Connection) -> None:
    insert = "INSERT INTO things VALUES ($1, $2)"
    with connection.pipelined() as wire:
        wire.send(insert, [1, "first"])
        wire.wait()
        wire.send(insert, [1, "again"])
        wire.send("INSERT INTO things VALUES (2, $1)", ["behind"])
        with pytest.raises(psycopg.errors.UniqueViolation) as told:
            wire.wait()
        assert told.value.diag.constraint_name == "things_pkey"
        wire.send("INSERT INTO things VALUES (2, $1)", ["prepared anew"])
        wire.wait()
    assert names(connection) == ["first", "prepared anew"]


def test_statement_that_cannot_be_prepared_leaves_the_connection_usable(connection: Connection) -> None:
    for _ in range(2):
        with connection.pipelined() as wire:
            wire.send("SELECT nothing FROM nowhere")
            with pytest.raises(psycopg.errors.UndefinedTable):
                wire.wait()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_what_nobody_waited_for_is_finished_at_the_end(connection: Connection) -> None:
    with connection.pipelined() as wire:
        wire.send("INSERT INTO things VALUES (1, 'a')")
    assert not connection.closed
    assert names(connection) == ["a"]


def test_interrupted_wait_closes_the_connection(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.pipelined() as wire:
        monkeypatch.setattr(wire, "_result", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        wire.send("SELECT 1")
        with pytest.raises(KeyboardInterrupt):
            wire.wait()
    assert connection.closed


def test_more_than_the_sockets_hold_flows_both_ways(connection: Connection) -> None:
    big = "x" * 1_000_000
    with connection.pipelined() as wire:
        sent = [wire.send("INSERT INTO things VALUES ($1, $2) RETURNING name", [number, big]) for number in range(20)]
        assert [len(one.rows()[0][0]) for one in sent] == [len(big)] * 20


@pytest.mark.parametrize("text", ["nul \0 in it", "lone \ud800 surrogate"])
def test_text_that_postgresql_cannot_hold_is_never_sent(connection: Connection, text: str) -> None:
    with connection.pipelined() as wire:
        with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
            wire.send("SELECT CAST($1 AS TEXT)", [text])
        assert wire.send("SELECT CAST($1 AS TEXT)", ["ünïcode ✓"]).rows() == [("ünïcode ✓",)]


def test_lost_connection_is_an_operational_error(connection: Connection, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    with connection.pipelined() as wire:
        wire.send("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            wire.wait()
    assert connection.closed


def test_commits_of_other_processes_are_heard_of_without_polling(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "POLL_SECONDS_HEARING", 1000.0)
    with connect(postgres_url, actor="a") as one, connect(postgres_url, actor="b") as other:
        hears(one, other)
        bell = one.engine.database._bell  # type: ignore[attr-defined]
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            cut = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%' OR query LIKE 'NOTIFY%'"
            ).fetchall()
            assert len(cut) >= 2
        wait_until(lambda: not bell.listening)
        wait_until(lambda: bell.listening, why="it should listen again")
        hears(one, other)


def hears(waiter: Ledger, doer: Ledger) -> None:
    newest = waiter.stats.get().last_event
    heard: list[bool] = []
    thread = threading.Thread(target=lambda: heard.append(waiter.wait_for_events(newest, 60.0)))
    thread.start()
    wait_until(lambda: waiter.engine.database._bell.listening)  # type: ignore[attr-defined]
    doer.tasks.create(title="t")
    thread.join(30.0)
    assert heard == [True]


def test_statements_outlive_a_rollback_however_often_the_driver_was_used(postgres_url: str) -> None:
    database = postgres.Postgres(postgres_url, patience_seconds=10)
    database.migrate()
    with database._pool.connection() as connection:
        for number in range(10):
            connection.execute("SELECT %s + 1", [number])

    def refuse(transaction: postgres.Transaction) -> None:
        transaction.all("facts.get", name="edges")
        raise NotFound("nothing")

    for _ in range(4):
        with pytest.raises(NotFound):
            database.write(refuse)
    database.finish()
    database.close()
