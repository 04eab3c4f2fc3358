-- Groups of runs, as MLflow's clients know them.

-- The first run of a group makes the row of the group, and a new run takes a deleted group back into use.
CREATE TRIGGER experiment_begun AFTER INSERT ON training_task
WHEN NEW.experiment_group IS NOT NULL
BEGIN
  INSERT INTO experiment (name) VALUES (NEW.experiment_group)
    ON CONFLICT (name) DO UPDATE SET deleted_at = NULL, updated_at = excluded.updated_at WHERE deleted_at IS NOT NULL;
END;

-- The same where a run moves to a group.
CREATE TRIGGER experiment_moved AFTER UPDATE OF experiment_group ON training_task
WHEN NEW.experiment_group IS NOT NULL AND NEW.experiment_group IS NOT OLD.experiment_group
BEGIN
  INSERT INTO experiment (name) VALUES (NEW.experiment_group)
    ON CONFLICT (name) DO UPDATE SET deleted_at = NULL, updated_at = excluded.updated_at WHERE deleted_at IS NOT NULL;
END;
