-- part: columns_of_new
-- What a new task is given.
title, type, status, priority, queue, labels, parent, assignee, created_by, repos, model, workflow,
  estimate_minutes, deadline, requires_qa, max_attempts, timeout_seconds, run_at, unique_key,
  success_criteria, slug, external_key, discord_thread_id, hold_reason, blockers, request_id,
  created_at, updated_at, queued_at

-- name: insert
-- One new task; no row comes back when a unique name of it is taken.
INSERT INTO tasks (
  {{columns_of_new}}
) VALUES (
  :title, :type, :status, :priority, :queue, :labels, :parent, :assignee, :created_by, :repos, :model, :workflow,
  :estimate_minutes, :deadline, :requires_qa, :max_attempts, :timeout_seconds, :run_at, :unique_key,
  :success_criteria, :slug, :external_key, :discord_thread_id, :hold_reason, :blockers, :request_id,
  :now, :now, :queued_at
)
ON CONFLICT DO NOTHING
RETURNING *

-- name: bring
-- One task from elsewhere, with its number and moments; no row comes back when its slug is taken.
INSERT INTO tasks (
  id,                                                                      -- if id
  title, type, status, priority, queue, labels, parent, assignee, created_by, repos, model, workflow,
  estimate_minutes, requires_qa, max_attempts, run_at, slug, discord_thread_id, hold_reason, blockers,
  request_id, attempt, worker, leased_until, created_at, updated_at, queued_at, claimed_at, completed_at
) VALUES (
  :id,                                                                     -- if id
  :title, :type, :status, :priority, :queue, :labels, :parent, :assignee, :created_by, :repos, :model, :workflow,
  :estimate_minutes, :requires_qa, 3, :run_at, :slug, :discord_thread_id, :hold_reason, :blockers,
  :request_id, :attempt, :worker, :leased_until, :created_at, :now, :queued_at, :claimed_at, :completed_at
)
ON CONFLICT DO NOTHING
RETURNING *

-- name: follow_ids
-- The next number is above all that were given.
SELECT {{follow_ids}} FROM tasks

-- name: insert_many
-- Many new tasks in one statement; rows: a JSON array of objects. A taken unique name leaves its row out.
INSERT INTO tasks (
  {{columns_of_new}}
)
SELECT
  value ->> 'title', value ->> 'type', value ->> 'status', CAST(value ->> 'priority' AS INTEGER),
  value ->> 'queue', value ->> 'labels', CAST(value ->> 'parent' AS BIGINT), value ->> 'assignee',
  value ->> 'created_by', value ->> 'repos', value ->> 'model', value ->> 'workflow',
  CAST(value ->> 'estimate_minutes' AS INTEGER), CAST(value ->> 'deadline' AS BIGINT),
  CAST(value ->> 'requires_qa' AS INTEGER), CAST(value ->> 'max_attempts' AS INTEGER),
  CAST(value ->> 'timeout_seconds' AS INTEGER), CAST(value ->> 'run_at' AS BIGINT), value ->> 'unique_key',
  value ->> 'success_criteria', value ->> 'slug', value ->> 'external_key', value ->> 'discord_thread_id',
  value ->> 'hold_reason', CAST(value ->> 'blockers' AS INTEGER), value ->> 'request_id', :now, :now,
  CAST(value ->> 'queued_at' AS BIGINT)
FROM {{rows}}
WHERE TRUE
ON CONFLICT DO NOTHING
RETURNING *

-- name: get
-- One task by its number.
SELECT * FROM tasks WHERE id = :id

-- name: lock
-- One task by its number, kept from other writers until the transaction ends.
SELECT * FROM tasks WHERE id = :id {{for_update}}

-- name: find
-- The tasks that a name may mean, by slug or external key.
SELECT id, slug, external_key FROM tasks WHERE slug = :name
UNION
SELECT id, slug, external_key FROM tasks WHERE external_key = :name

-- name: titled
-- The first tasks of exactly this title; for an old service's refs only, it reads the whole table.
SELECT id FROM tasks WHERE title = :title ORDER BY id LIMIT 5

-- name: by_request
-- The task that an earlier request made.
SELECT * FROM tasks WHERE request_id = :request_id

-- name: by_unique_key
-- The live task that has this key.
SELECT * FROM tasks
WHERE unique_key = :unique_key AND status IN ('queued', 'scheduled', 'blocked', 'active', 'review')

-- name: after
-- The next tasks in the order of their numbers.
SELECT * FROM tasks WHERE id > :after ORDER BY id LIMIT :limit

-- name: finished_between
-- Finished tasks by when they finished; those of one moment come together, however many.
SELECT * FROM tasks
WHERE completed_at > :after AND completed_at <= (
  SELECT MAX(completed_at) FROM (
    SELECT completed_at FROM tasks WHERE completed_at > :after AND completed_at < :before ORDER BY completed_at LIMIT :limit
  ) AS oldest
)
ORDER BY completed_at, id

-- name: newest
-- A page of tasks, newest first; cursor: the id of the last one seen.
-- A status is asked for as a range of (status, id), or a planner that takes every status for equally frequent would
-- read the whole table backwards to find a rare one.
SELECT * FROM tasks
WHERE id < :before
  AND (status, id) < (:status, :before)                                    -- if status
  AND (status, id) >= (:status, 0)                                         -- if status
  AND type = :type                                                         -- if type
  AND queue = :queue                                                       -- if queue
  AND assignee = :assignee                                                 -- if assignee
  AND parent = :parent                                                     -- if parent
  AND id IN (SELECT task_id FROM task_labels WHERE label = :label)         -- if label
  AND LOWER(title) LIKE LOWER(:text) ESCAPE '\'                            -- if text
ORDER BY
  status DESC,                                                             -- if status
  id DESC
LIMIT :limit

-- name: in_claim_order
-- A page of a queue's claimable tasks in the order of the claim; cursor: priority, run_at, id of the last one.
SELECT * FROM tasks
WHERE queue = :queue
  AND status = 'queued'
  AND type = :type                                                         -- if type
  AND assignee = :assignee                                                 -- if assignee
  AND parent = :parent                                                     -- if parent
  AND id IN (SELECT task_id FROM task_labels WHERE label = :label)         -- if label
  AND LOWER(title) LIKE LOWER(:text) ESCAPE '\'                            -- if text
  AND (priority, run_at, id) > (:after_priority, :after_run_at, :after_id) -- if after_id
ORDER BY priority, run_at, id
LIMIT :limit

-- name: change
-- New values for some fields of one task.
UPDATE tasks SET
  title = :title,                         -- if title
  type = :type,                           -- if type
  status = :status,                       -- if status
  priority = :priority,                   -- if priority
  queue = :queue,                         -- if queue
  labels = :labels,                       -- if labels
  parent = :parent,                       -- if parent
  assignee = :assignee,                   -- if assignee
  repos = :repos,                         -- if repos
  model = :model,                         -- if model
  workflow = :workflow,                   -- if workflow
  estimate_minutes = :estimate_minutes,   -- if estimate_minutes
  deadline = :deadline,                   -- if deadline
  requires_qa = :requires_qa,             -- if requires_qa
  max_attempts = :max_attempts,           -- if max_attempts
  timeout_seconds = :timeout_seconds,     -- if timeout_seconds
  run_at = :run_at,                       -- if run_at
  success_criteria = :success_criteria,   -- if success_criteria
  slug = :slug,                           -- if slug
  external_key = :external_key,           -- if external_key
  discord_thread_id = :discord_thread_id, -- if discord_thread_id
  summary = :summary,                     -- if summary
  actual_minutes = :actual_minutes,       -- if actual_minutes
  result = :result,                       -- if result
  last_error = :last_error,               -- if last_error
  feedback = :feedback,                   -- if feedback
  participants = :participants,           -- if participants
  progress = :progress,                   -- if progress
  progress_message = :progress_message,   -- if progress_message
  failures = :failures,                   -- if failures
  releases = :releases,                   -- if releases
  worker = :worker,                       -- if worker
  leased_until = :leased_until,           -- if leased_until
  hold_reason = :hold_reason,             -- if hold_reason
  blockers = :blockers,                   -- if blockers
  queued_at = :queued_at,                 -- if queued_at
  claimed_at = :claimed_at,               -- if claimed_at
  started_at = :started_at,               -- if started_at
  completed_at = :completed_at,           -- if completed_at
  updated_at = :now
WHERE id = :id
RETURNING *

-- name: due
-- Scheduled tasks whose time has come become queued, the oldest first.
WITH picked AS MATERIALIZED (
  SELECT t.id FROM tasks AS t
  WHERE t.status = 'scheduled' AND t.run_at <= :now
  ORDER BY t.run_at, t.id
  LIMIT :limit
  {{skip_locked}}
)
UPDATE tasks SET status = 'queued', queued_at = :now, updated_at = :now
WHERE id IN (SELECT id FROM picked)
RETURNING *

-- name: next_due
-- When the next scheduled task comes due.
SELECT MIN(run_at) FROM tasks WHERE status = 'scheduled'

-- name: add_label
-- The label table follows its task.
INSERT INTO task_labels (label, task_id, queue, priority, run_at, queued)
VALUES (:label, :task_id, :queue, :priority, :run_at, :queued)

-- name: drop_labels
-- Forget the labels of a task before they are written anew.
DELETE FROM task_labels WHERE task_id = :task_id

-- name: follow_labels
-- The label table follows its task's place in the queue.
UPDATE task_labels SET queue = :queue, priority = :priority, run_at = :run_at, queued = :queued
WHERE task_id = :task_id
