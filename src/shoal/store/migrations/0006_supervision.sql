-- The sessions that nobody has ended yet: few, however many there have been.
CREATE INDEX sessions_open ON sessions (task, attempt) WHERE ended_at IS NULL;
