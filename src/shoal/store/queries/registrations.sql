-- name: get
-- One task's registration.
SELECT task, repositories, permissions, status, registered_at, registered_by, expires_at, token_count, attempt
FROM registrations WHERE task = :task

-- name: list
-- A page of the registrations that hold, by task. They are few; those that held once are not: the signs keep them unread.
SELECT task, repositories, permissions, status, registered_at, registered_by, expires_at, token_count, attempt
FROM registrations
WHERE +task > :after AND status = 'active' AND expires_at > :now
ORDER BY +task
LIMIT :limit

-- name: put
-- What a task may have from now on; its tokens stay counted.
INSERT INTO registrations (
  task, repositories, permissions, status, registered_at, registered_by, expires_at, attempt
) VALUES (
  :task, :repositories, :permissions, :status, :now, :actor, :expires_at, :attempt
)
ON CONFLICT (task) DO UPDATE SET
  repositories = excluded.repositories, permissions = excluded.permissions, status = excluded.status,
  registered_at = excluded.registered_at, registered_by = excluded.registered_by, expires_at = excluded.expires_at,
  attempt = excluded.attempt
RETURNING task, repositories, permissions, status, registered_at, registered_by, expires_at, token_count, attempt

-- name: bring_count
-- Tokens that the task was given elsewhere.
UPDATE registrations SET token_count = token_count + :token_count WHERE task = :task

-- name: count_token
-- One more token was made for the task.
UPDATE registrations SET token_count = token_count + 1 WHERE task = :task

-- name: count
-- How many registrations hold.
SELECT COUNT(*) FROM registrations WHERE status = 'active' AND expires_at > :now
