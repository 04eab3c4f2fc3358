-- Runs that wait for others. The end of a run releases its dependents in the statement that ends it,
-- so that no crash in between leaves a run waiting for ever.

-- Success of a run meets the first two dependencies on it at once. More dependents are left to the
-- scheduled job by a row in queue_release, so that a finish has a bounded cost.
CREATE TRIGGER task_dependency_success AFTER UPDATE OF status ON training_task
WHEN NEW.status = 'success' AND OLD.status <> 'success'
BEGIN
  UPDATE task_dependency SET met = 1
  WHERE depends_on = NEW.id AND task_id IN (
    SELECT d.task_id FROM task_dependency d WHERE d.depends_on = NEW.id AND d.met = 0 ORDER BY d.task_id LIMIT 2);
  INSERT INTO queue_release (task_id)
  SELECT NEW.id WHERE EXISTS (SELECT 1 FROM task_dependency d WHERE d.depends_on = NEW.id AND d.met = 0);
END;

-- A dependency that becomes met takes one condition from its waiting run; queue_lane_enter acts when
-- none is left.
CREATE TRIGGER task_dependency_met AFTER UPDATE OF met ON task_dependency
WHEN NEW.met = 1 AND OLD.met = 0
BEGIN
  UPDATE training_task SET queue_waiting = queue_waiting - 1 WHERE id = NEW.task_id AND queue_waiting > 0;
END;
