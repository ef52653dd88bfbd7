// pg-boss on PostgreSQL: one process, so many loops of fetch and complete (its own loop polls every half second).

import { PgBoss } from "pg-boss";
import pg from "pg";
import { BULK, SAMPLES, repeat, sizes, teller, url, versionOf } from "./harness.mjs";

const tell = teller("pg-boss", versionOf("pg-boss"));
const pool = new pg.Pool({ connectionString: url, max: 2 });
const boss = new PgBoss({ connectionString: url, max: 16, supervise: false, schedule: false });
boss.on("error", (error) => { throw error; });
await boss.start();
await boss.createQueue("work");
const columns = (await pool.query(
  `SELECT string_agg(quote_ident(attname), ', ') AS names FROM pg_attribute
   WHERE attrelid = 'pgboss.job'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname <> 'id'`,
)).rows[0].names;

/** Empty the table, put one job by its own call and multiply the row. */
async function fill(count) {
  await pool.query("TRUNCATE pgboss.job CASCADE");
  await boss.send("work", {});
  await pool.query(
    `INSERT INTO pgboss.job (id, ${columns}) SELECT gen_random_uuid(), ${columns}
     FROM pgboss.job, generate_series(2, $1::int)`, [count]);
  await pool.query("VACUUM ANALYZE pgboss.job");
}

const take = (batchSize) => async () => {
  const jobs = await boss.fetch("work", { batchSize });
  if (jobs.length) await boss.complete("work", jobs.map((job) => job.id));
  return jobs.length;
};

for (const callers of [1, 16])
  tell("enqueue", callers, await repeat(async () => (await boss.send("work", {}), 1), { callers, seconds: sizes.seconds }));
const jobs = Array.from({ length: BULK }, () => ({ data: {} }));
tell("bulk", 1, await repeat(async () => (await boss.insert("work", jobs), BULK), { callers: 1, seconds: sizes.seconds }));
for (const workers of [1, 4, 8]) {
  await fill(sizes.drain);
  tell("drain", workers, await repeat(take(1), { callers: workers, seconds: sizes.seconds }));
}
await fill(sizes.batched);
tell("batched", 4, await repeat(take(1000), { callers: 4, seconds: sizes.seconds }), { notes: "4 loops, batches of 1,000" });
for (const backlog of [sizes.small, sizes.large]) {
  await fill(backlog);
  tell("latency", 1, await repeat(take(1), { callers: 1, seconds: sizes.seconds, samples: SAMPLES }), { backlog });
}
await boss.stop({ graceful: false });
await pool.end();
