-- name: overdue
-- The next attempts that have reached the time of their warning, and when they were warned of.
SELECT w.at, t.* FROM tasks AS t
LEFT JOIN warnings AS w ON w.task = t.id AND w.attempt = t.attempt AND w.rule = 'timeout'
WHERE t.status = 'active' AND t.id > :after
  AND COALESCE(t.started_at, t.claimed_at) + CASE
    WHEN t.estimate_minutes IS NULL THEN CAST(:unestimated_ms AS BIGINT)
    ELSE CAST(t.estimate_minutes AS BIGINT) * 60000 + :beyond_ms END <= :now
ORDER BY t.id
LIMIT :limit

-- name: say
-- Remember that a rule has spoken of an attempt; a row comes back if it had not, or not since something happened.
INSERT INTO warnings (task, attempt, rule, at) VALUES (:task, :attempt, :rule, :now)
ON CONFLICT (task, attempt, rule) DO UPDATE SET at = excluded.at WHERE warnings.at < :happened_at
RETURNING task

-- name: said
-- When a rule spoke of an attempt.
SELECT at FROM warnings WHERE task = :task AND attempt = :attempt AND rule = :rule

-- part: stretch_of_queued
-- The next queued tasks by their numbers, found and not sorted.
WHERE status = 'queued' AND id > :after                                   -- on sqlite
  WHERE (status, id) > ('queued', :after) AND (status, id) <= ('queued', 9223372036854775807) -- on postgresql
  ORDER BY status, id
  LIMIT :scanned

-- name: stale_queued
-- Of the next queued tasks by number, those offered for too long and not reported since something happened to them.
-- PostgreSQL asked for a status and a number walks the primary key; SQLite uses only half of a range of (status, id).
SELECT q.id, q.queued_at, COALESCE(
  (SELECT e.at FROM events AS e WHERE e.task = q.id AND e.kind <> 'task.stale' ORDER BY e.id DESC LIMIT 1), q.queued_at
) AS happened_at
FROM (
  SELECT id, attempt, queued_at FROM tasks
  {{stretch_of_queued}}
) AS q
LEFT JOIN warnings AS w ON w.task = q.id AND w.attempt = q.attempt AND w.rule = 'stale'
WHERE q.queued_at < :before AND (w.at IS NULL OR (
  SELECT e.at FROM events AS e WHERE e.task = q.id AND e.kind <> 'task.stale' ORDER BY e.id DESC LIMIT 1
) BETWEEN w.at + 1 AND :before)
ORDER BY q.id
LIMIT :limit

-- name: queued_to
-- How many queued tasks the same stretch has, and how far it reaches.
SELECT COUNT(*), MAX(id) FROM (
  SELECT id FROM tasks
  {{stretch_of_queued}}
) AS q

-- name: stale_active
-- The active tasks without an event for too long, not reported since the last one. A report is no event of the work.
SELECT a.id, a.happened_at, a.happened_at FROM (
  SELECT t.id, t.attempt, COALESCE(
    (SELECT e.at FROM events AS e WHERE e.task = t.id AND e.kind <> 'task.stale' ORDER BY e.id DESC LIMIT 1), t.claimed_at
  ) AS happened_at
  FROM tasks AS t
  WHERE t.status = 'active' AND t.claimed_at < :before AND t.updated_at < :before
) AS a
LEFT JOIN warnings AS w ON w.task = a.id AND w.attempt = a.attempt AND w.rule = 'stale'
WHERE a.happened_at < :before AND (w.at IS NULL OR w.at < a.happened_at)
ORDER BY a.id
LIMIT :limit
