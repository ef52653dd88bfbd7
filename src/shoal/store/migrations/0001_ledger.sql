-- The ledger: tasks, what they wait for, what happened to them, queues, locks, cursors.
-- One text for both databases. {{identity}} and {{storage}} are the only words that differ.
-- Times are epoch milliseconds, lists and results JSON text, booleans 0/1.
-- leased_until is set exactly while a task is active: the fence asks for it rather than for the status, because a
-- planner would otherwise look through the small index of active tasks in place of the primary key. It changes with
-- every beat, so no index may name it, or each beat would rewrite that index.

CREATE TABLE tasks (
  id {{identity}},
  title TEXT NOT NULL,
  type TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN
    ('queued', 'scheduled', 'blocked', 'active', 'review', 'completed', 'failed', 'cancelled')),
  priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
  queue TEXT NOT NULL,
  labels TEXT,
  parent BIGINT REFERENCES tasks (id),
  assignee TEXT,
  created_by TEXT NOT NULL,
  repos TEXT,
  model TEXT,
  workflow TEXT,
  estimate_minutes INTEGER,
  deadline BIGINT,
  requires_qa INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL,
  timeout_seconds INTEGER,
  run_at BIGINT NOT NULL,
  unique_key TEXT,
  success_criteria TEXT,
  slug TEXT,
  external_key TEXT,
  discord_thread_id TEXT,
  summary TEXT,
  actual_minutes INTEGER,
  result TEXT,
  last_error TEXT,
  feedback TEXT,
  participants TEXT,
  progress INTEGER,
  progress_message TEXT,
  attempt INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  releases INTEGER NOT NULL DEFAULT 0,
  worker TEXT,
  leased_until BIGINT,
  hold_reason TEXT,
  blockers INTEGER NOT NULL DEFAULT 0,
  dependents INTEGER NOT NULL DEFAULT 0,
  request_id TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  queued_at BIGINT,
  claimed_at BIGINT,
  started_at BIGINT,
  completed_at BIGINT
) {{storage}};

-- The claim reads its tasks off the front of one of these, in claim order, and sorts nothing.
CREATE INDEX tasks_claim ON tasks (queue, priority, run_at, id) WHERE status = 'queued';
CREATE INDEX tasks_claim_by_type ON tasks (queue, type, priority, run_at, id) WHERE status = 'queued';
-- The constant first column makes the planner prefer it to tasks_by_status.
CREATE INDEX tasks_due ON tasks (status, run_at, id) WHERE status = 'scheduled';
CREATE INDEX tasks_held_by ON tasks (worker) WHERE status = 'active';
CREATE INDEX tasks_active_in ON tasks (queue) WHERE status = 'active';
CREATE INDEX tasks_by_status ON tasks (status, id);
CREATE INDEX tasks_by_assignee ON tasks (assignee, id) WHERE assignee IS NOT NULL;
CREATE INDEX tasks_by_parent ON tasks (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX tasks_finished ON tasks (completed_at) WHERE completed_at IS NOT NULL;
CREATE UNIQUE INDEX tasks_slug ON tasks (slug) WHERE slug IS NOT NULL;
CREATE UNIQUE INDEX tasks_external_key ON tasks (external_key) WHERE external_key IS NOT NULL;
CREATE UNIQUE INDEX tasks_request_id ON tasks (request_id) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX tasks_unique_key ON tasks (unique_key)
  WHERE unique_key IS NOT NULL AND status IN ('queued', 'scheduled', 'blocked', 'active', 'review');

-- The row of a task holds its labels; this table only finds tasks by them, in claim order.
CREATE TABLE task_labels (
  label TEXT NOT NULL,
  task_id BIGINT NOT NULL REFERENCES tasks (id),
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  run_at BIGINT NOT NULL,
  queued INTEGER NOT NULL,
  PRIMARY KEY (label, task_id)
);
CREATE INDEX task_labels_claim ON task_labels (label, queue, priority, run_at, task_id) WHERE queued = 1;
CREATE INDEX task_labels_of ON task_labels (task_id);

-- The row of a task holds its participants; this table only finds tasks by them.
CREATE TABLE task_agents (
  agent TEXT NOT NULL,
  task_id BIGINT NOT NULL REFERENCES tasks (id),
  PRIMARY KEY (agent, task_id)
);

CREATE TABLE dependencies (
  blocked BIGINT NOT NULL REFERENCES tasks (id),
  blocker BIGINT NOT NULL REFERENCES tasks (id),
  kind TEXT NOT NULL CHECK (kind IN ('blocks', 'related', 'discovered-from')),
  done INTEGER NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (blocked, blocker, kind)
);
CREATE INDEX dependencies_from ON dependencies (blocker, kind);

-- Statuses and queues stand in columns of their own so that counts can be kept by reading the log.
CREATE TABLE events (
  id {{identity}},
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  actor TEXT NOT NULL,
  task BIGINT,
  attempt INTEGER,
  queue TEXT,
  old_queue TEXT,
  old_status TEXT,
  new_status TEXT,
  changes TEXT,
  data TEXT
);
CREATE INDEX events_of_task ON events (task, id);

CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  paused INTEGER NOT NULL DEFAULT 0,
  pause_reason TEXT,
  concurrency INTEGER,
  updated_at BIGINT NOT NULL
);

CREATE TABLE locks (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  fence BIGINT NOT NULL,
  acquired_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- How far each reader of the log has come.
CREATE TABLE cursors (
  name TEXT PRIMARY KEY,
  position BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- Tasks per queue and status: a reader of the log, never written by a verb.
CREATE TABLE task_counts (
  queue TEXT NOT NULL,
  status TEXT NOT NULL,
  tasks BIGINT NOT NULL,
  PRIMARY KEY (queue, status)
);

-- Facts about this ledger: its id, its prefix, the secret that task keys are made from.
CREATE TABLE facts (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
INSERT INTO facts (name, value) VALUES ('edges', 'locked while an edge is added');
