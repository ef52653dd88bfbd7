-- part: of_assessment
-- The model calls that it took.
FROM costs WHERE costs.item = assessments.item AND costs.assessment = assessments.version

-- name: of_item
-- Every assessment of an item, the newest first.
SELECT
  item, version, at, actor, model, prompt_version, input_hash,
  (
    SELECT CASE WHEN COUNT(*) = COUNT(cost_usd_micros) THEN CAST(SUM(cost_usd_micros) AS BIGINT) END {{of_assessment}}
  ),
  (SELECT CAST(SUM(input_tokens + cache_read_tokens + cache_write_tokens) AS BIGINT) {{of_assessment}}),
  (SELECT CAST(SUM(output_tokens) AS BIGINT) {{of_assessment}}),
  answer, error
FROM assessments WHERE item = :item ORDER BY version DESC LIMIT :limit

-- name: keep
-- One more assessment of an item.
INSERT INTO assessments (
  item, version, at, actor, model, prompt_version, input_hash, answer, error
) VALUES (
  :item, :version, :at, :actor, :model, :prompt_version, :input_hash, :answer, :error
)

-- name: last_answer
-- The last answer about an item, or the last of a model.
SELECT answer FROM assessments
WHERE item = :item AND answer IS NOT NULL
  AND model IS NOT NULL                                                    -- if by_model
ORDER BY version DESC
LIMIT 1

-- name: last_answers
-- The last answers about all assessed items that have no tasks under way.
SELECT a.item, a.answer FROM assessments AS a JOIN items AS i ON i.id = a.item
WHERE i.status = 'assessed' AND i.merged_into IS NULL AND a.answer IS NOT NULL
  AND i.project = :project                                                 -- if project
  AND a.version = (SELECT MAX(o.version) FROM assessments AS o WHERE o.item = a.item AND o.answer IS NOT NULL)
ORDER BY a.item

-- name: files
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
