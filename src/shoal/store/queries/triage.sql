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
