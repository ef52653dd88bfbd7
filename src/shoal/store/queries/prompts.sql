-- name: session
-- A session's task, and where it works.
SELECT id, task, workspace, branches FROM sessions WHERE id = :id

-- name: latest_session
-- The newest session about a task.
SELECT id, task, workspace, branches FROM sessions WHERE task = :task ORDER BY id DESC LIMIT 1

-- name: count_lines
-- How long a session's conversation is.
SELECT COUNT(*) FROM transcript_lines WHERE session = :session AND role IN ('user', 'assistant', 'tool')

-- name: newest_lines
-- The end of a session's conversation, newest first.
SELECT id, role, key, text, tool_name, arguments, result, error
FROM transcript_lines
WHERE session = :session AND role IN ('user', 'assistant', 'tool')
ORDER BY at DESC, id DESC
LIMIT :limit

-- name: waiting
-- What was told to whoever works on a task and has not been delivered yet.
SELECT id, actor, text, at, delivery FROM tells WHERE task = :task AND delivered_at IS NULL ORDER BY id LIMIT :limit

-- name: newest_told
-- The newest messages to whoever works on a task.
SELECT at, actor, text FROM tells WHERE task = :task ORDER BY id DESC LIMIT :limit

-- name: comments
-- The newest comments on a task and verdicts against it.
SELECT * FROM events
WHERE task = :task AND kind IN ('task.commented', 'task.rejected')
ORDER BY id DESC
LIMIT :limit

-- name: history
-- How earlier attempts at a task ended, newest first.
SELECT * FROM events
WHERE task = :task
  AND kind IN ('task.retried', 'task.expired', 'task.released', 'task.rejected', 'task.failed', 'task.reopened')
ORDER BY id DESC
LIMIT :limit

-- name: claimed_by
-- Whether somebody has claimed a task, so that it is an agent.
SELECT id FROM events WHERE task = :task AND kind = 'task.claimed' AND actor = :actor LIMIT 1

-- name: session_of
-- Whether somebody has ever had a session, so that it is an agent.
SELECT id FROM sessions WHERE agent = :agent LIMIT 1
