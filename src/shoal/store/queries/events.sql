-- part: no_chatter
-- Not what agents say and do while they run: hundreds of lines a minute, for those who follow a session. Nor their tokens.
kind NOT IN ('token.issued', 'token.revoked', 'session.started', 'session.said', 'session.ended', 'tool.started', 'tool.completed', 'tool.failed', 'task.heard')

-- part: no_steps
-- Not each thing that an agent says, calls or pays: STEPS of model/event.py.
kind NOT IN ('session.said', 'tool.started', 'tool.completed', 'tool.failed', 'cost.recorded')

-- name: append
-- One line of the log.
INSERT INTO events (at, kind, actor, task, attempt, queue, old_queue, old_status, new_status, changes, data, item)
VALUES (:at, :kind, :actor, :task, :attempt, :queue, :old_queue, :old_status, :new_status, :changes, :data, :item)

-- name: append_many
-- The same for all that a commit brings, in one statement: where a round trip costs more than reading JSON.
INSERT INTO events (at, kind, actor, task, attempt, queue, old_queue, old_status, new_status, changes, data, item)
SELECT
  CAST(value ->> 'at' AS BIGINT), value ->> 'kind', value ->> 'actor', CAST(value ->> 'task' AS BIGINT),
  CAST(value ->> 'attempt' AS INTEGER), value ->> 'queue', value ->> 'old_queue', value ->> 'old_status',
  value ->> 'new_status', value ->> 'changes', value ->> 'data', CAST(value ->> 'item' AS BIGINT)
FROM {{rows}}

-- name: latest
-- The newest id.
SELECT COALESCE(MAX(id), 0) FROM events

-- name: count_between
-- How many there are in a stretch of ids; fewer than its length means a gap.
SELECT COUNT(*) FROM events WHERE id > :after AND id <= :upto

-- name: after
-- A page of the log behind a cursor, oldest first.
SELECT * FROM events
WHERE id > :after AND id <= :horizon
  AND task = :task                                                         -- if task
  AND item = :item                                                         -- if item
  AND kind = :kind                                                         -- if kind
  AND {{no_steps}}  -- if no_steps
ORDER BY id
LIMIT :limit

-- name: newest
-- The end of the log, newest first.
SELECT * FROM events
WHERE id < :before
  AND task = :task                                                         -- if task
  AND item = :item                                                         -- if item
  AND kind = :kind                                                         -- if kind
  AND {{no_steps}}  -- if no_steps
ORDER BY id DESC
LIMIT :limit

-- name: of_content
-- The event that tells of a piece of content, if its transaction was committed.
SELECT id FROM events WHERE task = :task AND data LIKE :token LIMIT 1

-- name: rescues
-- What attempts at a task could not push, newest first.
SELECT * FROM events WHERE task = :task AND kind = 'task.rescued' ORDER BY id DESC LIMIT :limit

-- name: later
-- An event of one kind about a task behind another one.
SELECT id FROM events WHERE task = :task AND id > :after AND kind = :kind AND data LIKE :data LIMIT 1

-- name: oldest
-- The oldest id that is still there.
SELECT MIN(id) FROM events

-- name: tasks_in
-- The tasks that a stretch of the log is about, apart from what their agents only say and do.
SELECT DISTINCT task FROM events
WHERE id > :after AND id <= :upto AND task IS NOT NULL AND {{no_chatter}}
ORDER BY task

-- name: kinds_in
-- How often each kind occurs in a stretch of the log.
SELECT kind, COUNT(*) FROM events WHERE id > :after AND id <= :upto GROUP BY kind ORDER BY kind

-- name: inbox
-- Of the next lines of the log, those that concern one agent: its tasks' events, and broadcasts.
SELECT e.* FROM (
  SELECT * FROM events WHERE id > :after AND id <= :horizon ORDER BY id LIMIT :scanned
) AS e
LEFT JOIN tasks AS t ON t.id = e.task
WHERE {{no_chatter}} AND (
  e.kind = 'broadcast'
  OR t.assignee = :agent
  OR t.created_by = :agent
  OR EXISTS (SELECT 1 FROM task_agents AS a WHERE a.agent = :agent AND a.task_id = e.task)
)
ORDER BY e.id
LIMIT :limit

-- name: scanned_to
-- How far the same stretch of the log reaches.
SELECT MAX(id) FROM (SELECT id FROM events WHERE id > :after AND id <= :horizon ORDER BY id LIMIT :scanned) AS e

-- name: prune
-- Forget a small batch of old lines that every reader inside the ledger has read.
DELETE FROM events WHERE id IN (
  SELECT id FROM (SELECT id, at FROM events WHERE id <= :horizon ORDER BY id LIMIT :limit) AS oldest
  WHERE at < :older_than
)
RETURNING id

-- name: cursor
-- How far a reader has come.
SELECT position FROM cursors WHERE name = :name

-- name: lock_cursor
-- How far a reader has come, kept from its other readers until the transaction ends.
SELECT position FROM cursors WHERE name = :name {{for_update}}

-- name: begin_cursor
-- A new reader.
INSERT INTO cursors (name, position, updated_at) VALUES (:name, :position, :now) ON CONFLICT DO NOTHING

-- name: move_cursor
-- A reader has come further.
UPDATE cursors SET position = :position, updated_at = :now WHERE name = :name

-- name: of_item
-- An event about an item.
SELECT * FROM events WHERE id = :event AND item = :item
