-- What items are called in the backlogs that they were imported from, and what was said of them there the last time:
-- what has changed there since is told apart from what was edited here. Names among ledgers are of no project: ''.
CREATE TABLE item_refs (
  project TEXT NOT NULL,
  system TEXT NOT NULL,
  ref TEXT NOT NULL,
  item BIGINT NOT NULL REFERENCES items (id),
  said TEXT NOT NULL,
  PRIMARY KEY (project, system, ref)
);

-- Links to what has not been imported yet.
CREATE TABLE item_waits (
  project TEXT NOT NULL,
  system TEXT NOT NULL,
  ref TEXT NOT NULL,
  item BIGINT NOT NULL REFERENCES items (id),
  kind TEXT NOT NULL CHECK (kind IN ('blocker', 'parent')),
  PRIMARY KEY (project, system, ref, item, kind)
);

-- What trackers were told of items. `gone` when the tracker has it no more.
CREATE TABLE item_syncs (
  tracker TEXT NOT NULL,
  item BIGINT NOT NULL REFERENCES items (id),
  external_id TEXT NOT NULL,
  url TEXT,
  status TEXT,
  gone INTEGER NOT NULL DEFAULT 0,
  at BIGINT NOT NULL,
  PRIMARY KEY (tracker, item)
);
