-- name: acquire
-- Take a lock that is free or expired; its fence grows by one with every owner.
INSERT INTO locks (name, owner, fence, acquired_at, expires_at)
VALUES (:name, :owner, 1, :now, :expires_at)
ON CONFLICT (name) DO UPDATE SET
  owner = excluded.owner, fence = locks.fence + 1,
  acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
WHERE locks.expires_at <= :now
RETURNING name, owner, fence, acquired_at, expires_at

-- name: get
-- One lock, held or not.
SELECT name, owner, fence, acquired_at, expires_at FROM locks WHERE name = :name

-- name: list
-- The locks that are held.
SELECT name, owner, fence, acquired_at, expires_at FROM locks WHERE expires_at > :now ORDER BY name LIMIT :limit

-- name: renew
-- A lock that is still held gets more time, never less.
UPDATE locks SET expires_at = CASE WHEN expires_at > :expires_at THEN expires_at ELSE :expires_at END
WHERE name = :name AND owner = :owner AND fence = :fence AND expires_at > :now
RETURNING name, owner, fence, acquired_at, expires_at

-- name: release
-- Give a lock back; its fence stays, so that the next owner's is higher.
UPDATE locks SET expires_at = 0 WHERE name = :name AND owner = :owner AND fence = :fence AND expires_at > :now
RETURNING name, owner, fence, acquired_at, expires_at
