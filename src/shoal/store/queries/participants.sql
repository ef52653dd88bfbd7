-- name: add
-- The agent table follows its task.
INSERT INTO task_agents (agent, task_id) VALUES (:agent, :task_id) ON CONFLICT DO NOTHING

-- name: remove
-- The agent table follows its task.
DELETE FROM task_agents WHERE agent = :agent AND task_id = :task_id
