-- name: expired
-- The next active tasks whose lease is over and that may have left something in a repository.
SELECT t.* FROM tasks AS t
WHERE t.status = 'active' AND t.leased_until < :now AND t.id > :after
  AND (t.repos IS NOT NULL OR EXISTS (SELECT 1 FROM sessions AS s WHERE s.task = t.id AND s.branches IS NOT NULL))
ORDER BY t.id
LIMIT :limit

-- name: held
-- The next active tasks that have been held for a while.
SELECT t.* FROM tasks AS t
WHERE t.status = 'active' AND t.id > :after AND t.claimed_at < :before
ORDER BY t.id
LIMIT :limit

-- name: branches
-- The branches of a task's sessions, the newest first.
SELECT branches FROM sessions WHERE task = :task AND branches IS NOT NULL ORDER BY id DESC LIMIT :limit

-- name: given_up
-- The tasks of a stretch of the log that failed because nobody was left who worked on them.
SELECT task FROM events
WHERE id > :after AND id <= :upto AND kind = 'task.expired' AND new_status = 'failed'
ORDER BY id

-- name: lose_sessions
-- End the sessions whose attempt has been over for a while; it was the worker's to say so, and nobody did.
UPDATE sessions SET outcome = 'lost', error = COALESCE(error, 'nobody said how it ended'), ended_at = :now
WHERE ended_at IS NULL AND id IN (
  SELECT s.id FROM sessions AS s JOIN tasks AS t ON t.id = s.task
  WHERE s.ended_at IS NULL
    AND ((t.status <> 'active' AND t.updated_at < :before) OR (t.attempt <> s.attempt AND t.claimed_at < :before))
  LIMIT :limit
)
RETURNING id, task, attempt
