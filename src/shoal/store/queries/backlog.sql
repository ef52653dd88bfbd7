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
JOIN items AS b ON b.id = d.blocker AND b.status IN ('new', 'triaged', 'assessed', 'in_progress')
JOIN items AS w ON w.id = d.blocked AND w.status IN ('new', 'triaged', 'assessed', 'in_progress')
ORDER BY d.blocked, d.blocker

-- name: children
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

-- name: moved
-- The items whose tasks ended in a stretch of the log, or were reopened: then 1.
SELECT l.item, MAX(CASE WHEN e.old_status IN ('completed', 'failed', 'cancelled') THEN 1 ELSE 0 END)
FROM events AS e JOIN item_tasks AS l ON l.task = e.task
WHERE e.id > :after AND e.id <= :upto
  AND (e.new_status IN ('completed', 'failed', 'cancelled') OR e.old_status IN ('completed', 'failed', 'cancelled'))
GROUP BY l.item
ORDER BY l.item

-- name: last_answer
-- The last good assessment of an item.
SELECT answer FROM assessments WHERE item = :item AND answer IS NOT NULL AND error IS NULL ORDER BY version DESC LIMIT 1

-- name: files_of_assessed
-- The files that assessed open items are about.
SELECT f.item, f.path FROM item_files AS f JOIN items AS i ON i.id = f.item
WHERE i.status = 'assessed' AND i.merged_into IS NULL
  AND i.project = :project                                                 -- if project
ORDER BY f.item, f.path

-- name: answers_of_assessed
-- The last good assessments of assessed open items.
SELECT a.item, a.answer FROM assessments AS a JOIN items AS i ON i.id = a.item
WHERE i.status = 'assessed' AND i.merged_into IS NULL AND a.answer IS NOT NULL AND a.error IS NULL
  AND i.project = :project                                                 -- if project
  AND a.version = (
    SELECT MAX(o.version) FROM assessments AS o WHERE o.item = a.item AND o.answer IS NOT NULL AND o.error IS NULL
  )
ORDER BY a.item

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
  AND status IN ('new', 'triaged', 'assessed', 'in_progress')              -- if open
ORDER BY id
LIMIT :limit

-- name: event
-- An event about an item.
SELECT * FROM events WHERE id = :event AND item = :item
