-- name: events
-- What was submitted, and which QA tasks were completed, in a stretch of the log.
SELECT e.task, e.kind FROM events AS e JOIN tasks AS t ON t.id = e.task
WHERE e.id > :after AND e.id <= :upto
  AND (e.kind = 'task.submitted' OR (e.kind = 'task.completed' AND t.type = 'qa'))
ORDER BY e.id
