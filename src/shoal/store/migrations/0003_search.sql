-- Full-text search: which texts are indexed, and an index that holds no text.
-- The words come split and folded from services/search.py, so no database does that in its own way. Beside its words a
-- document has one mark of who may find it, '#' and its scope. PostgreSQL also reads the newest documents of a scope.
-- Both call the number of a document rowid, so that their queries differ in little.

CREATE TABLE documents (
  id {{identity}},
  task BIGINT NOT NULL REFERENCES tasks (id),
  kind TEXT NOT NULL CHECK (kind IN ('title', 'body', 'result', 'note', 'context')),
  agent TEXT NOT NULL DEFAULT '' CHECK (agent = '' OR kind = 'note'),
  hash TEXT NOT NULL,
  UNIQUE (task, kind, agent)
);

CREATE VIRTUAL TABLE document_words USING fts5 (                           -- on sqlite
  words,                                                                   -- on sqlite
  content = '',                                                            -- on sqlite
  contentless_delete = 1,                                                  -- on sqlite
  prefix = '1 2 3',                                                        -- on sqlite
  tokenize = 'ascii tokenchars ''#'''                                      -- on sqlite
CREATE TABLE document_words (                                              -- on postgresql
  rowid BIGINT PRIMARY KEY REFERENCES documents (id),                      -- on postgresql
  scope TEXT NOT NULL,                                                     -- on postgresql
  words TSVECTOR NOT NULL                                                  -- on postgresql
);
CREATE INDEX document_words_newest ON document_words (scope, rowid);       -- on postgresql
-- Every search reads all of the index's list of what is not yet sorted in: the default of 4 MB takes 20 ms.
CREATE INDEX document_words_by_word ON document_words USING gin (words)    -- on postgresql
  WITH (gin_pending_list_limit = 512);                                     -- on postgresql
