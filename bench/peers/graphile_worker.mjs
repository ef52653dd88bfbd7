// graphile-worker on PostgreSQL: one process, so many concurrent jobs.

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { BULK, SAMPLES, Tally, repeat, sizes, teller, url, versionOf } from "./harness.mjs";

const logger = new Logger(() => () => {});
const tell = teller("graphile-worker", versionOf("graphile-worker"));
const pool = new pg.Pool({ connectionString: url, max: 2 });
const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: 16, logger });
await utils.migrate();
const rows = async () => (await pool.query("SELECT count(*)::int AS n FROM graphile_worker._private_jobs")).rows[0].n;

/** Empty the table, put one job by its own call and multiply the row. */
async function fill(count) {
  await pool.query("TRUNCATE graphile_worker._private_jobs");
  await utils.addJob("work", {});
  await pool.query(
    `INSERT INTO graphile_worker._private_jobs (task_id, payload, priority, run_at, max_attempts)
     SELECT task_id, payload, priority, run_at, max_attempts
     FROM graphile_worker._private_jobs, generate_series(2, $1::int)`, [count]);
  await pool.query("VACUUM ANALYZE graphile_worker._private_jobs");
}

async function drain(tally, backlog, concurrentJobs, more = {}) {
  await fill(backlog);
  const worker = { connectionString: url, maxPoolSize: 20, concurrentJobs, pollInterval: 200, logger, ...more };
  const runner = await run({
    preset: { worker }, noHandleSignals: true, taskList: { work: async () => tally.hit() },
  });
  await tally.enough();
  await runner.stop();
  tally.check(backlog - (await rows()) + concurrentJobs); // stopping leaves jobs in hand locked, to be run again
  return tally.result;
}

for (const callers of [1, 16])
  tell("enqueue", callers, await repeat(async () => (await utils.addJob("work", {}), 1), { callers, seconds: sizes.seconds }));
const jobs = Array.from({ length: BULK }, () => ({ identifier: "work", payload: {} }));
tell("bulk", 1, await repeat(async () => (await utils.addJobs(jobs)).length, { callers: 1, seconds: sizes.seconds }));
for (const workers of [1, 4, 8])
  tell("drain", workers, await drain(new Tally(sizes.drain, sizes.seconds), sizes.drain, workers));
const batched = { localQueue: { size: 2000 }, completeJobBatchDelay: 0 };
tell("batched", 1, await drain(new Tally(sizes.batched, sizes.seconds), sizes.batched, 100, batched),
  { notes: "one process, 100 concurrent jobs, a local queue of 2,000, completions batched" });
for (const backlog of [sizes.small, sizes.large])
  tell("latency", 1, await drain(new Tally(SAMPLES, sizes.seconds), backlog, 1), { backlog });
await utils.release();
await pool.end();
