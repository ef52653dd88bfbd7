"""pgqueuer on PostgreSQL through asyncpg: one process, a queue manager with a connection of its own for each worker."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import timedelta
from importlib.metadata import version

import asyncpg
from harness import BULK, SAMPLES, Tally, Teller, arguments, repeat
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries


async def fill(connection: asyncpg.Connection, count: int) -> None:
    """Empty the tables, put one job by its own call and multiply the row."""
    await connection.execute("TRUNCATE pgqueuer, pgqueuer_log, pgqueuer_statistics CASCADE")
    await Queries(AsyncpgDriver(connection)).enqueue("work", None)
    await connection.execute(
        "INSERT INTO pgqueuer (priority, status, entrypoint, payload, headers)"
        f" SELECT priority, status, entrypoint, payload, headers FROM pgqueuer, generate_series(2, {count})"
    )
    await connection.execute("VACUUM ANALYZE pgqueuer")


async def drain(url: str, connection: asyncpg.Connection, workers: int, batch: int, tally: Tally) -> None:
    await fill(connection, tally.wanted)
    connections = [await asyncpg.connect(url) for _ in range(workers)]
    managers = [QueueManager(Queries(AsyncpgDriver(own))) for own in connections]

    async def work(job: Job) -> None:
        tally.hit()

    for manager in managers:
        manager.entrypoint("work")(work)
    running = [asyncio.create_task(manager.run(batch_size=batch)) for manager in managers]
    await tally.enough()
    for manager in managers:
        manager.shutdown.set()
    await asyncio.gather(*running)
    for own in connections:
        await own.close()
    tally.check(await connection.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"))


async def main() -> None:
    logging.disable(logging.WARNING)
    url, sizes = arguments()
    teller = Teller("pgqueuer", version("pgqueuer"))
    connection = await asyncpg.connect(url)
    await Queries(AsyncpgDriver(connection)).install()
    connections = [await asyncpg.connect(url) for _ in range(16)]
    queries = [Queries(AsyncpgDriver(own)) for own in connections]

    async def enqueue(caller: int) -> int:
        await queries[caller].enqueue("work", None)
        return 1

    async def bulk(_: int) -> int:
        await queries[0].enqueue(["work"] * BULK, [None] * BULK, [0] * BULK)
        return BULK

    for callers in (1, 16):
        teller.tell("enqueue", callers, await repeat(enqueue, callers=callers, seconds=sizes.seconds))
    teller.tell("bulk", 1, await repeat(bulk, callers=1, seconds=sizes.seconds))
    for workers in (1, 4, 8):
        tally = Tally(sizes.drain, sizes.seconds)
        await drain(url, connection, workers, 1, tally)
        teller.tell("drain", workers, tally.result)
    tally = Tally(sizes.batched, sizes.seconds)
    await drain(url, connection, 1, 1000, tally)
    teller.tell("batched", 1, tally.result, notes="one manager, batches of 1,000")
    manager = uuid.uuid4()
    wanted = {"work": EntrypointExecutionParameter(concurrency_limit=0)}

    async def one(_: int) -> int:
        jobs = await queries[0].dequeue(
            batch_size=1,
            entrypoints=wanted,
            queue_manager_id=manager,
            global_concurrency_limit=None,
            heartbeat_timeout=timedelta(seconds=30),
        )
        await queries[0].log_jobs([(job, "successful", None) for job in jobs])
        return len(jobs)

    for backlog in (sizes.small, sizes.large):
        await fill(connection, backlog)
        result = await repeat(one, callers=1, seconds=sizes.seconds, samples=SAMPLES)
        teller.tell("latency", 1, result, backlog=backlog)


asyncio.run(main())
