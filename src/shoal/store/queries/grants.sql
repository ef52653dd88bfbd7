-- part: shown
-- A grant in the order of its fields.
g.id, g.task, g.attempt, g.service, g.repositories, g.permissions, g.actor, g.server, g.issued_at, g.expires_at,
  g.token_hash, g.token_end, g.revoked_at, g.revoke_error, g.ends

-- part: is_over
-- Whether a living token has to end: somebody said so, or its attempt or its registration is over.
g.revoked_at IS NULL AND g.expires_at > :now AND (
    g.ends IS NOT NULL
    OR (g.task IS NOT NULL AND (t.status <> 'active' OR t.attempt <> g.attempt OR r.expires_at <= :now))
  )

-- name: add
-- A token was made.
INSERT INTO grants (
  task, attempt, service, repositories, permissions, actor, server, issued_at, expires_at, token_hash, token_end, ends
) VALUES (
  :task, :attempt, :service, :repositories, :permissions, :actor, :server, :now, :expires_at, :token_hash, :token_end,
  :ends
)
RETURNING id

-- name: list
-- A page of the grants, newest first.
SELECT {{shown}}
FROM grants AS g
WHERE g.id < :before
  AND g.task = :task                                   -- if task
  AND g.revoked_at IS NULL AND g.expires_at > :alive   -- if alive
ORDER BY g.id DESC
LIMIT :limit

-- name: alive_of_task
-- A task's tokens that live and may.
SELECT {{shown}}
FROM grants AS g
WHERE g.task = :task AND g.revoked_at IS NULL AND g.expires_at > :now AND g.ends IS NULL

-- name: end
-- A token has to end before its time.
UPDATE grants SET ends = :reason WHERE id = :id

-- name: doomed
-- Whether a token has to end before its time, or was ended.
SELECT 1
FROM grants AS g
WHERE g.token_hash = :hashed AND (g.ends IS NOT NULL OR g.revoked_at IS NOT NULL)
  AND g.task = :task                                   -- if task
  AND g.revoked_at IS NULL AND g.expires_at > :alive   -- if alive
LIMIT 1

-- name: over
-- The living tokens of a server that have to end, and what has become of their tasks.
SELECT g.id, g.token_hash, COALESCE(g.ends, CASE
  WHEN t.status <> 'active' THEN 'the task is ' || t.status
  WHEN t.attempt <> g.attempt THEN 'attempt ' || CAST(g.attempt AS TEXT) || ' is over'
  ELSE 'the registration has expired' END)
FROM grants AS g
LEFT JOIN tasks AS t ON t.id = g.task
LEFT JOIN registrations AS r ON r.task = g.task
WHERE g.server = :server AND {{is_over}}
ORDER BY g.expires_at, g.id
LIMIT :limit

-- name: left_behind
-- The living tokens of other servers that should have ended a while ago, and of which nobody has told yet.
SELECT g.id
FROM grants AS g
LEFT JOIN tasks AS t ON t.id = g.task
LEFT JOIN registrations AS r ON r.task = g.task
WHERE g.server <> :server AND g.revoke_error IS NULL AND (t.id IS NULL OR t.updated_at <= :since) AND {{is_over}}
ORDER BY g.expires_at, g.id
LIMIT :limit

-- name: revoked
-- A token was ended.
UPDATE grants SET revoked_at = :now, ends = COALESCE(ends, :reason)
WHERE id = :id AND revoked_at IS NULL
RETURNING task, attempt, service, repositories, permissions, expires_at, server

-- name: unrevoked
-- A token could not be ended; told once for each reason.
UPDATE grants SET revoke_error = :error, ends = COALESCE(ends, :reason)
WHERE id = :id AND revoked_at IS NULL AND (revoke_error IS NULL OR revoke_error <> :error)
RETURNING task, attempt, service, repositories, permissions, expires_at, server

-- name: count
-- How many tokens live.
SELECT COUNT(*) FROM grants WHERE revoked_at IS NULL AND expires_at > :now

-- name: sums
-- Registrations that hold, about how many tokens were ever made and lines there are, runs of jobs that are running.
SELECT
  (SELECT COUNT(*) FROM registrations WHERE status = 'active' AND expires_at > :now),
  (SELECT COALESCE(MAX(id), 0) FROM grants),
  (SELECT COALESCE(MAX(id), 0) FROM grant_audit) - (SELECT COALESCE(MIN(id), 1) FROM grant_audit) + 1,
  (SELECT COUNT(*) FROM runs WHERE status = 'running')

-- name: prune
-- Forget a batch of old grants.
DELETE FROM grants WHERE id IN (SELECT id FROM grants ORDER BY id LIMIT :limit) AND issued_at < :older_than
RETURNING id

-- name: note
-- A line of the audit.
INSERT INTO grant_audit (
  at, action, task, attempt, reference, service, actor, repositories, permissions, expires_at, reason
) VALUES (
  :now, :action, :task, :attempt, :reference, :service, :actor, :repositories, :permissions, :expires_at, :reason
)

-- name: audit
-- A page of the audit, newest first.
SELECT id, at, action, task, attempt, reference, service, actor, repositories, permissions, expires_at, reason
FROM grant_audit
WHERE id < :before
  AND task = :task              -- if task
  AND reference = :reference    -- if reference
  AND service = :service        -- if service
  AND action = :action          -- if action
  AND at >= :since              -- if since
  AND repositories = :repositories -- if repositories
ORDER BY id DESC
LIMIT :limit

-- name: prune_audit
-- Forget a batch of old lines.
DELETE FROM grant_audit WHERE id IN (SELECT id FROM grant_audit WHERE at < :older_than ORDER BY at LIMIT :limit)
RETURNING id
