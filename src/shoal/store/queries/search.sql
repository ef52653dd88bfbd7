-- name: put
-- A document that is new or has another hash; no row comes back when nothing changed.
INSERT INTO documents (task, kind, agent, hash)
VALUES (:task, :kind, :agent, :hash)
ON CONFLICT (task, kind, agent) DO UPDATE SET hash = excluded.hash WHERE documents.hash <> excluded.hash
RETURNING id

-- name: put_words
-- The words of a document, in place of those it had.
INSERT OR REPLACE INTO document_words (rowid, words) VALUES (:id, :words)      -- on sqlite
INSERT INTO document_words (rowid, scope, words)                               -- on postgresql
VALUES (:id, :scope, CAST(:words AS TSVECTOR))                                 -- on postgresql
ON CONFLICT (rowid) DO UPDATE SET words = excluded.words                       -- on postgresql

-- name: drop_words
-- Forget the words of a task's documents, or of one of them.
DELETE FROM document_words
WHERE rowid IN (
  SELECT id FROM documents
  WHERE task = :task
    AND kind = :kind    -- if kind
    AND agent = :agent  -- if agent
)

-- name: drop
-- Forget a task's documents, or one of them, when their words are gone.
DELETE FROM documents
WHERE task = :task
  AND kind = :kind    -- if kind
  AND agent = :agent  -- if agent

-- name: of_task
-- Which texts of a task are indexed.
SELECT kind, agent FROM documents WHERE task = :task

-- part: matching
-- The newest documents of a scope that match, on PostgreSQL.
-- SQLite walks the matches from the newest on, and stops. The index of PostgreSQL has no such order: a frequent word is
-- looked for among the newest documents first, and the index is asked only when they have too few matches. The
-- range of one scope, and adding 0, keep the planner from walking the primary key through other scopes or in search of a
-- rare word; ts_match_vq is the @@ that no index knows.
    WITH newest AS MATERIALIZED (                                                         -- on postgresql
      SELECT id                                                                           -- on postgresql
      FROM (                                                                              -- on postgresql
        SELECT rowid AS id, words FROM document_words                                     -- on postgresql
        WHERE scope >= :scope AND scope <= :scope                                         -- on postgresql
        ORDER BY scope DESC, rowid DESC                                                   -- on postgresql
        LIMIT 2500                                                                        -- on postgresql
      ) AS looked_through                                                                 -- on postgresql
      WHERE words @@ CAST(:match AS TSQUERY)                                              -- on postgresql
      LIMIT :candidates                                                                   -- on postgresql
    ), indexed AS MATERIALIZED (                                                          -- on postgresql
      SELECT rowid AS id FROM document_words                                              -- on postgresql
      WHERE words @@ CAST(:lookup AS TSQUERY)                                             -- on postgresql
        AND ts_match_vq(words, CAST(:match AS TSQUERY))                                   -- on postgresql
        AND (SELECT COUNT(*) FROM newest) < :candidates                                   -- on postgresql
      ORDER BY rowid + 0 DESC                                                             -- on postgresql
      LIMIT :candidates                                                                   -- on postgresql
    )                                                                                     -- on postgresql
    SELECT id FROM newest WHERE (SELECT COUNT(*) FROM newest) >= :candidates              -- on postgresql
    UNION ALL                                                                             -- on postgresql
    SELECT id FROM indexed                                                                -- on postgresql

-- name: best
-- The best among the newest documents of a scope that match, with their tasks.
WITH found AS (
  SELECT rowid AS id, match_score(document_words) AS score                                -- on sqlite
  FROM document_words WHERE document_words MATCH :match                                   -- on sqlite
  ORDER BY rowid DESC                                                                     -- on sqlite
  LIMIT :candidates                                                                       -- on sqlite
  SELECT id, ts_rank(words, CAST(:ranked AS TSQUERY), 1) AS score                         -- on postgresql
  FROM (                                                                                  -- on postgresql
    {{matching}}
  ) AS matching                                                                           -- on postgresql
  JOIN document_words ON rowid = id                                                       -- on postgresql
)
SELECT t.id, t.title, t.status, d.kind, d.agent, found.score
FROM found
JOIN documents AS d ON d.id = found.id
JOIN tasks AS t ON t.id = d.task
ORDER BY found.score DESC, d.id DESC
LIMIT :limit

-- name: newest_task
-- The highest number of a task.
SELECT COALESCE(MAX(id), 0) FROM tasks

-- name: having
-- The tasks of the newest documents of a scope that match, and whether each is finished.
SELECT d.task, CASE WHEN t.status IN ('completed', 'failed') THEN 1 ELSE 0 END
FROM (
  SELECT rowid AS id FROM document_words WHERE document_words MATCH :match                -- on sqlite
  ORDER BY rowid DESC                                                                     -- on sqlite
  LIMIT :candidates                                                                       -- on sqlite
  SELECT id FROM (                                                                        -- on postgresql
    {{matching}}
  ) AS matching                                                                           -- on postgresql
) AS found
JOIN documents AS d ON d.id = found.id
JOIN tasks AS t ON t.id = d.task
