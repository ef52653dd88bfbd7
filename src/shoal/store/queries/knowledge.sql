-- name: all
-- Every note that is indexed, and the name of its content.
SELECT path, hash FROM knowledge

-- name: count
-- How many notes there are.
SELECT COUNT(*) FROM knowledge

-- name: put
-- A note that is new or has changed.
INSERT INTO knowledge (path, title, lesson, hash)
VALUES (:path, :title, :lesson, :hash)
ON CONFLICT (path) DO UPDATE SET title = excluded.title, lesson = excluded.lesson, hash = excluded.hash
RETURNING id

-- name: put_words
-- The words of a note, in place of those it had.
INSERT OR REPLACE INTO knowledge_words (rowid, words) VALUES (:id, :words)     -- on sqlite
INSERT INTO knowledge_words (rowid, words)                                     -- on postgresql
VALUES (:id, CAST(:words AS TSVECTOR))                                         -- on postgresql
ON CONFLICT (rowid) DO UPDATE SET words = excluded.words                       -- on postgresql

-- name: drop_words
-- Forget the words of a note.
DELETE FROM knowledge_words WHERE rowid IN (SELECT id FROM knowledge WHERE path = :path)

-- name: drop
-- Forget a note, when its words are gone.
DELETE FROM knowledge WHERE path = :path

-- name: having
-- The newest notes that have a term.
SELECT k.path, k.title, k.lesson FROM knowledge AS k
WHERE k.id IN (
  SELECT rowid FROM knowledge_words WHERE knowledge_words MATCH :match           -- on sqlite
  SELECT rowid FROM knowledge_words WHERE words @@ CAST(:match AS TSQUERY)       -- on postgresql
)
ORDER BY k.id DESC
LIMIT :candidates
