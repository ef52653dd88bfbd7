-- Which repositories a task may have tokens for, which tokens it was given, and what became of every asking. No token
-- is here: what is kept of one are its hash and its last four characters.

CREATE TABLE registrations (
  task BIGINT PRIMARY KEY REFERENCES tasks (id),
  repositories TEXT NOT NULL,
  permissions TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('active', 'removed')),
  registered_at BIGINT NOT NULL,
  registered_by TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  token_count BIGINT NOT NULL DEFAULT 0,
  attempt INTEGER
);
CREATE INDEX registrations_held ON registrations (expires_at) WHERE status = 'active';

CREATE TABLE grants (
  id {{identity}},
  task BIGINT REFERENCES tasks (id),
  attempt INTEGER,
  service TEXT,
  repositories TEXT NOT NULL,
  permissions TEXT NOT NULL,
  actor TEXT NOT NULL,
  server TEXT NOT NULL,
  issued_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  token_hash TEXT NOT NULL,
  token_end TEXT NOT NULL,
  revoked_at BIGINT,
  revoke_error TEXT,
  ends TEXT
);
CREATE INDEX grants_of_task ON grants (task, id) WHERE task IS NOT NULL;
CREATE INDEX grants_alive ON grants (expires_at) WHERE revoked_at IS NULL;

-- The audit: registrations, tokens, refusals. `reference` is what the asker called the task, which may be none of ours.
CREATE TABLE grant_audit (
  id {{identity}},
  at BIGINT NOT NULL,
  action TEXT NOT NULL
    CHECK (action IN ('registered', 'deregistered', 'issued', 'reused', 'renewed', 'refused', 'revoked', 'unrevoked')),
  task BIGINT REFERENCES tasks (id),
  attempt INTEGER,
  reference TEXT,
  service TEXT,
  actor TEXT NOT NULL,
  repositories TEXT NOT NULL,
  permissions TEXT NOT NULL,
  expires_at BIGINT,
  reason TEXT
);
CREATE INDEX grant_audit_of_task ON grant_audit (task, id) WHERE task IS NOT NULL;
CREATE INDEX grant_audit_of_reference ON grant_audit (reference, id) WHERE reference IS NOT NULL;
CREATE INDEX grant_audit_at ON grant_audit (at);
