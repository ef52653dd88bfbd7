-- part: begun
-- What a new attempt changes, whoever makes it.
status = 'active', attempt = attempt + 1, claimed_at = :now, started_at = NULL, updated_at = :now,
  progress = NULL, progress_message = NULL

-- part: first_of_queue
-- From an open queue, in the order of claims; what another claimer is about to take is passed over.
FROM tasks AS t
  WHERE t.queue = :queue
    AND t.status = 'queued'
    AND t.type = :type                                                     -- if type
    AND {{queue_is_open}}
  ORDER BY t.priority, t.run_at, t.id
  LIMIT :limit
  {{skip_locked}}

-- part: queue_is_open
-- A paused queue gives nothing; one with a limit is claimed from by number, its row locked.
NOT EXISTS (SELECT 1 FROM queues WHERE name = :queue AND (paused = 1 OR concurrency IS NOT NULL))

-- name: claim
-- The first tasks of an open queue, taken by one worker. From a queue with a limit: candidates, then claim_one.
WITH picked AS MATERIALIZED (
  SELECT t.id {{first_of_queue}}
)
UPDATE tasks SET worker = :worker, assignee = :agent, leased_until = :leased_until, {{begun}}
WHERE id IN (SELECT id FROM picked)
RETURNING *

-- name: claim_labelled
-- The same among the tasks with one label. The status is wrapped so that no planner starts from the queue instead.
WITH picked AS MATERIALIZED (
  SELECT t.id FROM task_labels AS l
  JOIN tasks AS t ON t.id = l.task_id
  WHERE l.label = :label AND l.queue = :queue AND l.queued = 1 AND t.status || '' = 'queued'
    AND t.type = :type                                                     -- if type
    AND {{queue_is_open}}
  ORDER BY l.priority, l.run_at, l.task_id
  LIMIT :limit
  {{skip_locked}}
)
UPDATE tasks SET worker = :worker, assignee = :agent, leased_until = :leased_until, {{begun}}
WHERE id IN (SELECT id FROM picked)
RETURNING *

-- name: claim_each
-- One task for each of several claimers of an open queue; rows: a JSON array, place counts from 1 in their order.
WITH picked AS MATERIALIZED (
  SELECT t.id, t.priority, t.run_at {{first_of_queue}}
), placed AS MATERIALIZED (
  SELECT id, ROW_NUMBER() OVER (ORDER BY priority, run_at, id) AS place FROM picked
), claimers AS MATERIALIZED (
  SELECT
    CAST(value ->> 'place' AS BIGINT) AS place, value ->> 'worker' AS worker, value ->> 'agent' AS agent,
    CAST(value ->> 'leased_until' AS BIGINT) AS leased_until
  FROM {{rows}}
), won AS MATERIALIZED (
  SELECT placed.id, claimers.worker, claimers.agent, claimers.leased_until
  FROM placed JOIN claimers ON claimers.place = placed.place
)
UPDATE tasks SET worker = won.worker, assignee = won.agent, leased_until = won.leased_until, {{begun}}
FROM won
WHERE tasks.id = won.id
RETURNING {{returning}}

-- name: room
-- How many more tasks a limited queue may have active. The queue's row must be locked first.
SELECT concurrency - (SELECT COUNT(*) FROM tasks WHERE queue = :queue AND status = 'active')
FROM queues WHERE name = :queue

-- name: candidates
-- The first tasks of a queue, for a claim that goes by number.
SELECT t.id FROM tasks AS t
WHERE t.queue = :queue
  AND t.status = 'queued'
  AND t.type = :type                                                       -- if type
  AND t.id IN (SELECT task_id FROM task_labels WHERE label = :label)       -- if label
ORDER BY t.priority, t.run_at, t.id
LIMIT :limit
{{skip_locked}}

-- name: claim_one
-- One task by its number, if it is still queued and its queue has room. Lock the queue's row first.
UPDATE tasks SET worker = :worker, assignee = :agent, leased_until = :leased_until, {{begun}}
WHERE id = :id AND status = 'queued'
  AND COALESCE((
    SELECT CASE WHEN q.paused = 1 THEN 0 WHEN q.concurrency IS NULL THEN 1
      ELSE q.concurrency - (SELECT COUNT(*) FROM tasks AS a WHERE a.queue = q.name AND a.status = 'active') END
    FROM queues AS q WHERE q.name = tasks.queue
  ), 1) > 0
RETURNING *

-- name: beat
-- All leases of a worker, renewed; never earlier than they were.
UPDATE tasks SET leased_until = CASE WHEN leased_until > :leased_until THEN leased_until ELSE :leased_until END
WHERE worker = :worker AND status = 'active'
RETURNING id, attempt, leased_until

-- name: overrun
-- Those of a worker's attempts whose session was over a limit before a time and still runs.
SELECT t.id, t.attempt, s.id, s.stop
FROM tasks AS t JOIN sessions AS s ON s.task = t.id
WHERE t.worker = :worker AND t.status = 'active' AND s.attempt = t.attempt AND s.stop_at < :before AND s.ended_at IS NULL
ORDER BY t.id

-- name: start
-- The attempt begins its work; saying it again does not make it begin later.
UPDATE tasks SET started_at = COALESCE(started_at, :now), updated_at = :now
WHERE id = :id AND attempt = :attempt AND leased_until IS NOT NULL
RETURNING *

-- name: progress
-- How far the attempt is.
UPDATE tasks SET progress = COALESCE(:progress, progress), progress_message = COALESCE(:message, progress_message), updated_at = :now
WHERE id = :id AND attempt = :attempt AND leased_until IS NOT NULL
RETURNING *

-- part: of_the_attempt
-- An agent is not the one to say that its work is done: no session of the attempt may be under way, nor be sealed by
-- somebody else.
SELECT 1 FROM sessions AS s WHERE s.task = tasks.id AND s.attempt = tasks.attempt

-- name: complete
-- The attempt ended well; a task that needs a review waits for it.
UPDATE tasks SET
  status = CASE WHEN requires_qa = 1 THEN 'review' ELSE 'completed' END,
  completed_at = CASE WHEN requires_qa = 1 THEN NULL ELSE :now END,
  summary = COALESCE(:summary, summary),
  result = COALESCE(:result, result),
  actual_minutes = COALESCE(:actual_minutes, (:now - claimed_at) / 60000),
  leased_until = NULL, updated_at = :now
WHERE id = :id AND attempt = :attempt AND leased_until IS NOT NULL
  AND NOT EXISTS ({{of_the_attempt}} AND (s.ended_at IS NULL OR s.seal <> :seal))
RETURNING *

-- name: complete_many
-- The same for many attempts in one statement; rows: a JSON array of objects.
WITH ended AS (
  SELECT
    CAST(value ->> 'id' AS BIGINT) AS id, CAST(value ->> 'attempt' AS INTEGER) AS attempt,
    value ->> 'summary' AS summary, value ->> 'result' AS result,
    CAST(value ->> 'actual_minutes' AS INTEGER) AS actual_minutes, value ->> 'seal' AS seal
  FROM {{rows}}
)
UPDATE tasks SET
  status = CASE WHEN requires_qa = 1 THEN 'review' ELSE 'completed' END,
  completed_at = CASE WHEN requires_qa = 1 THEN NULL ELSE :now END,
  summary = COALESCE(ended.summary, tasks.summary),
  result = COALESCE(ended.result, tasks.result),
  actual_minutes = COALESCE(ended.actual_minutes, (:now - claimed_at) / 60000),
  leased_until = NULL, updated_at = :now
FROM ended
WHERE tasks.id = ended.id AND tasks.attempt = ended.attempt AND tasks.leased_until IS NOT NULL
  AND NOT EXISTS ({{of_the_attempt}} AND (s.ended_at IS NULL OR s.seal <> ended.seal))
RETURNING {{returning}}

-- name: expire
-- Take back leases that ended without a word, many at once: the rule of failures.lose. Few tasks are active at a time, so this reads them all.
-- While a supervisor promises to look for what was left in repositories, the tasks that have some are left to it.
WITH picked AS MATERIALIZED (
  SELECT t.id FROM tasks AS t
  WHERE t.status = 'active' AND t.leased_until < :now
    AND (
      NOT EXISTS (SELECT 1 FROM cursors AS c WHERE c.name = 'orphans' AND c.position > :now)
      OR (t.repos IS NULL AND NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.task = t.id AND s.branches IS NOT NULL))
    )
  ORDER BY t.id
  LIMIT :limit
  {{skip_locked}}
)
UPDATE tasks SET
  status = CASE WHEN failures + 1 >= max_attempts THEN 'failed' ELSE 'queued' END,
  completed_at = CASE WHEN failures + 1 >= max_attempts THEN :now ELSE NULL END,
  queued_at = CASE WHEN failures + 1 >= max_attempts THEN queued_at ELSE :now END,
  failures = failures + 1, releases = 0,
  last_error = 'attempt ' || CAST(attempt AS TEXT) || ' by ' || worker || ' ended without a word',
  worker = NULL, leased_until = NULL, updated_at = :now
WHERE id IN (SELECT id FROM picked)
RETURNING *
