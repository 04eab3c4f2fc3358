-- Files and bytes by user, group and kind, in use and in the trash. Pages show them without counting
-- files; triggers add the difference in the same statement, since announcing, completing, trashing,
-- restoring, regrouping and purging all change them.

-- A file that is inserted as complete counts for the user, group and kind of its run.
CREATE TRIGGER storage_use_added AFTER INSERT ON weight WHEN NEW.state = 'complete'
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT t.user_id, coalesce(t.experiment_group, ''), NEW.kind,
      iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 0, 1), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 0, NEW.size), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 1, 0), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), NEW.size, 0)
    FROM training_task t WHERE t.id = NEW.task_id AND true
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;

-- A file that becomes complete, is aborted, or moves between use and trash is taken from its old count
-- and added to its new one.
CREATE TRIGGER storage_use_changed AFTER UPDATE OF state, deleted_at ON weight
WHEN NEW.state <> OLD.state OR NEW.deleted_at IS NOT OLD.deleted_at
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT t.user_id, coalesce(t.experiment_group, ''), OLD.kind,
      iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), 0, -1), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), 0, -OLD.size), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), -1, 0), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), -OLD.size, 0)
    FROM training_task t WHERE t.id = OLD.task_id AND OLD.state = 'complete'
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT t.user_id, coalesce(t.experiment_group, ''), NEW.kind,
      iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 0, 1), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 0, NEW.size), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 1, 0), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), NEW.size, 0)
    FROM training_task t WHERE t.id = NEW.task_id AND NEW.state = 'complete'
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;

-- A complete file that is deleted no longer counts.
CREATE TRIGGER storage_use_removed AFTER DELETE ON weight WHEN OLD.state = 'complete'
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT t.user_id, coalesce(t.experiment_group, ''), OLD.kind,
      iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), 0, -1), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), 0, -OLD.size), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), -1, 0), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), -OLD.size, 0)
    FROM training_task t WHERE t.id = OLD.task_id AND true
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;

-- All complete files of a run move with it when the run changes its group or moves into or out of the
-- trash.
CREATE TRIGGER storage_use_moved AFTER UPDATE OF experiment_group, deleted_at ON training_task
WHEN NEW.experiment_group IS NOT OLD.experiment_group OR (NEW.deleted_at IS NULL) <> (OLD.deleted_at IS NULL)
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT OLD.user_id, coalesce(OLD.experiment_group, ''), w.kind,
      -sum(NOT (OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), -sum(iif((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), 0, w.size)), -sum((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), -sum(iif((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), w.size, 0))
    FROM weight w WHERE w.task_id = OLD.id AND w.state = 'complete' GROUP BY w.kind
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT NEW.user_id, coalesce(NEW.experiment_group, ''), w.kind,
      sum(NOT (NEW.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), sum(iif((NEW.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), 0, w.size)), sum((NEW.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), sum(iif((NEW.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), w.size, 0))
    FROM weight w WHERE w.task_id = NEW.id AND w.state = 'complete' GROUP BY w.kind
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;

-- Files of a purged run no longer count. The trigger runs before the delete: afterwards the group and
-- user of the files cannot be found.
CREATE TRIGGER storage_use_purged BEFORE DELETE ON training_task
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT OLD.user_id, coalesce(OLD.experiment_group, ''), w.kind,
      -sum(NOT (OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), -sum(iif((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), 0, w.size)), -sum((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), -sum(iif((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), w.size, 0))
    FROM weight w WHERE w.task_id = OLD.id AND w.state = 'complete' GROUP BY w.kind
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;
