-- part: open
-- The statuses of items that are open.
('new', 'triaged', 'assessed', 'in_progress')

-- name: undecided
-- New items that nobody has decided about, in the order of their numbers.
SELECT * FROM items
WHERE status = 'new' AND decided_by IS NULL AND merged_into IS NULL AND id > :after
  AND project = :project                                                   -- if project
ORDER BY id
LIMIT :limit

-- name: safe_unqueued
-- Accepted items that are safe to do and never became tasks.
SELECT i.* FROM items AS i
WHERE i.status IN ('triaged', 'assessed') AND i.tier = 'safe_always' AND i.merged_into IS NULL
  AND i.decided_by = :decided_by
  AND i.project = :project                                                 -- if project
  AND NOT EXISTS (SELECT 1 FROM item_tasks AS t WHERE t.item = i.id)
ORDER BY i.id
LIMIT :limit

-- name: ratable
-- Open items of which something is known by which they can be given a priority.
SELECT * FROM items
WHERE status IN ('new', 'triaged', 'assessed') AND (assessed_at IS NOT NULL OR severity IS NOT NULL)
  AND merged_into IS NULL AND id > :after
  AND project = :project                                                   -- if project
ORDER BY id
LIMIT :limit

-- name: open_waits
-- What open items wait for, as far as that is open too.
SELECT d.blocked, d.blocker FROM item_deps AS d
JOIN items AS b ON b.id = d.blocker AND b.status IN {{open}}
JOIN items AS w ON w.id = d.blocked AND w.status IN {{open}}
ORDER BY d.blocked, d.blocker

-- name: runnable_below
-- The accepted items below one that are not closed, in their order.
SELECT * FROM items
WHERE parent = :parent AND merged_into IS NULL AND accepted = 1 AND status IN ('triaged', 'assessed', 'in_progress')
ORDER BY sort_order, id

-- name: statuses_below
-- How the items directly below one stand.
SELECT status, accepted, COUNT(*) FROM items
WHERE parent = :parent AND merged_into IS NULL
GROUP BY status, accepted

-- name: put_task
-- A task that an item became.
INSERT INTO item_tasks (task, item, place, round) VALUES (:task, :item, :place, :round)

-- name: tasks_of
-- The tasks that an item became: their round, their place, and how they stand.
SELECT l.round, l.place, t.id, t.status, t.title FROM item_tasks AS l JOIN tasks AS t ON t.id = l.task
WHERE l.item = :item
ORDER BY l.round, l.place, t.id

-- name: live_tasks
-- The tasks of an item, and of those below it that are in progress, that are not finished.
WITH RECURSIVE family (id) AS (
  SELECT CAST(:item AS BIGINT)
  UNION
  SELECT i.id FROM items AS i JOIN family ON i.parent = family.id
  WHERE i.merged_into IS NULL AND i.accepted = 1 AND i.status = 'in_progress'
)
SELECT t.id FROM family JOIN item_tasks AS l ON l.item = family.id JOIN tasks AS t ON t.id = l.task
WHERE t.status NOT IN ('completed', 'failed', 'cancelled')
ORDER BY t.id

-- name: accepted_family
-- An item and the accepted ones below it.
WITH RECURSIVE family (id) AS (
  SELECT CAST(:item AS BIGINT)
  UNION
  SELECT i.id FROM items AS i JOIN family ON i.parent = family.id WHERE i.merged_into IS NULL AND i.accepted = 1
)
SELECT i.* FROM family JOIN items AS i ON i.id = family.id
ORDER BY i.id

-- name: moved
-- The items whose tasks ended in a stretch of the log, or were reopened: then 1.
SELECT l.item, MAX(CASE WHEN e.old_status IN ('completed', 'failed', 'cancelled') THEN 1 ELSE 0 END)
FROM events AS e JOIN item_tasks AS l ON l.task = e.task
WHERE e.id > :after AND e.id <= :upto
  AND (e.new_status IN ('completed', 'failed', 'cancelled') OR e.old_status IN ('completed', 'failed', 'cancelled'))
GROUP BY l.item
ORDER BY l.item

-- name: files_of_assessed
-- The files that assessed open items are about.
SELECT f.item, f.path FROM item_files AS f JOIN items AS i ON i.id = f.item
WHERE i.status = 'assessed' AND i.merged_into IS NULL
  AND i.project = :project                                                 -- if project
ORDER BY f.item, f.path

-- name: assessed
-- The assessed items that have no tasks under way.
SELECT * FROM items WHERE status = 'assessed' AND merged_into IS NULL
  AND project = :project                                                   -- if project
ORDER BY id

-- name: counts
-- How many items there are of each kind.
SELECT project, status, origin, priority, COUNT(*), MIN(created_at) FROM items
WHERE merged_into IS NULL
  AND project = :project                                                   -- if project
GROUP BY project, status, origin, priority
ORDER BY project, status, origin, priority

-- name: all
-- Every item, oldest first, a page at a time.
SELECT * FROM items
WHERE id > :after AND merged_into IS NULL
  AND project = :project                                                   -- if project
  AND status = :status                                                     -- if status
  AND status IN {{open}}                                                   -- if open
ORDER BY id
LIMIT :limit

-- name: alike
-- The items of a project that have the same words.
SELECT * FROM items
WHERE project = :project AND text_hash = :text_hash
ORDER BY id
LIMIT :limit

-- name: with_ref
-- The items of a project that have a name elsewhere.
SELECT * FROM items WHERE project = :project AND refs LIKE :like ESCAPE '\' ORDER BY id LIMIT :limit

-- name: event
-- An event about an item.
SELECT * FROM events WHERE id = :event AND item = :item
