-- part: of_status
-- A status as a range of (status, id), for the reason that tasks.newest gives.
(status, id) >= (:status, 0) AND (status, id) <= (:status, 9223372036854775807)

-- part: waiting
-- The tasks in tasks_waiting_for, in the words of that index.
assignee IS NOT NULL AND completed_at IS NULL AND status <> 'active'

-- name: recently_changed
-- What the end of the log tells of, and, since old lines are pruned, the newest tasks; the latest change first.
WITH lately AS MATERIALIZED (
  SELECT id, task FROM events ORDER BY id DESC LIMIT :scanned
), told AS MATERIALIZED (
  SELECT task AS id FROM lately WHERE task IS NOT NULL GROUP BY task ORDER BY MAX(id) DESC LIMIT :limit
), newest AS MATERIALIZED (
  SELECT id FROM tasks ORDER BY id DESC LIMIT :limit
), either AS MATERIALIZED (
  SELECT id FROM told UNION SELECT id FROM newest
)
SELECT t.* FROM either JOIN tasks AS t ON t.id = either.id
ORDER BY t.updated_at DESC, t.id DESC
LIMIT :limit

-- name: active
-- Of the oldest active tasks, those that have been held the longest.
SELECT * FROM (
  SELECT * FROM tasks WHERE {{of_status}} ORDER BY status, id LIMIT :scanned
) AS oldest
ORDER BY claimed_at, id
LIMIT :limit

-- name: count_workers
-- How many workers hold a task.
SELECT COUNT(DISTINCT worker) FROM tasks WHERE status = 'active'

-- name: scheduled
-- What waits for its time, the next one first.
SELECT * FROM tasks WHERE status = 'scheduled' ORDER BY run_at, id LIMIT :limit

-- name: oldest
-- The tasks of one status, the oldest first.
SELECT * FROM tasks WHERE {{of_status}} ORDER BY status, id LIMIT :limit

-- name: finished
-- What has ended, the latest first.
SELECT * FROM tasks WHERE completed_at IS NOT NULL ORDER BY completed_at DESC, id DESC LIMIT :limit

-- name: assignees
-- Who has tasks that wait, by name; a step through the index for each.
WITH RECURSIVE found (name) AS (
  SELECT (SELECT assignee FROM tasks WHERE {{waiting}} ORDER BY assignee, priority, id LIMIT 1)
  UNION ALL
  SELECT (
    SELECT assignee FROM tasks WHERE assignee > found.name AND {{waiting}} ORDER BY assignee, priority, id LIMIT 1
  ) FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL LIMIT :limit

-- name: assigned
-- The tasks of one assignee that wait, the most urgent first.
SELECT * FROM tasks WHERE assignee = :assignee AND {{waiting}} ORDER BY assignee, priority, id LIMIT :limit

-- name: overdue
-- Unfinished tasks past their deadline, the longest overdue first.
SELECT * FROM tasks
WHERE deadline < :now AND deadline IS NOT NULL AND completed_at IS NULL
ORDER BY deadline, id
LIMIT :limit

-- name: count_overdue
-- How many there are, up to a limit.
SELECT COUNT(*) FROM (
  SELECT deadline FROM tasks
  WHERE deadline < :now AND deadline IS NOT NULL AND completed_at IS NULL
  ORDER BY deadline, id
  LIMIT :limit
) AS overdue

-- name: long_queued
-- Tasks of one priority that a queue has offered since before a moment. A task is never queued before its run_at.
SELECT queued_at, id FROM (
  SELECT queued_at, id FROM tasks
  WHERE queue = :queue AND status = 'queued' AND priority = :priority AND run_at < :before
  ORDER BY run_at, id
  LIMIT :scanned
) AS first
WHERE queued_at < :before
LIMIT :limit

-- name: unchanged
-- Of the oldest tasks of one status, those that nothing has changed since a moment.
SELECT t.* FROM (
  SELECT id FROM (
    SELECT id, updated_at FROM tasks WHERE {{of_status}} ORDER BY status, id LIMIT :scanned
  ) AS oldest
  WHERE updated_at < :before
  ORDER BY updated_at, id
  LIMIT :limit
) AS unchanged
JOIN tasks AS t ON t.id = unchanged.id
ORDER BY t.updated_at, t.id

-- name: held
-- Of the oldest blocked tasks, those that somebody holds back, the longest unchanged first.
SELECT t.* FROM (
  SELECT id FROM (
    SELECT id, updated_at, hold_reason FROM tasks WHERE {{of_status}} ORDER BY status, id LIMIT :scanned
  ) AS oldest
  WHERE hold_reason IS NOT NULL
  ORDER BY updated_at, id
  LIMIT :limit
) AS held
JOIN tasks AS t ON t.id = held.id
ORDER BY t.updated_at, t.id

-- name: ended_since
-- Of what ended last, how many there are of each kind of end since a time.
SELECT status, COUNT(*) FROM (
  SELECT status FROM tasks
  WHERE completed_at >= :since AND completed_at IS NOT NULL
  ORDER BY completed_at DESC
  LIMIT :scanned
) AS latest
GROUP BY status

-- name: failed_since
-- Of what ended last, what has failed since a time, the latest first.
SELECT t.* FROM (
  SELECT id FROM (
    SELECT id, status, completed_at FROM tasks
    WHERE completed_at >= :since AND completed_at IS NOT NULL
    ORDER BY completed_at DESC
    LIMIT :scanned
  ) AS latest
  WHERE status = 'failed'
  ORDER BY completed_at DESC, id DESC
  LIMIT :limit
) AS failed
JOIN tasks AS t ON t.id = failed.id
ORDER BY t.completed_at DESC, t.id DESC

-- name: count_blocked
-- Of the oldest blocked tasks: how many were looked at, how many dependencies they wait for, the last one.
SELECT COUNT(*), COALESCE(SUM(blockers), 0), COALESCE(MAX(id), 0) FROM (
  SELECT id, blockers FROM tasks WHERE {{of_status}} ORDER BY status, id LIMIT :scanned
) AS oldest

-- name: open_edges
-- What the same tasks wait for: blocked, blocker.
WITH oldest AS MATERIALIZED (
  SELECT id, blockers FROM tasks WHERE {{of_status}} ORDER BY status, id LIMIT :scanned
), waiting AS MATERIALIZED (
  SELECT id FROM oldest WHERE blockers > 0 LIMIT :limit
)
SELECT d.blocked, d.blocker FROM waiting
JOIN dependencies AS d ON d.blocked = waiting.id AND d.kind = 'blocks' AND d.done = 0
ORDER BY d.blocked, d.blocker
LIMIT :limit
