-- Checks: what their runs found, and which work item is which finding.

ALTER TABLE runs ADD COLUMN findings_count BIGINT;
ALTER TABLE runs ADD COLUMN new_findings_count BIGINT;

-- The commit at which a job has fired last.
CREATE TABLE job_heads (
  job TEXT PRIMARY KEY,
  head TEXT NOT NULL
);

-- How a check stands in a project. Who records what it found locks its row first.
CREATE TABLE checks (
  check_name TEXT NOT NULL,
  project TEXT NOT NULL,
  version TEXT NOT NULL,
  head TEXT,
  last_at BIGINT NOT NULL,
  completed_at BIGINT,
  PRIMARY KEY (check_name, project)
);

-- What a work item is known by when its check sees it again; an edit of the item changes nothing of that. `gone` when the
-- last complete look did not see it: only then is it open again once it is seen, whoever had closed it.
CREATE TABLE findings (
  item BIGINT PRIMARY KEY REFERENCES items (id),
  check_name TEXT NOT NULL,
  project TEXT NOT NULL,
  file TEXT NOT NULL,
  rule TEXT NOT NULL,
  key_hash TEXT NOT NULL,
  version TEXT NOT NULL,
  gone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX findings_of_check ON findings (check_name, project);
