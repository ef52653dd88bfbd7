-- name: known
-- Which of these calls are counted already; rows: a JSON array of objects.
SELECT c.request_key FROM {{rows}} JOIN costs AS c ON c.request_key = value ->> 'request_key'

-- name: insert
-- Model calls, each once; rows: a JSON array of objects. What is known by its key leaves its row out.
INSERT INTO costs (
  at, task, attempt, session, agent, provider, model, input_tokens, output_tokens, cache_read_tokens,
  cache_write_tokens, cost_usd_micros, priced, request_key
)
SELECT
  CAST(value ->> 'at' AS BIGINT), CAST(value ->> 'task' AS BIGINT), CAST(value ->> 'attempt' AS INTEGER),
  CAST(value ->> 'session' AS BIGINT), value ->> 'agent', value ->> 'provider', value ->> 'model',
  CAST(value ->> 'input_tokens' AS BIGINT), CAST(value ->> 'output_tokens' AS BIGINT),
  CAST(value ->> 'cache_read_tokens' AS BIGINT), CAST(value ->> 'cache_write_tokens' AS BIGINT),
  CAST(value ->> 'cost_usd_micros' AS BIGINT), value ->> 'priced', value ->> 'request_key'
FROM {{rows}}
WHERE TRUE
ON CONFLICT (request_key) DO NOTHING
RETURNING request_key

-- name: add
-- Bring what was just recorded into the sums; rows: a JSON array of objects, each key once.
INSERT INTO cost_sums (
  task, day, agent, provider, model, calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
  cost_usd_micros, unpriced
)
SELECT
  CAST(value ->> 'task' AS BIGINT), CAST(value ->> 'day' AS INTEGER), value ->> 'agent', value ->> 'provider',
  value ->> 'model', CAST(value ->> 'calls' AS BIGINT), CAST(value ->> 'input_tokens' AS BIGINT),
  CAST(value ->> 'output_tokens' AS BIGINT), CAST(value ->> 'cache_read_tokens' AS BIGINT),
  CAST(value ->> 'cache_write_tokens' AS BIGINT), CAST(value ->> 'cost_usd_micros' AS BIGINT),
  CAST(value ->> 'unpriced' AS BIGINT)
FROM {{rows}}
WHERE TRUE
ON CONFLICT (task, day, agent, provider, model) DO UPDATE SET
  calls = cost_sums.calls + excluded.calls,
  input_tokens = cost_sums.input_tokens + excluded.input_tokens,
  output_tokens = cost_sums.output_tokens + excluded.output_tokens,
  cache_read_tokens = cost_sums.cache_read_tokens + excluded.cache_read_tokens,
  cache_write_tokens = cost_sums.cache_write_tokens + excluded.cache_write_tokens,
  cost_usd_micros = cost_sums.cost_usd_micros + excluded.cost_usd_micros,
  unpriced = cost_sums.unpriced + excluded.unpriced
