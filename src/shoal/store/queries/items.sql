-- part: open
-- The statuses of items that are open.
('new', 'triaged', 'assessed', 'in_progress')

-- part: no_work
-- The forms of items that are no work.
('decision', 'question')

-- name: insert
-- One new work item.
INSERT INTO items (
  project, source_file, source_line, heading, text, text_hash, form, status, accepted, decided_by, origin, check_name,
  rule, run, severity, title, summary, effort, estimate_minutes, risk, priority, sort_order, tier, type, labels, owner, due_at, parent,
  refs, confidence, assessed_at, assessed_by, first_seen_at, last_seen_at, done_at, done_commit, created_at, updated_at,
  prioritised_by
) VALUES (
  :project, :source_file, :source_line, :heading, :text, :text_hash, :form, :status, :accepted, :decided_by, :origin,
  :check_name, :rule, :run, :severity, :title, :summary, :effort, :estimate_minutes, :risk, :priority, :sort_order, :tier, :type, :labels,
  :owner, :due_at, :parent, :refs, :confidence, :assessed_at, :assessed_by, :first_seen_at, :now, :done_at,
  :done_commit, :now, :now, :prioritised_by
)
RETURNING *

-- name: get
-- One work item.
SELECT * FROM items WHERE id = :id

-- name: lock
-- The same, kept from other writers until the transaction ends.
SELECT * FROM items WHERE id = :id
{{for_update}}

-- name: change
-- New values for some fields of one item.
UPDATE items SET
  project = :project,                       -- if project
  source_file = :source_file,               -- if source_file
  source_line = :source_line,               -- if source_line
  heading = :heading,                       -- if heading
  text = :text,                             -- if text
  text_hash = :text_hash,                   -- if text_hash
  form = :form,                             -- if form
  status = :status,                         -- if status
  accepted = :accepted,                     -- if accepted
  decided_by = :decided_by,                 -- if decided_by
  check_name = :check_name,                 -- if check_name
  rule = :rule,                             -- if rule
  run = :run,                               -- if run
  severity = :severity,                     -- if severity
  title = :title,                           -- if title
  summary = :summary,                       -- if summary
  effort = :effort,                         -- if effort
  estimate_minutes = :estimate_minutes,     -- if estimate_minutes
  risk = :risk,                             -- if risk
  priority = :priority,                     -- if priority
  sort_order = :sort_order,                 -- if sort_order
  tier = :tier,                             -- if tier
  type = :type,                             -- if type
  labels = :labels,                         -- if labels
  owner = :owner,                           -- if owner
  due_at = :due_at,                         -- if due_at
  parent = :parent,                         -- if parent
  refs = :refs,                             -- if refs
  confidence = :confidence,                 -- if confidence
  assessed_at = :assessed_at,               -- if assessed_at
  assessed_by = :assessed_by,               -- if assessed_by
  assessment_version = :assessment_version, -- if assessment_version
  input_hash = :input_hash,                 -- if input_hash
  last_seen_at = :last_seen_at,             -- if last_seen_at
  unseen = :unseen,                         -- if unseen
  merged_into = :merged_into,               -- if merged_into
  done_at = :done_at,                       -- if done_at
  done_commit = :done_commit,               -- if done_commit
  prioritised_by = :prioritised_by,         -- if prioritised_by
  updated_at = :now
WHERE id = :id
RETURNING *

-- name: newest
-- The newest items before one.
SELECT t.* FROM items AS t
WHERE t.id < :before AND t.merged_into IS NULL
  AND t.project = :project                                                 -- if project
  AND t.status = :status                                                   -- if status
  AND t.status IN {{open}}                                                 -- if open
  AND t.accepted = :accepted                                               -- if accepted
  AND t.origin = :origin                                                   -- if origin
  AND t.check_name = :check_name                                           -- if check_name
  AND t.severity = :severity                                               -- if severity
  AND t.priority = :priority                                               -- if priority
  AND t.priority IS NULL                                                   -- if unprioritised
  AND t.type = :type                                                       -- if type
  AND :label IN ({{labels}})                                               -- if label
  AND t.form NOT IN {{no_work}}                                            -- if work
  AND t.parent = :parent                                                   -- if parent
  AND t.source_file = :source_file                                         -- if source_file
  AND LOWER(t.text) LIKE LOWER(:like) ESCAPE '\'                           -- if like
  AND (t.source_file = :file OR EXISTS (SELECT 1 FROM item_files AS f WHERE f.item = t.id AND f.path = :file))  -- if file
ORDER BY t.id DESC
LIMIT :limit

-- name: in_order
-- The open items that have a priority, in the order in which they are to be done. Decisions and questions are no work.
SELECT t.* FROM items AS t
WHERE t.status IN ('triaged', 'assessed') AND t.priority IS NOT NULL AND t.merged_into IS NULL
  AND t.form NOT IN {{no_work}}
  AND t.project = :project                                                 -- if project
ORDER BY t.priority, t.sort_order, t.id
LIMIT :limit

-- name: numbers_below
-- The numbers of the items directly below one, in their order.
SELECT id FROM items WHERE parent = :parent AND merged_into IS NULL ORDER BY sort_order, id LIMIT :limit

-- name: put_file
-- A file that an item is about.
INSERT INTO item_files (item, path, validated) VALUES (:item, :path, :validated)
ON CONFLICT (item, path) DO UPDATE SET validated = excluded.validated

-- name: drop_file
-- A file that it is not about any more.
DELETE FROM item_files WHERE item = :item AND path = :path
RETURNING path

-- name: files
-- The files that an item is about.
SELECT path, validated FROM item_files WHERE item = :item ORDER BY path LIMIT :limit

-- name: add_dependency
-- One item waits for another.
INSERT INTO item_deps (blocked, blocker) VALUES (:blocked, :blocker)
ON CONFLICT (blocked, blocker) DO NOTHING
RETURNING blocker

-- name: drop_dependency
-- It waits for it no more.
DELETE FROM item_deps WHERE blocked = :blocked AND blocker = :blocker
RETURNING blocker

-- name: blockers
-- What an item waits for.
SELECT blocker FROM item_deps WHERE blocked = :blocked ORDER BY blocker LIMIT :limit

-- name: dependents
-- What waits for an item.
SELECT blocked FROM item_deps WHERE blocker = :blocker ORDER BY blocked LIMIT :limit

-- name: tasks
-- The tasks that an item became.
SELECT task FROM item_tasks WHERE item = :item ORDER BY round, place, task LIMIT :limit

-- name: open_names
-- What the newest open items of a project are called.
SELECT id, title, SUBSTR(text, 1, 500) FROM items
WHERE project = :project AND status IN {{open}} AND merged_into IS NULL
ORDER BY id DESC
LIMIT :limit

-- name: open_waits
-- What open items wait for, as far as that is open too.
SELECT d.blocked, d.blocker FROM item_deps AS d
JOIN items AS b ON b.id = d.blocker AND b.status IN {{open}}
JOIN items AS w ON w.id = d.blocked AND w.status IN {{open}}
ORDER BY d.blocked, d.blocker

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

-- name: accepted_family
-- An item and the accepted ones below it.
WITH RECURSIVE family (id) AS (
  SELECT CAST(:item AS BIGINT)
  UNION
  SELECT i.id FROM items AS i JOIN family ON i.parent = family.id WHERE i.merged_into IS NULL AND i.accepted = 1
)
SELECT i.* FROM family JOIN items AS i ON i.id = family.id
ORDER BY i.id
