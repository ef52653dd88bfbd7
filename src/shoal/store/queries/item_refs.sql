-- name: find
-- The item that a ref of another backlog stands for, and what was said of it the last time.
SELECT item, said FROM item_refs WHERE project = :project AND system = :system AND ref = :ref

-- name: put
-- What a ref stands for, and what is said of it now.
INSERT INTO item_refs (project, system, ref, item, said) VALUES (:project, :system, :ref, :item, :said)
ON CONFLICT (project, system, ref) DO UPDATE SET said = excluded.said

-- name: wait
-- An item is linked to what has not been imported yet.
INSERT INTO item_waits (project, system, ref, item, kind) VALUES (:project, :system, :ref, :item, :kind)
ON CONFLICT (project, system, ref, item, kind) DO NOTHING

-- name: waiting
-- What waits for a ref to be imported.
SELECT item, kind FROM item_waits
WHERE project = :project AND system = :system AND ref = :ref
ORDER BY kind, item

-- name: arrived
-- Nothing waits any more for what has been imported.
DELETE FROM item_waits WHERE project = :project AND system = :system AND ref = :ref

-- name: wait_no_more
-- An item is not linked any more to what was not imported.
DELETE FROM item_waits
WHERE project = :project AND system = :system AND ref = :ref AND item = :item AND kind = :kind
