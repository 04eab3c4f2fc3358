-- Lanes and turns of the queue. A claim must read one row for each lane and not one for each waiting
-- run; triggers keep the counts inside the statement that changes the run, whichever statement that
-- is.

-- A run that is ready at its registration enters its lane and may become its head.
CREATE TRIGGER queue_lane_insert AFTER INSERT ON training_task
WHEN NEW.queue_waiting IS 0 AND NEW.status = 'pending' AND NEW.deleted_at IS NULL
BEGIN
  INSERT INTO queue_lane (user_id, labels, min_gpu_memory_gb, ready, head_priority, head_task)
  VALUES (NEW.user_id, NEW.labels, NEW.min_gpu_memory_gb, 1, NEW.priority, NEW.id)
  ON CONFLICT DO UPDATE SET ready = ready + 1,
    head_task = CASE
      WHEN head_priority > excluded.head_priority THEN head_task
      WHEN head_priority = excluded.head_priority THEN min(head_task, excluded.head_task)
      ELSE excluded.head_task END,
    head_priority = max(coalesce(head_priority, excluded.head_priority), excluded.head_priority);
END;

-- A run that becomes ready, or changes its lane or priority, enters the lane that it now belongs to.
CREATE TRIGGER queue_lane_enter AFTER UPDATE OF status, deleted_at, queue_waiting, priority, labels, min_gpu_memory_gb, user_id ON training_task
WHEN NEW.queue_waiting IS 0 AND NEW.status = 'pending' AND NEW.deleted_at IS NULL
  AND NOT (OLD.queue_waiting IS 0 AND OLD.status = 'pending' AND OLD.deleted_at IS NULL AND NEW.user_id = OLD.user_id AND NEW.labels = OLD.labels AND NEW.min_gpu_memory_gb = OLD.min_gpu_memory_gb AND NEW.priority = OLD.priority)
BEGIN
  INSERT INTO queue_lane (user_id, labels, min_gpu_memory_gb, ready, head_priority, head_task)
  VALUES (NEW.user_id, NEW.labels, NEW.min_gpu_memory_gb, 1, NEW.priority, NEW.id)
  ON CONFLICT DO UPDATE SET ready = ready + 1,
    head_task = CASE
      WHEN head_priority > excluded.head_priority THEN head_task
      WHEN head_priority = excluded.head_priority THEN min(head_task, excluded.head_task)
      ELSE excluded.head_task END,
    head_priority = max(coalesce(head_priority, excluded.head_priority), excluded.head_priority);
END;

-- A run that is no longer ready, or changes its lane or priority, leaves its old lane: the lane gets
-- its next head, or ends when it is empty.
CREATE TRIGGER queue_lane_leave AFTER UPDATE OF status, deleted_at, queue_waiting, priority, labels, min_gpu_memory_gb, user_id ON training_task
WHEN OLD.queue_waiting IS 0 AND OLD.status = 'pending' AND OLD.deleted_at IS NULL
  AND NOT (NEW.queue_waiting IS 0 AND NEW.status = 'pending' AND NEW.deleted_at IS NULL AND NEW.user_id = OLD.user_id AND NEW.labels = OLD.labels AND NEW.min_gpu_memory_gb = OLD.min_gpu_memory_gb AND NEW.priority = OLD.priority)
BEGIN
  UPDATE queue_lane SET ready = ready - 1, (head_priority, head_task) = (
    SELECT t.priority, t.id FROM training_task t INDEXED BY training_task_ready
    WHERE t.user_id = OLD.user_id AND t.labels = OLD.labels AND t.min_gpu_memory_gb = OLD.min_gpu_memory_gb
      AND t.queue_waiting = 0 AND t.status = 'pending' AND t.deleted_at IS NULL
    ORDER BY t.priority DESC, t.id LIMIT 1)
  WHERE user_id = OLD.user_id AND labels = OLD.labels AND min_gpu_memory_gb = OLD.min_gpu_memory_gb;
  DELETE FROM queue_lane
  WHERE user_id = OLD.user_id AND labels = OLD.labels AND min_gpu_memory_gb = OLD.min_gpu_memory_gb AND ready <= 0;
END;

-- A ready run that is deleted leaves its lane in the same way.
CREATE TRIGGER queue_lane_delete AFTER DELETE ON training_task
WHEN OLD.queue_waiting IS 0 AND OLD.status = 'pending' AND OLD.deleted_at IS NULL
BEGIN
  UPDATE queue_lane SET ready = ready - 1, (head_priority, head_task) = (
    SELECT t.priority, t.id FROM training_task t INDEXED BY training_task_ready
    WHERE t.user_id = OLD.user_id AND t.labels = OLD.labels AND t.min_gpu_memory_gb = OLD.min_gpu_memory_gb
      AND t.queue_waiting = 0 AND t.status = 'pending' AND t.deleted_at IS NULL
    ORDER BY t.priority DESC, t.id LIMIT 1)
  WHERE user_id = OLD.user_id AND labels = OLD.labels AND min_gpu_memory_gb = OLD.min_gpu_memory_gb;
  DELETE FROM queue_lane
  WHERE user_id = OLD.user_id AND labels = OLD.labels AND min_gpu_memory_gb = OLD.min_gpu_memory_gb AND ready <= 0;
END;

-- The count of running queue runs of a user increases when one begins, and the time of the turn is
-- noted: the order between users depends on both.
CREATE TRIGGER queue_turn_begin AFTER UPDATE OF status ON training_task
WHEN NEW.queue_waiting IS NOT NULL AND NEW.status = 'running' AND OLD.status <> 'running'
BEGIN
  INSERT INTO queue_turn (user_id, running, served_at)
  VALUES (NEW.user_id, 1, strftime('%Y-%m-%dT%H:%M:%fZ','now'))
  ON CONFLICT DO UPDATE SET running = running + 1, served_at = excluded.served_at;
END;

-- The count decreases when a queue run stops running, whatever ended it.
CREATE TRIGGER queue_turn_end AFTER UPDATE OF status ON training_task
WHEN OLD.queue_waiting IS NOT NULL AND OLD.status = 'running' AND NEW.status <> 'running'
BEGIN
  UPDATE queue_turn SET running = max(0, running - 1) WHERE user_id = OLD.user_id;
END;
