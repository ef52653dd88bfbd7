"""dbos on PostgreSQL: every job is a durable workflow, started by a queue that polls."""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version

import psycopg
from dbos import DBOS
from harness import SAMPLES, Sizes, Tally, Teller, arguments, repeat

POLL = 0.01
AT_ONCE = 1000  # Without a limit it starts all that waits, so no more than this can wait in a run that ends in time.

tally = Tally(0, 0)


@DBOS.workflow()
def work() -> None:
    tally.hit()


def fill(url: str, queue: str, count: int) -> None:
    """Empty the tables, put one job by its own call and multiply its rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE")
        DBOS.enqueue_workflow("held", work)
        connection.execute("UPDATE dbos.workflow_status SET queue_name = %s", (queue,))
        for table in ("workflow_status", "workflow_input"):
            [[columns]] = connection.execute(
                "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_schema = 'dbos'"
                " AND table_name = %s AND is_generated = 'NEVER' AND column_name <> 'workflow_uuid'",
                (table,),
            )
            connection.execute(
                f"INSERT INTO dbos.{table} (workflow_uuid, {columns}) SELECT 'job ' || i, {columns}"
                f" FROM dbos.{table}, generate_series(2, {count}) i"
            )
            connection.execute(f"VACUUM ANALYZE dbos.{table}")


def completed(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'")
    return count


async def drain(url: str, name: str, workers: int | None, backlog: int, wanted: int, seconds: float) -> Tally:
    """A queue of its own each time: it is registered once the jobs wait, and deleted to stop it."""
    global tally
    await asyncio.to_thread(fill, url, name, backlog)
    tally = Tally(wanted, seconds)
    await asyncio.to_thread(DBOS.register_queue, name, worker_concurrency=workers, polling_interval_sec=POLL)
    await tally.enough()
    await asyncio.to_thread(DBOS.delete_queue, name)
    for _ in range(200):
        await asyncio.sleep(0.05)
        if (done := await asyncio.to_thread(completed, url)) >= len(tally.times):
            break
    tally.check(done)
    return tally


async def measure(url: str, sizes: Sizes, teller: Teller) -> None:
    async def enqueue(_: int) -> int:
        await asyncio.to_thread(DBOS.enqueue_workflow, "held", work)
        return 1

    for callers in (1, 16):
        teller.tell("enqueue", callers, await repeat(enqueue, callers=callers, seconds=sizes.seconds))
    teller.none("bulk", "has none")
    for workers in (1, 4, 8):
        tally = await drain(url, f"by{workers}", workers, sizes.drain, sizes.drain, sizes.seconds)
        teller.tell("drain", workers, tally.result, notes="polls every 10 ms")
    tally = await drain(url, "unlimited", None, AT_ONCE, AT_ONCE, 2 * sizes.seconds)
    teller.tell("batched", 1, tally.result, notes="a queue without a limit, polls every 10 ms")
    for backlog in (sizes.small, sizes.large):
        tally = await drain(url, f"of{backlog}", 1, backlog, SAMPLES, sizes.seconds)
        teller.tell("latency", 1, tally.result, backlog=backlog, notes="mostly the 10 ms it waits between polls")


def main() -> None:
    url, sizes = arguments()
    logging.disable(logging.CRITICAL)
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "log_level": "CRITICAL",
            "sys_db_pool_size": 20,
        }
    )
    DBOS.launch()
    try:
        asyncio.run(measure(url, sizes, Teller("dbos", version("dbos"))))
    finally:
        DBOS.destroy()


main()
