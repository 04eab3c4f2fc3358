-- How much each user has, for the bounds that cannot be counted at each look. A task's row counts with
-- its long columns and `record_bytes`; the settings files of runs from before this are left out.
INSERT INTO user_use (user_id, tasks, bytes)
SELECT user_id, count(*), sum(500 + record_bytes + coalesce(octet_length(additional_args), 0) + coalesce(octet_length(node_info), 0) + coalesce(octet_length(command), 0) + coalesce(octet_length(notes), 0) + coalesce(octet_length(tags), 0) + coalesce(octet_length(sample_prompts), 0))
FROM training_task GROUP BY user_id;
--> statement-breakpoint
INSERT INTO user_use (user_id, bytes)
SELECT t.user_id, sum(iif(a.status = 'running', a.bytes - min(a.open_size, 131072), 300 + a.bytes + coalesce(octet_length(a.node_info), 0) + coalesce(octet_length(a.tail), 0) + coalesce(octet_length(a.error_message), 0) + octet_length(a.summary)))
FROM task_attempt a JOIN training_task t ON t.id = a.task_id WHERE true GROUP BY t.user_id
ON CONFLICT (user_id) DO UPDATE SET bytes = bytes + excluded.bytes;
--> statement-breakpoint
INSERT INTO user_use (user_id, files, bytes)
SELECT t.user_id, count(*), sum(300 + coalesce(octet_length(w.prompt), 0))
FROM weight w JOIN training_task t ON t.id = w.task_id WHERE true GROUP BY t.user_id
ON CONFLICT (user_id) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes;
--> statement-breakpoint
INSERT INTO user_use (user_id, file_bytes)
SELECT user_id, sum(bytes + trash_bytes) FROM storage_use WHERE true GROUP BY user_id
ON CONFLICT (user_id) DO UPDATE SET file_bytes = file_bytes + excluded.file_bytes;
--> statement-breakpoint
UPDATE stored_object SET user_id = (SELECT t.user_id FROM training_task t WHERE t.id = task_id);
--> statement-breakpoint
INSERT INTO user_use (user_id, uploads, upload_bytes, bytes)
SELECT user_id, sum(state IN ('uploading', 'aborted') AND verified IS NULL), sum(iif(state IN ('uploading', 'aborted') AND verified IS NULL, size, 0)), sum(coalesce(octet_length(metadata), 0))
FROM stored_object WHERE user_id IS NOT NULL GROUP BY user_id
ON CONFLICT (user_id) DO UPDATE SET uploads = uploads + excluded.uploads, upload_bytes = upload_bytes + excluded.upload_bytes, bytes = bytes + excluded.bytes;
--> statement-breakpoint
UPDATE dataset SET links = used.links FROM (SELECT dataset_id, count(*) AS links FROM task_dataset GROUP BY dataset_id) AS used
WHERE used.dataset_id = dataset.id;
--> statement-breakpoint
CREATE TRIGGER user_use_task_added AFTER INSERT ON training_task
BEGIN
  INSERT INTO user_use (user_id, tasks, bytes)
  VALUES (NEW.user_id, 1, 500 + NEW.record_bytes + coalesce(octet_length(NEW.additional_args), 0) + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.command), 0) + coalesce(octet_length(NEW.notes), 0) + coalesce(octet_length(NEW.tags), 0) + coalesce(octet_length(NEW.sample_prompts), 0))
  ON CONFLICT (user_id) DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
END;
--> statement-breakpoint
CREATE TRIGGER user_use_task_changed AFTER UPDATE OF record_bytes, additional_args, node_info, command, notes, tags, sample_prompts ON training_task
WHEN NEW.record_bytes + coalesce(octet_length(NEW.additional_args), 0) + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.command), 0) + coalesce(octet_length(NEW.notes), 0) + coalesce(octet_length(NEW.tags), 0) + coalesce(octet_length(NEW.sample_prompts), 0)
  <> OLD.record_bytes + coalesce(octet_length(OLD.additional_args), 0) + coalesce(octet_length(OLD.node_info), 0) + coalesce(octet_length(OLD.command), 0) + coalesce(octet_length(OLD.notes), 0) + coalesce(octet_length(OLD.tags), 0) + coalesce(octet_length(OLD.sample_prompts), 0)
BEGIN
  UPDATE user_use SET bytes = bytes
    + NEW.record_bytes + coalesce(octet_length(NEW.additional_args), 0) + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.command), 0) + coalesce(octet_length(NEW.notes), 0) + coalesce(octet_length(NEW.tags), 0) + coalesce(octet_length(NEW.sample_prompts), 0)
    - OLD.record_bytes - coalesce(octet_length(OLD.additional_args), 0) - coalesce(octet_length(OLD.node_info), 0) - coalesce(octet_length(OLD.command), 0) - coalesce(octet_length(OLD.notes), 0) - coalesce(octet_length(OLD.tags), 0) - coalesce(octet_length(OLD.sample_prompts), 0)
  WHERE user_id = NEW.user_id;
END;
--> statement-breakpoint
-- All of a purged task counts no more, though rows of other tables follow piece by piece: those find no
-- task any more, and so take nothing off a second time.
CREATE TRIGGER user_use_task_purged BEFORE DELETE ON training_task
BEGIN
  UPDATE user_use SET tasks = tasks - 1,
    bytes = bytes - 500 - OLD.record_bytes - coalesce(octet_length(OLD.additional_args), 0) - coalesce(octet_length(OLD.node_info), 0) - coalesce(octet_length(OLD.command), 0) - coalesce(octet_length(OLD.notes), 0) - coalesce(octet_length(OLD.tags), 0) - coalesce(octet_length(OLD.sample_prompts), 0)
      - (SELECT coalesce(sum(iif(a.status = 'running', a.bytes - min(a.open_size, 131072), 300 + a.bytes + coalesce(octet_length(a.node_info), 0) + coalesce(octet_length(a.tail), 0) + coalesce(octet_length(a.error_message), 0) + octet_length(a.summary))), 0) FROM task_attempt a WHERE a.task_id = OLD.id)
      - (SELECT coalesce(sum(300 + coalesce(octet_length(w.prompt), 0)), 0) FROM weight w WHERE w.task_id = OLD.id),
    files = files - (SELECT count(*) FROM weight w WHERE w.task_id = OLD.id)
  WHERE user_id = OLD.user_id;
END;
--> statement-breakpoint
-- A running attempt counts without its open chunk, so that a heartbeat writes no row more but where it
-- begins a chunk; an attempt that has ended counts with all that it left.
CREATE TRIGGER user_use_attempt_added AFTER INSERT ON task_attempt
WHEN NEW.status <> 'running' OR NEW.bytes > 131072
BEGIN
  UPDATE user_use SET bytes = bytes + iif(NEW.status = 'running', NEW.bytes - min(NEW.open_size, 131072), 300 + NEW.bytes + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.tail), 0) + coalesce(octet_length(NEW.error_message), 0) + octet_length(NEW.summary))
  WHERE user_id = coalesce(NEW.user_id, (SELECT t.user_id FROM training_task t WHERE t.id = NEW.task_id));
END;
--> statement-breakpoint
CREATE TRIGGER user_use_attempt_changed AFTER UPDATE OF status, bytes, open_size, tail, error_message ON task_attempt
WHEN iif(NEW.status = 'running', NEW.bytes - min(NEW.open_size, 131072), 300 + NEW.bytes + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.tail), 0) + coalesce(octet_length(NEW.error_message), 0) + octet_length(NEW.summary))
  <> iif(OLD.status = 'running', OLD.bytes - min(OLD.open_size, 131072), 300 + OLD.bytes + coalesce(octet_length(OLD.node_info), 0) + coalesce(octet_length(OLD.tail), 0) + coalesce(octet_length(OLD.error_message), 0) + octet_length(OLD.summary))
BEGIN
  UPDATE user_use SET bytes = bytes
    + iif(NEW.status = 'running', NEW.bytes - min(NEW.open_size, 131072), 300 + NEW.bytes + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.tail), 0) + coalesce(octet_length(NEW.error_message), 0) + octet_length(NEW.summary))
    - iif(OLD.status = 'running', OLD.bytes - min(OLD.open_size, 131072), 300 + OLD.bytes + coalesce(octet_length(OLD.node_info), 0) + coalesce(octet_length(OLD.tail), 0) + coalesce(octet_length(OLD.error_message), 0) + octet_length(OLD.summary))
  WHERE user_id = coalesce(NEW.user_id, (SELECT t.user_id FROM training_task t WHERE t.id = NEW.task_id));
END;
--> statement-breakpoint
CREATE TRIGGER user_use_file_added AFTER INSERT ON weight
BEGIN
  UPDATE user_use SET files = files + 1, bytes = bytes + 300 + coalesce(octet_length(NEW.prompt), 0)
  WHERE user_id = (SELECT t.user_id FROM training_task t WHERE t.id = NEW.task_id);
END;
--> statement-breakpoint
CREATE TRIGGER user_use_file_removed AFTER DELETE ON weight
BEGIN
  UPDATE user_use SET files = files - 1, bytes = bytes - 300 - coalesce(octet_length(OLD.prompt), 0)
  WHERE user_id = (SELECT t.user_id FROM training_task t WHERE t.id = OLD.task_id);
END;
--> statement-breakpoint
CREATE TRIGGER user_use_bytes_added AFTER INSERT ON storage_use WHEN NEW.bytes + NEW.trash_bytes <> 0
BEGIN
  INSERT INTO user_use (user_id, file_bytes) VALUES (NEW.user_id, NEW.bytes + NEW.trash_bytes)
  ON CONFLICT (user_id) DO UPDATE SET file_bytes = file_bytes + excluded.file_bytes;
END;
--> statement-breakpoint
CREATE TRIGGER user_use_bytes_changed AFTER UPDATE OF bytes, trash_bytes ON storage_use
WHEN NEW.bytes + NEW.trash_bytes <> OLD.bytes + OLD.trash_bytes
BEGIN
  UPDATE user_use SET file_bytes = file_bytes + NEW.bytes + NEW.trash_bytes - OLD.bytes - OLD.trash_bytes
  WHERE user_id = NEW.user_id;
END;
--> statement-breakpoint
-- Unfinished: announced and never complete, until the sweep has taken it away.
CREATE TRIGGER user_use_upload_added AFTER INSERT ON stored_object
WHEN NEW.user_id IS NOT NULL AND NEW.state IN ('uploading', 'aborted') AND NEW.verified IS NULL
BEGIN
  INSERT INTO user_use (user_id, uploads, upload_bytes) VALUES (NEW.user_id, 1, NEW.size)
  ON CONFLICT (user_id) DO UPDATE SET uploads = uploads + 1, upload_bytes = upload_bytes + excluded.upload_bytes;
END;
--> statement-breakpoint
CREATE TRIGGER user_use_upload_changed AFTER UPDATE OF state, verified, metadata ON stored_object
WHEN NEW.user_id IS NOT NULL AND ((NEW.state IN ('uploading', 'aborted') AND NEW.verified IS NULL) <> (OLD.state IN ('uploading', 'aborted') AND OLD.verified IS NULL)
  OR coalesce(octet_length(NEW.metadata), 0) <> coalesce(octet_length(OLD.metadata), 0))
BEGIN
  UPDATE user_use SET
    uploads = uploads + (NEW.state IN ('uploading', 'aborted') AND NEW.verified IS NULL) - (OLD.state IN ('uploading', 'aborted') AND OLD.verified IS NULL),
    upload_bytes = upload_bytes + iif(NEW.state IN ('uploading', 'aborted') AND NEW.verified IS NULL, NEW.size, 0) - iif(OLD.state IN ('uploading', 'aborted') AND OLD.verified IS NULL, OLD.size, 0),
    bytes = bytes + coalesce(octet_length(NEW.metadata), 0) - coalesce(octet_length(OLD.metadata), 0)
  WHERE user_id = NEW.user_id;
END;
--> statement-breakpoint
CREATE TRIGGER user_use_upload_removed AFTER DELETE ON stored_object WHEN OLD.user_id IS NOT NULL
BEGIN
  UPDATE user_use SET
    uploads = uploads - (OLD.state IN ('uploading', 'aborted') AND OLD.verified IS NULL),
    upload_bytes = upload_bytes - iif(OLD.state IN ('uploading', 'aborted') AND OLD.verified IS NULL, OLD.size, 0),
    bytes = bytes - coalesce(octet_length(OLD.metadata), 0)
  WHERE user_id = OLD.user_id;
END;
--> statement-breakpoint
CREATE TRIGGER dataset_unlinked AFTER DELETE ON task_dataset
BEGIN
  UPDATE dataset SET links = links - 1 WHERE id = OLD.dataset_id;
END;
--> statement-breakpoint
-- An audit entry goes only once it lies in a file of the bucket; the newest stays, so that ids go on.
DROP TRIGGER audit_entry_stay;
--> statement-breakpoint
CREATE TRIGGER audit_entry_stay BEFORE DELETE ON audit_entry
WHEN NOT EXISTS (
  SELECT 1 FROM (SELECT first_id FROM audit_export WHERE last_id >= OLD.id ORDER BY last_id LIMIT 1) WHERE first_id <= OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER audit_export_past BEFORE INSERT ON audit_export
WHEN NEW.first_id > NEW.last_id OR NEW.first_id <= coalesce((SELECT max(last_id) FROM audit_export), 0)
  OR NEW.last_id >= coalesce((SELECT max(id) FROM audit_entry), 0)
BEGIN
  SELECT RAISE(ABORT, 'an audit export is of entries that are there and were not exported');
END;
--> statement-breakpoint
CREATE TRIGGER audit_export_keep BEFORE UPDATE ON audit_export
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER audit_export_stay BEFORE DELETE ON audit_export
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;
