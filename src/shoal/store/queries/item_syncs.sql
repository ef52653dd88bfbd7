-- name: unknown
-- Accepted open items that a tracker has not been told of, the oldest first.
SELECT t.* FROM items AS t
WHERE t.accepted = 1 AND t.merged_into IS NULL AND t.id > :after
  AND t.status IN ('triaged', 'assessed', 'in_progress')
  AND t.project = :project                                                 -- if project
  AND NOT EXISTS (SELECT 1 FROM item_syncs AS s WHERE s.tracker = :tracker AND s.item = t.id)
ORDER BY t.id
LIMIT :limit

-- name: changed
-- What a tracker was told of items that have another status now.
SELECT s.item, s.external_id, s.status FROM item_syncs AS s JOIN items AS t ON t.id = s.item
WHERE s.tracker = :tracker AND s.gone = 0 AND t.id > :after
  AND (s.status IS NULL OR s.status <> t.status)
  AND t.project = :project                                                 -- if project
ORDER BY s.item
LIMIT :limit

-- name: put
-- What a tracker has been told of an item now.
INSERT INTO item_syncs (tracker, item, external_id, url, status, gone, at)
VALUES (:tracker, :item, :external_id, :url, :status, :gone, :now)
ON CONFLICT (tracker, item) DO UPDATE SET
  external_id = excluded.external_id, url = COALESCE(excluded.url, item_syncs.url),
  status = COALESCE(excluded.status, item_syncs.status), gone = excluded.gone, at = excluded.at
RETURNING tracker, item, external_id, url, status, gone, at

-- name: get
-- What a tracker was told of an item.
SELECT tracker, item, external_id, url, status, gone, at FROM item_syncs WHERE tracker = :tracker AND item = :item

-- name: newest
-- What a tracker was told, the last first.
SELECT tracker, item, external_id, url, status, gone, at FROM item_syncs
WHERE tracker = :tracker AND item < :before
ORDER BY item DESC
LIMIT :limit
