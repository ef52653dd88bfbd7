-- name: accepted_below
-- The accepted items below one that are not closed, in their order.
SELECT * FROM items
WHERE parent = :parent AND merged_into IS NULL AND accepted = 1 AND status IN ('triaged', 'assessed', 'in_progress')
ORDER BY sort_order, id

-- name: statuses_below
-- How the items directly below one stand.
SELECT status, accepted, COUNT(*) FROM items
WHERE parent = :parent AND merged_into IS NULL
GROUP BY status, accepted

-- name: put
-- A task that an item became.
INSERT INTO item_tasks (task, item, place, round) VALUES (:task, :item, :place, :round)

-- name: of_item
-- The tasks that an item became: their round, their place, and how they stand.
SELECT l.round, l.place, t.id, t.status, t.title FROM item_tasks AS l JOIN tasks AS t ON t.id = l.task
WHERE l.item = :item
ORDER BY l.round, l.place, t.id

-- name: live
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

-- name: moved
-- The items whose tasks ended in a stretch of the log, or were reopened: then 1.
SELECT l.item, MAX(CASE WHEN e.old_status IN ('completed', 'failed', 'cancelled') THEN 1 ELSE 0 END)
FROM events AS e JOIN item_tasks AS l ON l.task = e.task
WHERE e.id > :after AND e.id <= :upto
  AND (e.new_status IN ('completed', 'failed', 'cancelled') OR e.old_status IN ('completed', 'failed', 'cancelled'))
GROUP BY l.item
ORDER BY l.item
