-- What agents did for tasks: sessions with their messages and tool calls, what each model call cost, and what people told
-- a running task. Bulky text stays in log files; these rows hold previews.

CREATE TABLE sessions (
  id {{identity}},
  task BIGINT NOT NULL REFERENCES tasks (id),
  attempt INTEGER NOT NULL,
  agent TEXT NOT NULL,
  kind TEXT NOT NULL,
  provider TEXT,
  model TEXT,
  workflow TEXT,
  provider_session TEXT,
  workspace TEXT,
  log TEXT,
  branches TEXT,
  max_usd_micros BIGINT,
  max_tokens BIGINT,
  max_turns BIGINT,
  runs INTEGER NOT NULL DEFAULT 1,
  turns BIGINT NOT NULL DEFAULT 0,
  malformed BIGINT NOT NULL DEFAULT 0,
  outcome TEXT,
  error TEXT,
  started_at BIGINT NOT NULL,
  ended_at BIGINT,
  takes_messages INTEGER NOT NULL,
  turns_before BIGINT NOT NULL DEFAULT 0,
  stop TEXT,
  stop_at BIGINT
);
CREATE INDEX sessions_of_task ON sessions (task, id);

-- Messages and tool calls in one order. A key is unique within its session, so what is read twice stands once.
CREATE TABLE transcript_lines (
  id {{identity}},
  session BIGINT NOT NULL REFERENCES sessions (id),
  attempt INTEGER NOT NULL,
  at BIGINT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('assistant', 'reasoning', 'user', 'system', 'tool')),
  key TEXT NOT NULL,
  text TEXT,
  tool_name TEXT,
  arguments TEXT,
  result TEXT,
  error TEXT,
  duration_ms BIGINT,
  ended_at BIGINT,
  UNIQUE (session, role, key)
);
CREATE INDEX transcript_lines_of ON transcript_lines (session, at, id);

CREATE TABLE costs (
  id {{identity}},
  at BIGINT NOT NULL,
  task BIGINT NOT NULL REFERENCES tasks (id),
  attempt INTEGER,
  session BIGINT REFERENCES sessions (id),
  agent TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cache_read_tokens BIGINT NOT NULL,
  cache_write_tokens BIGINT NOT NULL,
  cost_usd_micros BIGINT,
  priced TEXT NOT NULL CHECK (priced IN ('reported', 'list', 'unknown')),
  request_key TEXT NOT NULL UNIQUE
);
CREATE INDEX costs_of_task ON costs (task, id);
CREATE INDEX costs_of_agent ON costs (agent, id);
CREATE INDEX costs_of_session ON costs (session, id) WHERE session IS NOT NULL;
CREATE INDEX costs_at ON costs (at);

-- The same, added up in the transaction that records them; `day` counts from 1970-01-01 UTC.
CREATE TABLE cost_sums (
  task BIGINT NOT NULL REFERENCES tasks (id),
  day INTEGER NOT NULL,
  agent TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  calls BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cache_read_tokens BIGINT NOT NULL,
  cache_write_tokens BIGINT NOT NULL,
  cost_usd_micros BIGINT NOT NULL,
  unpriced BIGINT NOT NULL,
  PRIMARY KEY (task, day, agent, provider, model)
);
CREATE INDEX cost_sums_of_day ON cost_sums (day);

-- `delivered_at` is when a run was handed the message, `heard_at` when it was certain that its agent has it.
CREATE TABLE tells (
  id {{identity}},
  task BIGINT NOT NULL REFERENCES tasks (id),
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  text TEXT NOT NULL,
  delivery TEXT NOT NULL CHECK (delivery IN ('live', 'next_turn', 'next_run')),
  delivered_at BIGINT,
  attempt INTEGER,
  session BIGINT REFERENCES sessions (id),
  run INTEGER,
  heard_at BIGINT
);

-- What supervision has said about an attempt: each rule once.
CREATE TABLE warnings (
  task BIGINT NOT NULL REFERENCES tasks (id),
  attempt INTEGER NOT NULL,
  rule TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (task, attempt, rule)
);
