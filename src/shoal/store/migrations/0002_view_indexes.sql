-- What the vault's views look for: the unfinished tasks past their deadline, and the waiting ones of each assignee.
-- Claims and completions seldom write to either: few tasks have a deadline, few an assignee before they are claimed.
-- The second says <> rather than IN, or SQLite's planner would take the index of statuses in its place.

CREATE INDEX tasks_deadline ON tasks (deadline, id) WHERE deadline IS NOT NULL AND completed_at IS NULL;
CREATE INDEX tasks_waiting_for ON tasks (assignee, priority, id)
  WHERE assignee IS NOT NULL AND completed_at IS NULL AND status <> 'active';
