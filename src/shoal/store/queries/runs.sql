-- part: shown
-- A run in the order of its fields.
id, job, slot, cause, attempt, status, due_at, actor, server, cancelled_by, started_at, finished_at,
  exit_code, reason, output, log, task, findings_count, new_findings_count

-- part: without_output
-- The same for lists.
id, job, slot, cause, attempt, status, due_at, actor, server, cancelled_by, started_at, finished_at,
  exit_code, reason, NULL, log, task, findings_count, new_findings_count

-- part: job
-- A job in the order of its fields.
t.id, t.name, t.schedule, t.action, t.timezone, t.enabled, t.timeout_seconds, t.overlap, t.catch_up, t.grace_seconds,
  t.max_attempts, t.backoff_seconds, t.jitter_seconds, t.tags, t.description, t.environment, t.folder, t.source,
  t.next_fire_at, t.last_slot, t.run_count, t.fail_count, t.created_at, t.updated_at

-- name: insert
-- A run of a slot; nothing comes back when there is one.
INSERT INTO runs (
  job, slot, cause, attempt, status, due_at, actor, started_at, finished_at, reason, task
) VALUES (
  :job, :slot, :cause, :attempt, :status, :due_at, :actor, :started_at, :finished_at, :reason, :task
)
ON CONFLICT (job, slot, cause, attempt) DO NOTHING
RETURNING {{shown}}

-- name: bring
-- The last run that a job has had elsewhere.
INSERT INTO runs (job, slot, cause, attempt, status, due_at, actor, started_at, finished_at, exit_code, reason, output)
VALUES (:job, :slot, 'import', 1, :status, :slot, :actor, :slot, :finished_at, :exit_code, :reason, :output)
ON CONFLICT (job, slot, cause, attempt) DO NOTHING

-- name: get
-- One run.
SELECT {{shown}} FROM runs WHERE id = :id

-- name: newest
-- The newest runs before one: own ones, or those that came from elsewhere, whose numbers say nothing of their time.
-- Statuses by their names, so that a plan knows which of them are rare.
SELECT {{without_output}}
FROM runs
WHERE id < :before
  AND cause <> 'import'                                                    -- if own
  AND cause = 'import'                                                     -- if brought
  AND job = :job                                                           -- if job
  AND status = 'waiting'                                                   -- if waiting
  AND status = 'running'                                                   -- if running
  AND status = 'success'                                                   -- if success
  AND status = 'failed'                                                    -- if failed
  AND status = 'timeout'                                                   -- if timeout
  AND status = 'error'                                                     -- if error
  AND status = 'skipped'                                                   -- if skipped
  AND status = 'cancelled'                                                 -- if cancelled
ORDER BY id DESC
LIMIT :limit

-- name: last_slot
-- The newest slot that a job of this name has had.
SELECT MAX(slot) FROM runs WHERE job = :job AND cause <> 'trigger'

-- name: last_caused
-- The newest slot of a cause, from a time on.
SELECT MAX(slot) FROM runs WHERE job = :job AND slot >= :slot AND cause = :cause

-- name: last_occasion
-- The newest time at which a job fired for a reason other than the clock or a person.
SELECT MAX(slot) FROM runs WHERE job = :job AND cause = :occasion

-- name: put_findings
-- What a check has found, and its output with what was made of that.
UPDATE runs SET findings_count = :found, new_findings_count = :new, output = :output WHERE id = :id

-- name: under_way
-- The runs of a job that wait or run.
SELECT {{shown}} FROM runs WHERE job = :job AND status IN ('waiting', 'running') ORDER BY due_at, id

-- name: candidates
-- Waiting runs that are due, with their jobs; one of a job that lets none run beside another. The jobs stay locked.
SELECT r.id, {{job}}
FROM runs AS r JOIN jobs AS t ON t.name = r.job
WHERE r.status = 'waiting' AND r.due_at <= :now
  AND (t.overlap = 'allow' OR NOT EXISTS (
    SELECT 1 FROM runs AS o WHERE o.job = r.job AND o.status IN ('waiting', 'running')
      AND (o.status = 'running' OR o.due_at < r.due_at OR (o.due_at = r.due_at AND o.id < r.id))
  ))
ORDER BY r.due_at, r.id
LIMIT :limit
{{skip_locked}}

-- name: claim
-- A waiting run becomes a server's. Its job must be locked: two statements, so that this one sees who ran meanwhile.
UPDATE runs SET
  status = 'running', server = :server, started_at = :now, log = :log, beats = 1
WHERE id = :id AND status = 'waiting' AND NOT EXISTS (
  SELECT 1 FROM runs AS o WHERE o.job = runs.job AND o.status = 'running' AND :alone = 1
)
RETURNING {{shown}}

-- name: beat
-- The runs that a server has, renewed; rows: a JSON array of objects. One that it does not know of falls silent.
UPDATE runs SET beats = beats + 1
WHERE server = :server AND status = 'running' AND id IN (SELECT CAST(value ->> 'id' AS BIGINT) FROM {{rows}})
RETURNING id, cancelled_by

-- name: put_output
-- The last lines of what a run has written so far.
UPDATE runs SET output = :output WHERE id = :id AND server = :server AND status = 'running'

-- name: held
-- What runs, and how often its server has given a sign of life.
SELECT id, server, beats FROM runs WHERE status = 'running' ORDER BY id

-- name: end
-- A run has ended, if its server still has it.
UPDATE runs SET
  status = :status, exit_code = :exit_code, output = COALESCE(:output, output), finished_at = :now,
  reason = CASE WHEN :status = 'cancelled' THEN COALESCE(:reason, reason) ELSE :reason END
WHERE id = :id AND server = :server AND status = 'running'
  AND beats = :beats                                                       -- if beats
RETURNING {{shown}}

-- name: call_off
-- A waiting run will not run.
UPDATE runs SET status = 'cancelled', cancelled_by = :actor, reason = :reason, finished_at = :now
WHERE id = :id AND status = 'waiting'
RETURNING {{shown}}

-- name: stop
-- A running run is asked to end.
UPDATE runs SET cancelled_by = :actor, reason = :reason WHERE id = :id AND status = 'running' AND cancelled_by IS NULL
RETURNING {{shown}}

-- name: prune
-- Forget runs that ended before a time, of the oldest ones.
DELETE FROM runs
WHERE id IN (SELECT id FROM runs ORDER BY id LIMIT :limit)
  AND status NOT IN ('waiting', 'running') AND COALESCE(finished_at, due_at) < :before
RETURNING id
