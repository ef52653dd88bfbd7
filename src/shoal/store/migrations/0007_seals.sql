-- The hash of a secret of whoever runs an agent: without it the attempt does not end well.
ALTER TABLE sessions ADD COLUMN seal TEXT;
