-- name: get
-- One fact about this ledger.
SELECT value FROM facts WHERE name = :name

-- name: put
-- A fact, once; the first value stays.
INSERT INTO facts (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING

-- name: set
-- A fact that changes; the last value stays.
INSERT INTO facts (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
