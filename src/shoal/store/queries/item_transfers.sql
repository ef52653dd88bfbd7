-- name: alike
-- The items of a project that have the same words.
SELECT * FROM items
WHERE project = :project AND text_hash = :text_hash
ORDER BY id
LIMIT :limit

-- name: with_ref
-- The items of a project that have a name elsewhere.
SELECT * FROM items WHERE project = :project AND refs LIKE :like ESCAPE '\' ORDER BY id LIMIT :limit
