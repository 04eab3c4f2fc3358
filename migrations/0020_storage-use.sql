-- What weights take is counted as they come and go. A purged run counts no more, though its files
-- follow within minutes: its row is gone before theirs.
INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
SELECT t.user_id, coalesce(t.experiment_group, ''), w.kind,
  sum(t.deleted_at IS NULL AND w.deleted_at IS NULL), sum(iif(t.deleted_at IS NULL AND w.deleted_at IS NULL, w.size, 0)),
  sum(t.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), sum(iif(t.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL, w.size, 0))
FROM weight w JOIN training_task t ON t.id = w.task_id WHERE w.state = 'complete' GROUP BY 1, 2, 3;
--> statement-breakpoint
INSERT INTO storage_total (id, objects, bytes)
SELECT 1, count(*), coalesce(sum(size), 0) FROM stored_object WHERE state = 'complete';
--> statement-breakpoint
CREATE TRIGGER storage_use_added AFTER INSERT ON weight WHEN NEW.state = 'complete'
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT t.user_id, coalesce(t.experiment_group, ''), NEW.kind,
      iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 0, 1), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 0, NEW.size), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), 1, 0), iif((t.deleted_at IS NOT NULL OR NEW.deleted_at IS NOT NULL), NEW.size, 0)
    FROM training_task t WHERE t.id = NEW.task_id AND true
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;
--> statement-breakpoint
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
--> statement-breakpoint
CREATE TRIGGER storage_use_removed AFTER DELETE ON weight WHEN OLD.state = 'complete'
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT t.user_id, coalesce(t.experiment_group, ''), OLD.kind,
      iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), 0, -1), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), 0, -OLD.size), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), -1, 0), iif((t.deleted_at IS NOT NULL OR OLD.deleted_at IS NOT NULL), -OLD.size, 0)
    FROM training_task t WHERE t.id = OLD.task_id AND true
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;
--> statement-breakpoint
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
--> statement-breakpoint
CREATE TRIGGER storage_use_purged BEFORE DELETE ON training_task
BEGIN
  INSERT INTO storage_use (user_id, experiment_group, kind, files, bytes, trash_files, trash_bytes)
    SELECT OLD.user_id, coalesce(OLD.experiment_group, ''), w.kind,
      -sum(NOT (OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), -sum(iif((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), 0, w.size)), -sum((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL)), -sum(iif((OLD.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL), w.size, 0))
    FROM weight w WHERE w.task_id = OLD.id AND w.state = 'complete' GROUP BY w.kind
    ON CONFLICT (user_id, experiment_group, kind) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
      trash_files = trash_files + excluded.trash_files, trash_bytes = trash_bytes + excluded.trash_bytes;
END;
--> statement-breakpoint
CREATE TRIGGER storage_total_stored AFTER UPDATE OF state ON stored_object
WHEN (NEW.state = 'complete') <> (OLD.state = 'complete')
BEGIN
  UPDATE storage_total SET objects = objects + iif(NEW.state = 'complete', 1, -1),
    bytes = bytes + iif(NEW.state = 'complete', NEW.size, -NEW.size) WHERE id = 1;
END;
--> statement-breakpoint
CREATE TRIGGER storage_total_added AFTER INSERT ON stored_object WHEN NEW.state = 'complete'
BEGIN
  UPDATE storage_total SET objects = objects + 1, bytes = bytes + NEW.size WHERE id = 1;
END;
--> statement-breakpoint
CREATE TRIGGER storage_total_removed AFTER DELETE ON stored_object WHEN OLD.state = 'complete'
BEGIN
  UPDATE storage_total SET objects = objects - 1, bytes = bytes - OLD.size WHERE id = 1;
END;
