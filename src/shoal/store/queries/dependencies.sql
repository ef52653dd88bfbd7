-- name: add
-- One edge; nothing when it is there already.
INSERT INTO dependencies (blocked, blocker, kind, done, created_at)
VALUES (:blocked, :blocker, :kind, :done, :now)
ON CONFLICT DO NOTHING
RETURNING blocked

-- name: remove
-- Take one edge away; the row tells whether it still held its task back.
DELETE FROM dependencies WHERE blocked = :blocked AND blocker = :blocker AND kind = :kind
RETURNING done

-- name: lean_on
-- Count one more dependent on a blocker, locking it; its status decides whether the edge is done.
UPDATE tasks SET dependents = dependents + 1 WHERE id = :id RETURNING status

-- name: lean_off
-- Count one dependent less.
UPDATE tasks SET dependents = dependents - 1 WHERE id = :id

-- name: lock_edges
-- One at a time may look for a cycle and add an edge.
UPDATE facts SET value = value WHERE name = 'edges'

-- name: path
-- A way from one task to another along what waits for what, if there is one; as ids joined by commas.
WITH RECURSIVE walk (id, trail) AS (
  SELECT CAST(:start AS BIGINT), CAST(:start AS TEXT)
  UNION
  SELECT d.blocked, CASE WHEN LENGTH(walk.trail) > 2000 THEN walk.trail ELSE walk.trail || ',' || CAST(d.blocked AS TEXT) END
  FROM walk JOIN dependencies AS d ON d.blocker = walk.id AND d.kind = 'blocks'
)
SELECT trail FROM walk WHERE id = :goal LIMIT 1

-- name: ancestors
-- The parents of a task, nearest first.
WITH RECURSIVE above (id, parent, depth) AS (
  SELECT id, parent, 0 FROM tasks WHERE id = :id
  UNION ALL
  SELECT t.id, t.parent, above.depth + 1 FROM tasks AS t JOIN above ON t.id = above.parent WHERE above.depth < 1000
)
SELECT id FROM above ORDER BY depth

-- name: finish
-- Mark the edges of a completed blocker done; each is told once.
UPDATE dependencies SET done = 1 WHERE blocker = :blocker AND kind = 'blocks' AND done = 0
RETURNING blocked

-- name: unblock
-- A task waits for one task less; it is queued or scheduled when it waits for nothing more.
UPDATE tasks SET
  blockers = blockers - 1,
  status = CASE WHEN status = 'blocked' AND blockers = 1 AND hold_reason IS NULL
    THEN CASE WHEN run_at > :now THEN 'scheduled' ELSE 'queued' END ELSE status END,
  queued_at = CASE WHEN status = 'blocked' AND blockers = 1 AND hold_reason IS NULL AND run_at <= :now
    THEN :now ELSE queued_at END,
  updated_at = :now
WHERE id = :id
RETURNING *

-- name: of
-- Every edge of one task, either way.
SELECT d.blocked, d.blocker, d.kind, d.done, d.created_at, b.title, b.status, w.title, w.status
FROM dependencies AS d
JOIN tasks AS b ON b.id = d.blocker
JOIN tasks AS w ON w.id = d.blocked
WHERE d.blocked = :id
UNION ALL
SELECT d.blocked, d.blocker, d.kind, d.done, d.created_at, b.title, b.status, w.title, w.status
FROM dependencies AS d
JOIN tasks AS b ON b.id = d.blocker
JOIN tasks AS w ON w.id = d.blocked
WHERE d.blocker = :id
ORDER BY 1, 2, 3
LIMIT :limit

-- name: open_blockers
-- The tasks that one task still waits for.
SELECT t.* FROM dependencies AS d JOIN tasks AS t ON t.id = d.blocker
WHERE d.blocked = :id AND d.kind = 'blocks' AND d.done = 0
ORDER BY t.id LIMIT :limit

-- name: held_back
-- The tasks that still wait for one task.
SELECT blocked FROM dependencies WHERE blocker = :id AND kind = 'blocks' AND done = 0 ORDER BY blocked

-- name: closure
-- The tasks that must be done before, and those that wait for, one task; with the edges between them.
WITH RECURSIVE before (id) AS (
  SELECT CAST(:id AS BIGINT)
  UNION
  SELECT d.blocker FROM dependencies AS d JOIN before ON d.blocked = before.id WHERE d.kind = 'blocks'
), after (id) AS (
  SELECT CAST(:id AS BIGINT)
  UNION
  SELECT d.blocked FROM dependencies AS d JOIN after ON d.blocker = after.id WHERE d.kind = 'blocks'
), family (id) AS (
  SELECT CAST(:id AS BIGINT)
  UNION
  SELECT t.id FROM tasks AS t JOIN family ON t.parent = family.id
)
SELECT id FROM before UNION SELECT id FROM after UNION SELECT id FROM family LIMIT :limit

-- name: edges_within
-- The edges that hold back a task, for drawing.
SELECT blocked, blocker, kind, done FROM dependencies WHERE blocked = :id ORDER BY blocker, kind

-- name: blockers_of
-- The tasks that one depends on, done or not.
SELECT blocker FROM dependencies WHERE blocked = :id AND kind = 'blocks' ORDER BY blocker

-- name: recount
-- Tasks whose counter of blockers does not agree with their edges; none, unless something is broken.
SELECT t.id, t.blockers, COUNT(d.blocked) FROM tasks AS t
LEFT JOIN dependencies AS d ON d.blocked = t.id AND d.kind = 'blocks' AND d.done = 0
GROUP BY t.id, t.blockers
HAVING t.blockers <> COUNT(d.blocked)
LIMIT :limit
