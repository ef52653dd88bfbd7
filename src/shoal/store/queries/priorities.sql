-- name: ratable
-- Open items of which something is known by which they can be given a priority.
SELECT * FROM items
WHERE status IN ('new', 'triaged', 'assessed') AND (assessed_at IS NOT NULL OR severity IS NOT NULL)
  AND merged_into IS NULL AND id > :after
  AND project = :project                                                   -- if project
ORDER BY id
LIMIT :limit
