-- name: last
-- What is known of the last scan of a project.
SELECT number, at, head, repository FROM scans WHERE project = :project AND scanner = :scanner

-- name: count_up
-- The next scan's number, unless another scan was faster.
INSERT INTO scans (project, scanner, number, at, head, repository)
VALUES (:project, :scanner, :expected + 1, :now, :head, :repository)
ON CONFLICT (project, scanner) DO UPDATE SET
  number = excluded.number, at = excluded.at, head = excluded.head,
  repository = COALESCE(excluded.repository, scans.repository)
WHERE scans.number = :expected
RETURNING number

-- name: files
-- What it read.
SELECT path, hash FROM scanned_files WHERE project = :project AND scanner = :scanner

-- name: put_files
-- Files that a scan read; rows: a JSON array of objects.
INSERT INTO scanned_files (project, scanner, path, hash)
SELECT :project, :scanner, value ->> 'path', value ->> 'hash' FROM {{rows}}
WHERE TRUE
ON CONFLICT (project, scanner, path) DO UPDATE SET hash = excluded.hash

-- name: drop_files
-- Files that are gone.
DELETE FROM scanned_files
WHERE project = :project AND scanner = :scanner AND path IN (SELECT value ->> 'path' FROM {{rows}})

-- name: seen_in
-- The items that were in these files when they were read last.
SELECT s.*, i.status, i.unseen, i.merged_into FROM sightings AS s
JOIN items AS i ON i.id = s.item
WHERE s.project = :project AND s.scanner = :scanner AND s.seen = 1
  AND s.path IN (SELECT value ->> 'path' FROM {{rows}})

-- name: gone
-- The items that were in no file when it was read last.
SELECT s.*, i.status, i.unseen, i.merged_into FROM sightings AS s
JOIN items AS i ON i.id = s.item
WHERE s.project = :project AND s.scanner = :scanner AND s.seen = 0

-- name: named
-- By what other items of a project are called, for those that wait for them.
SELECT item, path, called, text FROM sightings WHERE project = :project AND scanner = :scanner AND seen = 1

-- name: marked
-- What the box of an item says that is not open, where the last scan saw it.
SELECT mark, path, scanner FROM sightings WHERE item = :item AND seen = 1 AND mark <> 'open'

-- name: lock
-- Items by their numbers, in their order, kept from other writers until the transaction ends.
SELECT * FROM items WHERE id IN (SELECT CAST(value ->> 'id' AS BIGINT) FROM {{rows}})
ORDER BY id
{{for_update}}  -- if writing

-- name: also_seen
-- Which of these items other items were merged into that are still seen.
SELECT i.merged_into, s.item FROM items AS i
JOIN sightings AS s ON s.item = i.id
WHERE i.merged_into IN (SELECT CAST(value ->> 'id' AS BIGINT) FROM {{rows}}) AND s.seen = 1

-- name: parents
-- What items stand below.
SELECT id, parent FROM items
WHERE id IN (SELECT CAST(value ->> 'id' AS BIGINT) FROM {{rows}}) AND parent IS NOT NULL

-- name: insert
-- New items; rows: a JSON array of objects. They are numbered in its order.
INSERT INTO items (
  project, source_file, source_line, heading, text, text_hash, form, status, decided_by, origin, effort,
  estimate_minutes, priority,
  labels, owner, due_at, refs, first_seen_at, last_seen_at, done_at, created_at, updated_at
)
SELECT
  :project, value ->> 'source_file', CAST(value ->> 'source_line' AS INTEGER), value ->> 'heading', value ->> 'text',
  value ->> 'text_hash', value ->> 'form', value ->> 'status', value ->> 'decided_by', 'scan', value ->> 'effort',
  CAST(value ->> 'estimate_minutes' AS INTEGER),
  CAST(value ->> 'priority' AS INTEGER), value ->> 'labels', value ->> 'owner',
  CAST(value ->> 'due_at' AS BIGINT), value ->> 'refs', :now, :now, CAST(value ->> 'done_at' AS BIGINT), :now, :now
FROM {{rows}}
RETURNING id

-- name: change
-- New values for items that a scan saw changed.
UPDATE items SET
  source_file = value ->> 'source_file',
  source_line = CAST(value ->> 'source_line' AS INTEGER),
  heading = value ->> 'heading',
  text = value ->> 'text',
  text_hash = value ->> 'text_hash',
  form = value ->> 'form',
  status = value ->> 'status',
  accepted = CAST(value ->> 'accepted' AS INTEGER),
  decided_by = value ->> 'decided_by',
  effort = value ->> 'effort',
  estimate_minutes = CAST(value ->> 'estimate_minutes' AS INTEGER),
  priority = CAST(value ->> 'priority' AS INTEGER),
  labels = value ->> 'labels',
  owner = value ->> 'owner',
  due_at = CAST(value ->> 'due_at' AS BIGINT),
  parent = CAST(value ->> 'parent' AS BIGINT),
  refs = value ->> 'refs',
  last_seen_at = CAST(value ->> 'last_seen_at' AS BIGINT),
  unseen = CAST(value ->> 'unseen' AS INTEGER),
  done_at = CAST(value ->> 'done_at' AS BIGINT),
  done_commit = value ->> 'done_commit',
  updated_at = :now
FROM {{rows}}
WHERE items.id = CAST(value ->> 'id' AS BIGINT)

-- name: move_lines
-- Items of which nothing has changed but their line.
UPDATE items SET source_line = CAST(value ->> 'line' AS INTEGER)
FROM {{rows}}
WHERE items.id = CAST(value ->> 'item' AS BIGINT)

-- name: put_below
-- New items below others.
UPDATE items SET parent = CAST(value ->> 'above' AS BIGINT)
FROM {{rows}}
WHERE items.id = CAST(value ->> 'item' AS BIGINT)

-- name: put_sightings
-- Where items were seen, and how.
INSERT INTO sightings (
  item, project, scanner, path, place, line, heading, text, form, mark, called, above, said, waits_for, seen
)
SELECT
  CAST(value ->> 'item' AS BIGINT), :project, :scanner, value ->> 'path', CAST(value ->> 'place' AS INTEGER),
  CAST(value ->> 'line' AS INTEGER), value ->> 'heading', value ->> 'text', value ->> 'form', value ->> 'mark',
  value ->> 'called', CAST(value ->> 'above' AS BIGINT), value ->> 'said', value ->> 'waits_for', 1
FROM {{rows}}
WHERE TRUE
ON CONFLICT (item) DO UPDATE SET
  path = excluded.path, place = excluded.place, line = excluded.line, heading = excluded.heading,
  text = excluded.text, form = excluded.form, mark = excluded.mark, called = excluded.called, above = excluded.above,
  said = excluded.said, waits_for = excluded.waits_for, seen = 1

-- name: shift_sightings
-- Where items are seen of which nothing else has changed.
UPDATE sightings SET place = CAST(value ->> 'place' AS INTEGER), line = CAST(value ->> 'line' AS INTEGER)
FROM {{rows}}
WHERE sightings.item = CAST(value ->> 'item' AS BIGINT)

-- name: miss_sightings
-- Items that are not where they were.
UPDATE sightings SET seen = 0 WHERE item IN (SELECT CAST(value ->> 'id' AS BIGINT) FROM {{rows}})

-- name: waiting
-- What items wait for.
SELECT blocked, blocker FROM item_deps
WHERE blocked IN (SELECT CAST(value ->> 'id' AS BIGINT) FROM {{rows}})

-- name: add_dependencies
-- Items wait for others, because their files say so.
INSERT INTO item_deps (blocked, blocker)
SELECT CAST(value ->> 'blocked' AS BIGINT), CAST(value ->> 'blocker' AS BIGINT) FROM {{rows}}
WHERE TRUE
ON CONFLICT (blocked, blocker) DO NOTHING

-- name: drop_dependency
-- An item waits for another no more, because its file does not say so any more.
DELETE FROM item_deps WHERE blocked = :blocked AND blocker = :blocker
