-- name: fold
-- How many tasks entered and left each status of each queue in a stretch of the log.
SELECT queue, status, SUM(delta) FROM (
  SELECT queue, new_status AS status, 1 AS delta FROM events
  WHERE id > :after AND id <= :upto AND new_status IS NOT NULL
  UNION ALL
  SELECT COALESCE(old_queue, queue), old_status, -1 FROM events
  WHERE id > :after AND id <= :upto AND old_status IS NOT NULL
) AS moves
GROUP BY queue, status

-- name: add
-- Move one counter.
INSERT INTO task_counts (queue, status, tasks) VALUES (:queue, :status, :delta)
ON CONFLICT (queue, status) DO UPDATE SET tasks = task_counts.tasks + excluded.tasks

-- name: counts
-- Tasks per queue and status.
SELECT queue, status, tasks FROM task_counts WHERE tasks <> 0 ORDER BY queue, status

-- name: oldest_queued
-- Since when the longest waiting task of a queue could have been claimed: the first of each priority.
SELECT MIN(since) FROM (
  SELECT MIN(run_at) AS since FROM tasks WHERE queue = :queue AND status = 'queued' AND priority = 0
  UNION ALL
  SELECT MIN(run_at) AS since FROM tasks WHERE queue = :queue AND status = 'queued' AND priority = 1
  UNION ALL
  SELECT MIN(run_at) AS since FROM tasks WHERE queue = :queue AND status = 'queued' AND priority = 2
  UNION ALL
  SELECT MIN(run_at) AS since FROM tasks WHERE queue = :queue AND status = 'queued' AND priority = 3
) AS heads

-- name: finished_since
-- How many tasks of each kind of end there were since a time.
SELECT status, COUNT(*) FROM tasks WHERE completed_at >= :since GROUP BY status

-- name: recount
-- Tasks per queue and status, counted from the tasks themselves; slow, for doctor and tests.
SELECT queue, status, COUNT(*) FROM tasks GROUP BY queue, status ORDER BY queue, status
