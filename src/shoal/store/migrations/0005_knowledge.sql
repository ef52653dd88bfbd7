-- Notes of people in the vault's knowledge folder, found by their words like the texts of tasks; their text stays there.
-- `hash` is the name that git gives to the content.

CREATE TABLE knowledge (
  id {{identity}},
  path TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  lesson INTEGER NOT NULL,
  hash TEXT NOT NULL
);

CREATE VIRTUAL TABLE knowledge_words USING fts5 (                          -- on sqlite
  words,                                                                   -- on sqlite
  content = '',                                                            -- on sqlite
  contentless_delete = 1,                                                  -- on sqlite
  tokenize = 'ascii tokenchars ''#'''                                      -- on sqlite
CREATE TABLE knowledge_words (                                             -- on postgresql
  rowid BIGINT PRIMARY KEY REFERENCES knowledge (id),                      -- on postgresql
  words TSVECTOR NOT NULL                                                  -- on postgresql
);
CREATE INDEX knowledge_words_by_word ON knowledge_words USING gin (words); -- on postgresql

-- Whether a name is that of an agent.
CREATE INDEX sessions_of_agent ON sessions (agent, id);
