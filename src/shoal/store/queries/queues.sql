-- name: get
-- One queue's settings.
SELECT name, paused, pause_reason, concurrency, updated_at FROM queues WHERE name = :name

-- name: lock
-- One queue's settings, kept from other claimers until the transaction ends.
SELECT name, paused, pause_reason, concurrency, updated_at FROM queues WHERE name = :name {{for_update}}

-- name: list
-- All queues that were ever paused or limited.
SELECT name, paused, pause_reason, concurrency, updated_at FROM queues ORDER BY name

-- name: put
-- A queue's settings.
INSERT INTO queues (name, paused, pause_reason, concurrency, updated_at)
VALUES (:name, :paused, :pause_reason, :concurrency, :now)
ON CONFLICT (name) DO UPDATE SET
  paused = excluded.paused, pause_reason = excluded.pause_reason,
  concurrency = excluded.concurrency, updated_at = excluded.updated_at
