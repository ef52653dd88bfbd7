-- name: known
-- Which of these calls are counted already; rows: a JSON array of objects.
SELECT c.request_key FROM {{rows}} JOIN costs AS c ON c.request_key = value ->> 'request_key'

-- name: insert
-- Model calls, each once; rows: a JSON array of objects. What is known by its key leaves its row out.
INSERT INTO costs (
  at, task, attempt, session, agent, provider, model, input_tokens, output_tokens, cache_read_tokens,
  cache_write_tokens, cost_usd_micros, priced, request_key, configuration, purpose, item, assessment, check_name, project
)
SELECT
  CAST(value ->> 'at' AS BIGINT), NULLIF(CAST(value ->> 'task' AS BIGINT), 0), CAST(value ->> 'attempt' AS INTEGER),
  CAST(value ->> 'session' AS BIGINT), value ->> 'agent', value ->> 'provider', value ->> 'model',
  CAST(value ->> 'input_tokens' AS BIGINT), CAST(value ->> 'output_tokens' AS BIGINT),
  CAST(value ->> 'cache_read_tokens' AS BIGINT), CAST(value ->> 'cache_write_tokens' AS BIGINT),
  CAST(value ->> 'cost_usd_micros' AS BIGINT), value ->> 'priced', value ->> 'request_key',
  NULLIF(value ->> 'configuration', ''), value ->> 'purpose', NULLIF(CAST(value ->> 'item' AS BIGINT), 0),
  CAST(value ->> 'assessment' AS INTEGER), NULLIF(value ->> 'check_name', ''), NULLIF(value ->> 'project', '')
FROM {{rows}}
WHERE TRUE
ON CONFLICT (request_key) DO NOTHING
RETURNING request_key

-- name: add
-- Bring what was just recorded into the sums; rows: a JSON array of objects, each key once.
INSERT INTO cost_sums (
  task, item, purpose, check_name, project, day, agent, provider, model, calls, input_tokens, output_tokens,
  cache_read_tokens, cache_write_tokens, cost_usd_micros, unpriced, configuration
)
SELECT
  CAST(value ->> 'task' AS BIGINT), CAST(value ->> 'item' AS BIGINT), value ->> 'purpose', value ->> 'check_name',
  value ->> 'project', CAST(value ->> 'day' AS INTEGER), value ->> 'agent', value ->> 'provider',
  value ->> 'model', CAST(value ->> 'calls' AS BIGINT), CAST(value ->> 'input_tokens' AS BIGINT),
  CAST(value ->> 'output_tokens' AS BIGINT), CAST(value ->> 'cache_read_tokens' AS BIGINT),
  CAST(value ->> 'cache_write_tokens' AS BIGINT), CAST(value ->> 'cost_usd_micros' AS BIGINT),
  CAST(value ->> 'unpriced' AS BIGINT), value ->> 'configuration'
FROM {{rows}}
WHERE TRUE
ON CONFLICT (task, item, purpose, check_name, project, day, agent, provider, model, configuration) DO UPDATE SET
  calls = cost_sums.calls + excluded.calls,
  input_tokens = cost_sums.input_tokens + excluded.input_tokens,
  output_tokens = cost_sums.output_tokens + excluded.output_tokens,
  cache_read_tokens = cost_sums.cache_read_tokens + excluded.cache_read_tokens,
  cache_write_tokens = cost_sums.cache_write_tokens + excluded.cache_write_tokens,
  cost_usd_micros = cost_sums.cost_usd_micros + excluded.cost_usd_micros,
  unpriced = cost_sums.unpriced + excluded.unpriced

-- name: list
-- A page of the calls, oldest first. Each filter is a range of an index, for the reason that tasks.newest gives.
SELECT
  id, at, task, attempt, session, agent, provider, model, input_tokens, output_tokens, cache_read_tokens,
  cache_write_tokens, cost_usd_micros, priced, request_key, configuration, purpose, item, assessment, check_name, project
FROM costs
WHERE id > :after
  AND (task, id) > (:task, :after) AND (task, id) <= (:task, 9223372036854775807)             -- if task
  AND (item, id) > (:item, :after) AND (item, id) <= (:item, 9223372036854775807)             -- if item
  AND item IS NOT NULL                                                                        -- if item
  AND (agent, id) > (:agent, :after) AND (agent, id) <= (:agent, 9223372036854775807)         -- if agent
  AND (session, id) > (:session, :after) AND (session, id) <= (:session, 9223372036854775807) -- if session
  AND session IS NOT NULL                                                                     -- if session
ORDER BY
  task,                                                                                       -- if task
  item,                                                                                       -- if item
  session,                                                                                    -- if session
  agent,                                                                                      -- if agent
  id
LIMIT :limit

-- part: added
-- Every kind of count, over many rows.
CAST(SUM(calls) AS BIGINT) AS calls, CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
  CAST(SUM(output_tokens) AS BIGINT) AS output_tokens, CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
  CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
  CAST(SUM(cost_usd_micros) AS BIGINT) AS cost_usd_micros, CAST(SUM(unpriced) AS BIGINT) AS unpriced

-- part: account
-- Whose account a row is on, as people read it.
CASE                                                                     -- if prefix
    WHEN task > 0 THEN CAST(:prefix AS TEXT) || task                       -- if prefix
    WHEN item > 0 THEN 'W' || item                                         -- if prefix
    WHEN check_name <> '' THEN purpose || ' ' || check_name || ' of ' || project -- if prefix
    WHEN project <> '' THEN purpose || ' ' || project                      -- if prefix
    ELSE purpose                                                           -- if prefix
  END AS key,                                                              -- if prefix

-- name: sums
-- Added up by one column: whole days from the sums, and what is left of a first day from the calls themselves.
SELECT
  {{account}}
  purpose AS key,                                                          -- if by_purpose
  task AS key,                                                             -- if by_task
  agent AS key,                                                            -- if by_agent
  CASE WHEN configuration = '' THEN agent ELSE agent || ' ' || configuration END AS key, -- if by_configuration
  model AS key,                                                            -- if by_model
  provider AS key,                                                         -- if by_provider
  day AS key,                                                              -- if by_day
  {{added}}
FROM (
  SELECT * FROM cost_sums
  WHERE day >= :day
    AND task = :task                                                       -- if task
    AND task = 0 AND item = :item                                          -- if item
  UNION ALL                                                                -- if item
  SELECT c.* FROM item_tasks AS t JOIN cost_sums AS c ON c.task = t.task   -- if item
  WHERE t.item = :item AND c.day >= :day                                   -- if item
  UNION ALL                                                                -- if since
  SELECT                                                                   -- if since
    COALESCE(task, 0), COALESCE(item, 0), purpose,                         -- if since
    COALESCE(check_name, ''), COALESCE(project, ''), CAST(at / 86400000 AS INTEGER), agent, provider, model, 1,       -- if since
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,    -- if since
    COALESCE(cost_usd_micros, 0),                                          -- if since
    CASE WHEN cost_usd_micros IS NULL THEN 1 ELSE 0 END,                   -- if since
    COALESCE(configuration, '')                                            -- if since
  FROM costs WHERE at >= :since AND at < :day * CAST(86400000 AS BIGINT)   -- if since
    AND task = :of_task                                                    -- if of_task
    AND (                                                                  -- if of_item
      item = :of_item                                                      -- if of_item
      OR task IN (SELECT task FROM item_tasks WHERE item = :of_item)       -- if of_item
    )                                                                      -- if of_item
) AS both_parts
WHERE TRUE
  AND task > 0                                                             -- if by_task
  AND task = :task                                                         -- if task
GROUP BY key
ORDER BY
  key DESC,                                                                -- if by_day
  cost_usd_micros DESC, calls DESC, key
LIMIT :limit

-- name: of_task
-- What a task has cost so far.
SELECT CAST(COALESCE(SUM(cost_usd_micros), 0) AS BIGINT) FROM cost_sums WHERE task = :task

-- name: by_agent
-- Everything, by agent, model and configuration, and the last day of each.
SELECT agent, model, configuration, MAX(day), {{added}} FROM cost_sums
GROUP BY agent, model, configuration
ORDER BY agent, model, configuration

-- name: first_day
-- The first of the latest days with costs.
SELECT MIN(day) FROM (SELECT DISTINCT day FROM cost_sums ORDER BY day DESC LIMIT :limit) AS latest

-- name: recount
-- The accounts whose sums are not those of their calls; slow, for doctor and tests.
SELECT
  {{account}}
  SUM(calls)
FROM (
  SELECT task, item, purpose, check_name, project, calls, input_tokens + output_tokens AS plain, cache_read_tokens + cache_write_tokens AS cached,
    cost_usd_micros AS cost, unpriced
  FROM cost_sums
  UNION ALL
  SELECT COALESCE(task, 0), COALESCE(item, 0), purpose, COALESCE(check_name, ''), COALESCE(project, ''), -1, -input_tokens - output_tokens, -cache_read_tokens - cache_write_tokens,
    -COALESCE(cost_usd_micros, 0), CASE WHEN cost_usd_micros IS NULL THEN -1 ELSE 0 END
  FROM costs
) AS differences
GROUP BY key
HAVING SUM(calls) <> 0 OR SUM(plain) <> 0 OR SUM(cached) <> 0 OR SUM(cost) <> 0 OR SUM(unpriced) <> 0
ORDER BY key
LIMIT :limit
