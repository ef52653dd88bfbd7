-- part: open
-- The statuses of items that are open.
('new', 'triaged', 'assessed', 'in_progress')

-- name: begin
-- A check has looked at a project, for the first time or again; its row stays locked until the transaction ends.
INSERT INTO checks (check_name, project, version, last_at) VALUES (:check_name, :project, :version, :now)
ON CONFLICT (check_name, project) DO UPDATE SET last_at = excluded.last_at

-- name: complete
-- It has looked at everything.
UPDATE checks SET version = :version, head = :head, completed_at = :now
WHERE check_name = :check_name AND project = :project

-- name: list
-- How each check stands, with the findings that are open.
SELECT c.check_name, c.project, c.version, c.last_at, c.completed_at, c.head,
  COALESCE(SUM(CASE WHEN t.id IS NULL THEN 0 ELSE 1 END), 0),
  COALESCE(SUM(CASE WHEN t.severity = 'critical' THEN 1 ELSE 0 END), 0)
FROM checks AS c
LEFT JOIN items AS t ON t.check_name = c.check_name AND t.project = c.project
  AND t.status IN {{open}} AND t.merged_into IS NULL
WHERE 1 = 1
  AND c.check_name = :check_name                                           -- if check_name
  AND c.project = :project                                                 -- if project
GROUP BY c.check_name, c.project, c.version, c.last_at, c.completed_at, c.head
ORDER BY c.check_name, c.project
LIMIT :limit

-- name: known
-- What a check has found in a project before, whatever has become of it.
SELECT f.item, f.file, f.rule, f.key_hash, f.version, f.gone, t.status, t.source_line, t.text,
  t.source_file, t.severity, t.tier, t.title, t.merged_into
FROM findings AS f JOIN items AS t ON t.id = f.item
WHERE f.check_name = :check_name AND f.project = :project
ORDER BY f.item

-- name: item_of
-- The work item that a finding is.
SELECT item FROM findings
WHERE check_name = :check_name AND project = :project AND file = :file AND rule = :rule AND key_hash = :key_hash
ORDER BY item DESC
LIMIT 1

-- name: insert
-- A finding is this work item.
INSERT INTO findings (item, check_name, project, file, rule, key_hash, version)
VALUES (:item, :check_name, :project, :file, :rule, :key_hash, :version)

-- name: seen
-- A finding was seen again.
UPDATE findings SET file = :file, rule = :rule, key_hash = :key_hash, version = :version, gone = 0 WHERE item = :item

-- name: touch
-- It was seen again as it was.
UPDATE items SET last_seen_at = :now, unseen = 0, updated_at = :now,
  run = COALESCE(:run, run)
WHERE id = :item

-- name: gone
-- A complete look has not seen it.
UPDATE findings SET gone = 1 WHERE item = :item

-- name: audits
-- The newest findings from outside before one.
SELECT t.* FROM items AS t
WHERE t.id < :before AND t.check_name LIKE 'audit:%' AND t.merged_into IS NULL
  AND t.check_name = :check_name                                           -- if check_name
  AND t.project = :project                                                 -- if project
  AND t.severity = :severity                                               -- if severity
  AND t.first_seen_at >= :since                                            -- if since
  AND t.first_seen_at < :until                                             -- if until
  AND t.status IN {{open}}                                                 -- if open
  AND t.status = 'done'                                                    -- if resolved
  AND t.status = 'wontfix'                                                 -- if rejected
ORDER BY t.id DESC
LIMIT :limit
