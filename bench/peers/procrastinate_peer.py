"""procrastinate on PostgreSQL: one process, so many asyncio workers."""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version

import psycopg
from harness import BULK, SAMPLES, Tally, Teller, arguments, repeat
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status


def fill(url: str, count: int) -> None:
    """Empty the table and put so many rows into it, past the triggers that would take minutes."""
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE procrastinate_jobs CASCADE")
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
            " SELECT 'default', 'work', '{}' FROM generate_series(1, %s)",
            (count,),
        )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE procrastinate_jobs")


def completed(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'").fetchall()
    return count


async def drain(app: App, url: str, workers: int, tally: Tally) -> None:
    fill(url, tally.wanted)
    running = asyncio.create_task(
        app.run_worker_async(concurrency=workers, install_signal_handlers=False, listen_notify=False)
    )
    await tally.enough()
    running.cancel()  # it lets what runs end first
    await asyncio.gather(running, return_exceptions=True)
    tally.check(completed(url))


async def main() -> None:
    logging.disable(logging.WARNING)
    url, sizes = arguments()
    teller = Teller("procrastinate", version("procrastinate"))
    app = App(connector=PsycopgConnector(conninfo=url, min_size=16, max_size=16))
    tally = Tally(0, 0)

    @app.task(name="work")
    async def work() -> None:
        tally.hit()

    async def enqueue(_: int) -> int:
        await work.defer_async()
        return 1

    async def bulk(_: int) -> int:
        await work.batch_defer_async(*[{}] * BULK)
        return BULK

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for callers in (1, 16):
            teller.tell("enqueue", callers, await repeat(enqueue, callers=callers, seconds=sizes.seconds))
        teller.tell("bulk", 1, await repeat(bulk, callers=1, seconds=sizes.seconds))
        for workers in (1, 4, 8):
            tally = Tally(sizes.drain, sizes.seconds)
            await drain(app, url, workers, tally)
            teller.tell("drain", workers, tally.result)
        teller.none("batched", "has none")
        manager = app.job_manager
        worker = await manager.register_worker()

        async def one(_: int) -> int:
            job = await manager.fetch_job(queues=None, worker_id=worker)
            if job is None:
                return 0
            await manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
            return 1

        for backlog in (sizes.small, sizes.large):
            fill(url, backlog)
            result = await repeat(one, callers=1, seconds=sizes.seconds, samples=SAMPLES)
            teller.tell("latency", 1, result, backlog=backlog)


asyncio.run(main())
