-- What fires by the clock, and each firing. `next_fire_at` is the next slot, and moves by compare-and-set: whoever moves
-- it makes the run, so that of any number of servers one does. A slot that was passed is never entered again.

CREATE TABLE jobs (
  id {{identity}},
  name TEXT NOT NULL UNIQUE,
  schedule TEXT NOT NULL,
  action TEXT NOT NULL,
  timezone TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  timeout_seconds BIGINT NOT NULL,
  overlap TEXT NOT NULL CHECK (overlap IN ('forbid', 'allow', 'replace')),
  catch_up TEXT NOT NULL CHECK (catch_up IN ('none', 'last', 'all')),
  grace_seconds BIGINT NOT NULL,
  max_attempts BIGINT NOT NULL,
  backoff_seconds BIGINT NOT NULL,
  jitter_seconds BIGINT NOT NULL,
  tags TEXT NOT NULL,
  description TEXT NOT NULL,
  environment TEXT NOT NULL,
  folder TEXT,
  source TEXT NOT NULL,
  next_fire_at BIGINT,
  last_slot BIGINT,
  run_count BIGINT NOT NULL DEFAULT 0,
  fail_count BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX jobs_due ON jobs (next_fire_at) WHERE next_fire_at IS NOT NULL;

-- One row per attempt at a slot, and per time that someone triggered it: `slot` is then when that was. `job` is its name:
-- the history of a job outlives it. `beats` counts the signs of life of its server: whether that is gone is judged by how
-- long the number stands still, which no step of a clock can change.
CREATE TABLE runs (
  id {{identity}},
  job TEXT NOT NULL,
  slot BIGINT NOT NULL,
  cause TEXT NOT NULL CHECK (cause IN ('schedule', 'catch_up', 'trigger', 'import', 'commit', 'idle')),
  attempt BIGINT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('waiting', 'running', 'success', 'failed', 'timeout', 'error', 'skipped', 'cancelled')),
  due_at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  server TEXT,
  cancelled_by TEXT,
  started_at BIGINT,
  finished_at BIGINT,
  exit_code INTEGER,
  reason TEXT,
  output TEXT,
  log TEXT,
  task BIGINT REFERENCES tasks (id),
  beats BIGINT NOT NULL DEFAULT 0,
  UNIQUE (job, slot, cause, attempt)
);
CREATE INDEX runs_waiting ON runs (due_at, id) WHERE status = 'waiting';
CREATE INDEX runs_running ON runs (server) WHERE status = 'running';
CREATE INDEX runs_under_way ON runs (job) WHERE status IN ('waiting', 'running');
CREATE INDEX runs_of_job ON runs (job, id);
CREATE INDEX runs_of_status ON runs (status, id);
