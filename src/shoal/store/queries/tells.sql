-- part: told
-- What whoever works on a task is told.
id, task, actor, text, at, delivery, delivered_at

-- name: add
-- A message to whoever works on a task.
INSERT INTO tells (task, at, actor, text, delivery) VALUES (:task, :now, :actor, :text, :delivery)
RETURNING {{told}}

-- name: hand_out
-- What this attempt has not been handed, given to one episode of it.
UPDATE tells SET delivered_at = :now, attempt = :attempt, session = :session, episode = :episode
WHERE task = :task AND heard_at IS NULL AND (attempt IS NULL OR attempt <> :attempt)
RETURNING {{told}}

-- name: unheard
-- What this attempt was handed and its worker does not know of.
SELECT {{told}} FROM tells
WHERE task = :task AND heard_at IS NULL AND attempt = :attempt AND id > :heard
ORDER BY id

-- name: heard_upto
-- The worker says what its agent has got.
UPDATE tells SET heard_at = :now
WHERE task = :task AND heard_at IS NULL AND attempt = :attempt AND id <= :heard

-- name: went_on
-- The agent went on after it was handed these: at once when it takes messages, else only in a later episode.
UPDATE tells SET heard_at = :now
WHERE task = :task AND heard_at IS NULL AND attempt = :attempt
  AND (:takes_messages = 1 OR session <> :session OR episode < :episode)

-- name: said
-- What people said to whoever worked on a task, and some agents repeat.
SELECT actor, text FROM tells WHERE task = :task AND delivered_at IS NOT NULL
