-- Which configuration of an agent made a call: providers keep the beginning of its requests for as long as that stays.
ALTER TABLE sessions ADD COLUMN configuration TEXT;
ALTER TABLE costs ADD COLUMN configuration TEXT;

-- '' is a call outside of any session, or from before there were configurations.
CREATE TABLE new_cost_sums (
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
  configuration TEXT NOT NULL,
  PRIMARY KEY (task, day, agent, provider, model, configuration)
);
INSERT INTO new_cost_sums SELECT
  task, day, agent, provider, model, calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
  cost_usd_micros, unpriced, ''
FROM cost_sums;
DROP TABLE cost_sums;
ALTER TABLE new_cost_sums RENAME TO cost_sums;
CREATE INDEX cost_sums_of_day ON cost_sums (day);
