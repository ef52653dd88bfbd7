-- The backlog: candidates for work, found by scans and checks or made by people. What becomes of one is a task.

CREATE TABLE items (
  id {{identity}},
  project TEXT NOT NULL,
  source_file TEXT,
  source_line INTEGER,
  heading TEXT NOT NULL DEFAULT '[]',
  text TEXT NOT NULL,
  text_hash TEXT NOT NULL,
  form TEXT NOT NULL DEFAULT 'note',
  status TEXT NOT NULL DEFAULT 'new'
    CHECK (status IN ('new', 'triaged', 'assessed', 'in_progress', 'done', 'wontfix', 'stale')),
  accepted INTEGER NOT NULL DEFAULT 0,
  decided_by TEXT,
  origin TEXT NOT NULL CHECK (origin IN ('scan', 'check', 'manual', 'import')),
  check_name TEXT,
  rule TEXT,
  run BIGINT,
  severity TEXT CHECK (severity IN ('info', 'warning', 'critical')),
  title TEXT,
  summary TEXT,
  effort TEXT NOT NULL DEFAULT 'unknown' CHECK (effort IN ('unknown', 'small', 'medium', 'large')),
  estimate_minutes INTEGER,
  risk TEXT NOT NULL DEFAULT 'unknown' CHECK (risk IN ('unknown', 'low', 'medium', 'high')),
  priority INTEGER CHECK (priority BETWEEN 0 AND 3),
  sort_order BIGINT NOT NULL DEFAULT 0,
  tier TEXT NOT NULL DEFAULT 'unknown' CHECK (tier IN ('unknown', 'safe_always', 'code_change')),
  type TEXT,
  labels TEXT NOT NULL DEFAULT '[]',
  owner TEXT,
  due_at BIGINT,
  parent BIGINT REFERENCES items (id),
  refs TEXT NOT NULL DEFAULT '{}',
  confidence TEXT CHECK (confidence IN ('low', 'medium', 'high')),
  assessed_at BIGINT,
  assessed_by TEXT,
  assessment_version INTEGER NOT NULL DEFAULT 0,
  input_hash TEXT,
  first_seen_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL,
  unseen INTEGER NOT NULL DEFAULT 0,
  merged_into BIGINT REFERENCES items (id),
  done_at BIGINT,
  done_commit TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  prioritised_by TEXT
);
CREATE INDEX items_of_file ON items (project, source_file) WHERE source_file IS NOT NULL;
CREATE INDEX items_of_status ON items (status, priority, sort_order, id);
CREATE INDEX items_of_check ON items (check_name, project) WHERE check_name IS NOT NULL;
CREATE INDEX items_of_parent ON items (parent) WHERE parent IS NOT NULL;

-- The files that an item is about, as far as they are there. `validated` when something says that they matter to it.
CREATE TABLE item_files (
  item BIGINT NOT NULL REFERENCES items (id),
  path TEXT NOT NULL,
  validated INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (item, path)
);
CREATE INDEX item_files_of_path ON item_files (path, item);

CREATE TABLE item_deps (
  blocked BIGINT NOT NULL REFERENCES items (id),
  blocker BIGINT NOT NULL REFERENCES items (id),
  PRIMARY KEY (blocked, blocker)
);
CREATE INDEX item_deps_from ON item_deps (blocker);

-- The tasks that an item became, in their order. A part of it that is done again after a bad end has a second task at its
-- place; an item that was done and is done again begins a new round.
CREATE TABLE item_tasks (
  task BIGINT PRIMARY KEY REFERENCES tasks (id),
  item BIGINT NOT NULL REFERENCES items (id),
  place INTEGER NOT NULL,
  round INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX item_tasks_of_item ON item_tasks (item, round, place);

-- Every assessment that was made of an item; the item itself has the fields of the last good one.
CREATE TABLE assessments (
  item BIGINT NOT NULL REFERENCES items (id),
  version INTEGER NOT NULL,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  model TEXT,
  prompt_version INTEGER,
  input_hash TEXT,
  cost_usd_micros BIGINT,
  input_tokens BIGINT,
  output_tokens BIGINT,
  answer TEXT,
  error TEXT,
  PRIMARY KEY (item, version)
);

-- What a scan of a project has read: a file that is as it was then is not read again.
CREATE TABLE scanned_files (
  project TEXT NOT NULL,
  scanner TEXT NOT NULL,
  path TEXT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (project, scanner, path)
);
CREATE TABLE scans (
  project TEXT NOT NULL,
  scanner TEXT NOT NULL,
  number BIGINT NOT NULL,
  at BIGINT NOT NULL,
  head TEXT,
  repository TEXT,
  PRIMARY KEY (project, scanner)
);

-- Where and how the last scan that read its file saw an item: by this it is known again. `seen` is 0 when that scan missed
-- it; `said` has what the file says of it, so that a scan changes only what the file changed, not what people did;
-- `waits_for` the items that it waits for because the file says so.
CREATE TABLE sightings (
  item BIGINT PRIMARY KEY REFERENCES items (id),
  project TEXT NOT NULL,
  scanner TEXT NOT NULL,
  path TEXT NOT NULL,
  place INTEGER NOT NULL,
  line INTEGER NOT NULL,
  heading TEXT NOT NULL,
  text TEXT NOT NULL,
  form TEXT NOT NULL,
  mark TEXT NOT NULL,
  called TEXT,
  above BIGINT,
  said TEXT NOT NULL,
  waits_for TEXT NOT NULL,
  seen INTEGER NOT NULL
);
CREATE INDEX sightings_of_file ON sightings (project, scanner, path);
CREATE INDEX sightings_gone ON sightings (project, scanner) WHERE seen = 0;

ALTER TABLE events ADD COLUMN item BIGINT;
CREATE INDEX events_of_item ON events (item, id) WHERE item IS NOT NULL;
