-- One start of an agent's program is an episode; a run is one firing of a job.
ALTER TABLE sessions RENAME COLUMN runs TO episodes;
ALTER TABLE tells RENAME COLUMN run TO episode;
ALTER TABLE tells ADD COLUMN way TEXT NOT NULL DEFAULT 'live' CHECK (way IN ('live', 'next_turn', 'next_episode'));
UPDATE tells SET way = CASE delivery WHEN 'next_run' THEN 'next_episode' ELSE delivery END;
ALTER TABLE tells DROP COLUMN delivery;
ALTER TABLE tells RENAME COLUMN way TO delivery;
UPDATE events SET data = REPLACE(data, '"run":', '"episode":') WHERE kind IN ('session.started', 'session.ended');
UPDATE events SET data = REPLACE(data, '"next_run"', '"next_episode"') WHERE kind = 'task.told';
