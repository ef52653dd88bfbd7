-- part: shown
-- A session as it is told of: one whose attempt lost the task before it ended is lost.
s.id, s.task, s.attempt, s.agent, s.kind, s.provider, s.model, s.workflow, s.provider_session, s.workspace, s.log,
  s.branches, s.max_usd_micros, s.max_tokens, s.max_turns, s.episodes, s.turns, s.malformed,
  CASE WHEN s.ended_at IS NULL AND (t.attempt <> s.attempt OR t.leased_until IS NULL) THEN 'lost' ELSE s.outcome END,
  s.error, s.started_at, s.ended_at, s.takes_messages, s.stop, s.configuration

-- name: begin
-- A new session.
INSERT INTO sessions (
  task, attempt, agent, kind, provider, model, workflow, workspace, log, branches, max_usd_micros, max_tokens,
  max_turns, takes_messages, configuration, seal, started_at
) VALUES (
  :task, :attempt, :agent, :kind, :provider, :model, :workflow, :workspace, :log, :branches, :max_usd_micros,
  :max_tokens, :max_turns, :takes_messages, :configuration, :seal, :now
)
RETURNING id

-- name: resume
-- Another episode in a session; what is not given stays as it was.
UPDATE sessions SET
  attempt = :attempt, agent = :agent, provider = COALESCE(:provider, provider), model = COALESCE(:model, model),
  workflow = COALESCE(:workflow, workflow), workspace = COALESCE(:workspace, workspace), log = COALESCE(:log, log),
  branches = COALESCE(:branches, branches), max_usd_micros = COALESCE(:max_usd_micros, max_usd_micros),
  max_tokens = COALESCE(:max_tokens, max_tokens), max_turns = COALESCE(:max_turns, max_turns),
  takes_messages = :takes_messages, configuration = :configuration, seal = :seal, episodes = episodes + 1,
  turns_before = turns,
  outcome = NULL, error = NULL, ended_at = NULL, stop = NULL, stop_at = NULL
WHERE id = :id

-- name: supersede
-- End the other sessions of an attempt under this seal.
UPDATE sessions SET outcome = 'lost', error = 'it was begun anew', ended_at = :now
WHERE task = :task AND attempt = :attempt AND seal = :seal AND id <> :id AND ended_at IS NULL
RETURNING id

-- name: lock_task
-- The task of a session, kept from other writers until the transaction ends.
SELECT * FROM tasks WHERE id = (SELECT task FROM sessions WHERE id = :id) {{for_update}}

-- name: get
-- One session.
SELECT {{shown}}
FROM sessions AS s JOIN tasks AS t ON t.id = s.task
WHERE s.id = :id

-- name: of_task
-- The sessions of a task, newest first.
SELECT {{shown}}
FROM sessions AS s JOIN tasks AS t ON t.id = s.task
WHERE s.task = :task AND s.id < :before
ORDER BY s.id DESC
LIMIT :limit

-- name: running
-- The newest session of an attempt in which the agent runs.
SELECT {{shown}}
FROM sessions AS s JOIN tasks AS t ON t.id = s.task
WHERE s.task = :task AND s.attempt = :attempt AND s.ended_at IS NULL
ORDER BY s.id DESC
LIMIT 1

-- name: sealed
-- A session of an attempt that has another seal than this one.
SELECT id FROM sessions
WHERE task = :task AND attempt = :attempt AND seal <> :seal
  AND id = :session                                                        -- if session
LIMIT 1

-- name: follow
-- What an episode says of itself; `turns` are those of the episode so far, and never go back.
UPDATE sessions SET
  malformed = malformed + :malformed,
  provider_session = COALESCE(:provider_session, provider_session),
  model = COALESCE(:model, model),
  turns = CASE WHEN turns_before + :turns > turns THEN turns_before + :turns ELSE turns END,
  error = COALESCE(:error, error)
WHERE id = :id
RETURNING turns

-- name: end
-- An episode ended.
UPDATE sessions SET
  outcome = :outcome, error = COALESCE(:error, error), branches = COALESCE(:branches, branches), ended_at = :now,
  turns = CASE WHEN turns_before + :turns > turns THEN turns_before + :turns ELSE turns END
WHERE id = :id

-- name: used
-- What a session has used: calls of its model, money as far as prices are known, and tokens of every kind.
SELECT
  COUNT(*), CAST(COALESCE(SUM(cost_usd_micros), 0) AS BIGINT),
  CAST(COALESCE(SUM(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens), 0) AS BIGINT)
FROM costs WHERE session = :id

-- name: stop
-- A limit was exceeded: by how much so far, and since when.
UPDATE sessions SET stop = :stop, stop_at = COALESCE(stop_at, :now) WHERE id = :id

-- name: add_lines
-- New lines of a transcript; rows: a JSON array of objects. What is there already by its key leaves its row out.
INSERT INTO transcript_lines (
  session, attempt, at, role, key, text, tool_name, arguments, result, error, duration_ms, ended_at
)
SELECT
  :session, :attempt, CAST(value ->> 'at' AS BIGINT), value ->> 'role', value ->> 'key', value ->> 'text',
  value ->> 'tool_name', value ->> 'arguments', value ->> 'result', value ->> 'error',
  CAST(value ->> 'duration_ms' AS BIGINT), CAST(value ->> 'ended_at' AS BIGINT)
FROM {{rows}}
WHERE TRUE
ON CONFLICT (session, role, key) DO NOTHING
RETURNING id, role, key

-- name: begin_tools
-- Tool calls whose end came before their beginning; rows: a JSON array of objects.
UPDATE transcript_lines SET tool_name = begun.tool_name, arguments = begun.arguments, at = begun.at
FROM (
  SELECT value ->> 'key' AS key, value ->> 'tool_name' AS tool_name, value ->> 'arguments' AS arguments,
    CAST(value ->> 'at' AS BIGINT) AS at
  FROM {{rows}}
) AS begun
WHERE transcript_lines.session = :session AND transcript_lines.role = 'tool' AND transcript_lines.key = begun.key
  AND transcript_lines.tool_name IS NULL
RETURNING transcript_lines.id, transcript_lines.key

-- name: end_tools
-- Tool calls that were running; rows: a JSON array of objects.
UPDATE transcript_lines SET
  result = ended.result, error = ended.error, duration_ms = ended.duration_ms, ended_at = ended.ended_at
FROM (
  SELECT value ->> 'key' AS key, value ->> 'result' AS result, value ->> 'error' AS error,
    CAST(value ->> 'duration_ms' AS BIGINT) AS duration_ms, CAST(value ->> 'ended_at' AS BIGINT) AS ended_at
  FROM {{rows}}
) AS ended
WHERE transcript_lines.session = :session AND transcript_lines.role = 'tool' AND transcript_lines.key = ended.key
  AND transcript_lines.ended_at IS NULL
RETURNING transcript_lines.id, transcript_lines.key, transcript_lines.at, transcript_lines.tool_name

-- name: line
-- When a line of a session was.
SELECT at FROM transcript_lines WHERE session = :session AND id = :id

-- name: lines
-- A page of a transcript behind a line, in the order of time.
SELECT id, at, attempt, role, key, text, tool_name, arguments, result, error, duration_ms, ended_at
FROM transcript_lines
WHERE session = :session
  AND (at, id) > (:at, :after)                                             -- if after
ORDER BY at, id
LIMIT :limit

-- name: log_moved
-- Where the log of an attempt's sessions is now.
UPDATE sessions SET log = :log
WHERE task = :task AND attempt = :attempt
RETURNING id

-- name: log_gone
-- Sessions whose log has been let go of.
UPDATE sessions SET log = NULL
WHERE task = :task AND log = :log
RETURNING id
