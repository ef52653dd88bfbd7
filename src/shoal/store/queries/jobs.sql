-- part: shown
-- A job in the order of its fields.
id, name, schedule, action, timezone, enabled, timeout_seconds, overlap, catch_up, grace_seconds, max_attempts,
  backoff_seconds, jitter_seconds, tags, description, environment, folder, source, next_fire_at, last_slot, run_count,
  fail_count, created_at, updated_at

-- name: insert
-- A new job; nothing comes back when its name is taken.
INSERT INTO jobs (
  name, schedule, action, timezone, enabled, timeout_seconds, overlap, catch_up, grace_seconds, max_attempts,
  backoff_seconds, jitter_seconds, tags, description, environment, folder,
  source, next_fire_at, last_slot, created_at, updated_at
) VALUES (
  :name, :schedule, :action, :timezone, :enabled, :timeout_seconds, :overlap, :catch_up, :grace_seconds, :max_attempts,
  :backoff_seconds, :jitter_seconds, :tags, :description, :environment, :folder,
  :source, :next_fire_at, :last_slot, :now, :now
)
ON CONFLICT (name) DO NOTHING
RETURNING {{shown}}

-- name: get
-- One job by its name.
SELECT {{shown}} FROM jobs WHERE name = :name

-- name: lock
-- The same, kept from other writers until the transaction ends. Who locks a run besides locks its job first.
SELECT {{shown}} FROM jobs WHERE name = :name
{{for_update}}

-- name: list
-- The next jobs in the order of their names.
SELECT {{shown}} FROM jobs
WHERE name > :after
  AND enabled = :enabled                                                   -- if enabled
ORDER BY name
LIMIT :limit

-- name: of_source
-- Every job that a manifest defines.
SELECT {{shown}} FROM jobs WHERE source = :source ORDER BY name

-- name: lock_of_source
-- Every job that a manifest defines, kept from other writers.
SELECT {{shown}} FROM jobs WHERE source = :source ORDER BY name
{{for_update}}

-- name: change
-- A job's definition written anew, and its next slot.
UPDATE jobs SET
  schedule = :schedule, action = :action, timezone = :timezone, enabled = :enabled, timeout_seconds = :timeout_seconds,
  overlap = :overlap, catch_up = :catch_up, grace_seconds = :grace_seconds, max_attempts = :max_attempts,
  backoff_seconds = :backoff_seconds, jitter_seconds = :jitter_seconds, tags = :tags, description = :description,
  environment = :environment, folder = :folder, next_fire_at = :next_fire_at, last_slot = :last_slot,
  updated_at = :now
WHERE id = :id
RETURNING {{shown}}

-- name: remove
-- Take a job away; its runs stay.
DELETE FROM jobs WHERE id = :id

-- name: due
-- Jobs whose next slot has come, of which no other server is making runs now.
SELECT {{shown}} FROM jobs AS t
WHERE t.next_fire_at <= :now
ORDER BY t.next_fire_at, t.id
LIMIT :limit
{{skip_locked}}

-- name: advance
-- Enter the slots up to one, if nobody else has: whoever this tells so makes their runs.
UPDATE jobs SET next_fire_at = :next, last_slot = :slot WHERE id = :id AND next_fire_at = :seen
RETURNING id

-- name: count
-- A run of the job has ended.
UPDATE jobs SET run_count = run_count + 1, fail_count = fail_count + :failed WHERE name = :name

-- name: bring
-- What a job has run elsewhere, before it came here.
UPDATE jobs SET run_count = run_count + :run_count, fail_count = fail_count + :fail_count WHERE name = :name

-- name: agenda
-- When the next slot comes, when the first waiting run was or is due, and when the first one later than now.
SELECT
  (SELECT MIN(next_fire_at) FROM jobs WHERE next_fire_at IS NOT NULL),
  (SELECT MIN(due_at) FROM runs WHERE status = 'waiting'),
  (SELECT MIN(due_at) FROM runs WHERE status = 'waiting' AND due_at > :now)

-- name: on_occasion
-- The jobs that fire, and not by the clock.
SELECT {{shown}} FROM jobs WHERE enabled = 1 AND next_fire_at IS NULL ORDER BY name

-- name: move_head
-- A job has seen a commit; nothing comes back when that is the one that it saw last.
INSERT INTO job_heads (job, head) VALUES (:job, :head)
ON CONFLICT (job) DO UPDATE SET head = excluded.head WHERE job_heads.head <> excluded.head
RETURNING head

-- name: at_work
-- Whether a task is active.
SELECT 1 FROM tasks WHERE status = 'active' LIMIT 1
