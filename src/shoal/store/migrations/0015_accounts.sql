-- A model call is on the account of a task, of a work item that was scoped, or of a project: of a check of it, or of
-- prioritising its items.

ALTER TABLE costs ALTER COLUMN task DROP NOT NULL;                    -- on postgresql
DROP INDEX costs_of_task;                                             -- on sqlite
ALTER TABLE costs RENAME COLUMN task TO old_task;                     -- on sqlite
ALTER TABLE costs ADD COLUMN task BIGINT REFERENCES tasks (id);       -- on sqlite
UPDATE costs SET task = old_task;                                     -- on sqlite
ALTER TABLE costs DROP COLUMN old_task;                               -- on sqlite
CREATE INDEX costs_of_task ON costs (task, id);                       -- on sqlite
ALTER TABLE costs ADD COLUMN purpose TEXT NOT NULL DEFAULT 'work'
  CHECK (purpose IN ('work', 'scope', 'check', 'prioritise'));
ALTER TABLE costs ADD COLUMN item BIGINT REFERENCES items (id);
ALTER TABLE costs ADD COLUMN assessment INTEGER;
ALTER TABLE costs ADD COLUMN check_name TEXT;
ALTER TABLE costs ADD COLUMN project TEXT;
CREATE INDEX costs_of_item ON costs (item, id) WHERE item IS NOT NULL;

-- In the sums 0 is no task and no item, '' no check, no project, and no configuration.
CREATE TABLE new_cost_sums (
  task BIGINT NOT NULL,
  item BIGINT NOT NULL,
  purpose TEXT NOT NULL,
  check_name TEXT NOT NULL,
  project TEXT NOT NULL,
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
  configuration TEXT NOT NULL,
  PRIMARY KEY (task, item, purpose, check_name, project, day, agent, provider, model, configuration)
);
INSERT INTO new_cost_sums SELECT
  task, 0, 'work', '', '', day, agent, provider, model, calls, input_tokens, output_tokens, cache_read_tokens,
  cache_write_tokens, cost_usd_micros, unpriced, configuration
FROM cost_sums;
DROP TABLE cost_sums;
ALTER TABLE new_cost_sums RENAME TO cost_sums;
CREATE INDEX cost_sums_of_day ON cost_sums (day);

-- What assessments cost is on their items' accounts from now on. Each had one sum over its calls, and stays one call.
INSERT INTO costs (
  at, agent, provider, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros, priced,
  request_key, purpose, item, assessment
)
SELECT
  at, actor,
  CASE WHEN model LIKE '%:%' THEN SUBSTR(model, 1, INSTR(model, ':') - 1) ELSE 'unknown' END,  -- on sqlite
  CASE WHEN model LIKE '%:%' THEN SUBSTR(model, INSTR(model, ':') + 1) ELSE model END,         -- on sqlite
  CASE WHEN model LIKE '%:%' THEN SUBSTR(model, 1, STRPOS(model, ':') - 1) ELSE 'unknown' END, -- on postgresql
  CASE WHEN model LIKE '%:%' THEN SUBSTR(model, STRPOS(model, ':') + 1) ELSE model END,        -- on postgresql
  COALESCE(input_tokens, 0), COALESCE(output_tokens, 0), 0, 0, cost_usd_micros,
  CASE WHEN cost_usd_micros IS NULL THEN 'unknown' ELSE 'list' END,
  'assessment ' || version || ' of W' || item, 'scope', item, version
FROM assessments
WHERE model IS NOT NULL AND COALESCE(input_tokens, 0) + COALESCE(output_tokens, 0) + COALESCE(cost_usd_micros, 0) > 0
ORDER BY item, version;
INSERT INTO cost_sums
SELECT
  0, item, purpose, '', '', CAST(at / 86400000 AS INTEGER), agent, provider, model, COUNT(*),
  CAST(SUM(input_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT), 0, 0,
  CAST(SUM(COALESCE(cost_usd_micros, 0)) AS BIGINT), COUNT(*) - COUNT(cost_usd_micros), ''
FROM costs WHERE item IS NOT NULL
GROUP BY item, purpose, CAST(at / 86400000 AS INTEGER), agent, provider, model;
ALTER TABLE assessments DROP COLUMN cost_usd_micros;
ALTER TABLE assessments DROP COLUMN input_tokens;
ALTER TABLE assessments DROP COLUMN output_tokens;
