-- What counts against the bounds of a user: runs, bytes in the database, files, bytes of files and
-- open uploads. Each request compares it with the bounds; triggers keep it, because counting would
-- read every row of the user.

-- A new run counts as one run, with 500 bytes and the length of its long columns.
CREATE TRIGGER user_use_task_added AFTER INSERT ON training_task
BEGIN
  INSERT INTO user_use (user_id, tasks, bytes)
  VALUES (NEW.user_id, 1, 500 + NEW.record_bytes + coalesce(octet_length(NEW.additional_args), 0) + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.command), 0) + coalesce(octet_length(NEW.notes), 0) + coalesce(octet_length(NEW.tags), 0) + coalesce(octet_length(NEW.sample_prompts), 0))
  ON CONFLICT (user_id) DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
END;

-- Longer or shorter long columns of a run change the bytes of its user by the difference.
CREATE TRIGGER user_use_task_changed AFTER UPDATE OF record_bytes, additional_args, node_info, command, notes, tags, sample_prompts ON training_task
WHEN NEW.record_bytes + coalesce(octet_length(NEW.additional_args), 0) + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.command), 0) + coalesce(octet_length(NEW.notes), 0) + coalesce(octet_length(NEW.tags), 0) + coalesce(octet_length(NEW.sample_prompts), 0)
  <> OLD.record_bytes + coalesce(octet_length(OLD.additional_args), 0) + coalesce(octet_length(OLD.node_info), 0) + coalesce(octet_length(OLD.command), 0) + coalesce(octet_length(OLD.notes), 0) + coalesce(octet_length(OLD.tags), 0) + coalesce(octet_length(OLD.sample_prompts), 0)
BEGIN
  UPDATE user_use SET bytes = bytes
    + NEW.record_bytes + coalesce(octet_length(NEW.additional_args), 0) + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.command), 0) + coalesce(octet_length(NEW.notes), 0) + coalesce(octet_length(NEW.tags), 0) + coalesce(octet_length(NEW.sample_prompts), 0)
    - OLD.record_bytes - coalesce(octet_length(OLD.additional_args), 0) - coalesce(octet_length(OLD.node_info), 0) - coalesce(octet_length(OLD.command), 0) - coalesce(octet_length(OLD.notes), 0) - coalesce(octet_length(OLD.tags), 0) - coalesce(octet_length(OLD.sample_prompts), 0)
  WHERE user_id = NEW.user_id;
END;

-- A purged run takes its own bytes and those of its attempts and files from the count. The trigger
-- runs before the delete, while those rows can be found by the user of the run.
CREATE TRIGGER user_use_task_purged BEFORE DELETE ON training_task
BEGIN
  UPDATE user_use SET tasks = tasks - 1,
    bytes = bytes - 500 - OLD.record_bytes - coalesce(octet_length(OLD.additional_args), 0) - coalesce(octet_length(OLD.node_info), 0) - coalesce(octet_length(OLD.command), 0) - coalesce(octet_length(OLD.notes), 0) - coalesce(octet_length(OLD.tags), 0) - coalesce(octet_length(OLD.sample_prompts), 0)
      - (SELECT coalesce(sum(iif(a.status = 'running', a.bytes - min(a.open_size, 131072), 300 + a.bytes + coalesce(octet_length(a.node_info), 0) + coalesce(octet_length(a.tail), 0) + coalesce(octet_length(a.error_message), 0) + octet_length(a.summary))), 0) FROM task_attempt a WHERE a.task_id = OLD.id)
      - (SELECT coalesce(sum(300 + coalesce(octet_length(w.prompt), 0)), 0) FROM weight w WHERE w.task_id = OLD.id),
    files = files - (SELECT count(*) FROM weight w WHERE w.task_id = OLD.id)
  WHERE user_id = OLD.user_id;
END;

-- An attempt that is inserted as ended, or with much in its log, counts with its bytes.
CREATE TRIGGER user_use_attempt_added AFTER INSERT ON task_attempt
WHEN NEW.status <> 'running' OR NEW.bytes > 131072
BEGIN
  UPDATE user_use SET bytes = bytes + iif(NEW.status = 'running', NEW.bytes - min(NEW.open_size, 131072), 300 + NEW.bytes + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.tail), 0) + coalesce(octet_length(NEW.error_message), 0) + octet_length(NEW.summary))
  WHERE user_id = coalesce(NEW.user_id, (SELECT t.user_id FROM training_task t WHERE t.id = NEW.task_id));
END;

-- Bytes of an attempt count as its log grows in full chunks, and wholly when it ends. An open chunk of
-- up to 131,072 bytes does not count, so that most heartbeats write no row of user_use.
CREATE TRIGGER user_use_attempt_changed AFTER UPDATE OF status, bytes, open_size, tail, error_message ON task_attempt
WHEN iif(NEW.status = 'running', NEW.bytes - min(NEW.open_size, 131072), 300 + NEW.bytes + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.tail), 0) + coalesce(octet_length(NEW.error_message), 0) + octet_length(NEW.summary))
  <> iif(OLD.status = 'running', OLD.bytes - min(OLD.open_size, 131072), 300 + OLD.bytes + coalesce(octet_length(OLD.node_info), 0) + coalesce(octet_length(OLD.tail), 0) + coalesce(octet_length(OLD.error_message), 0) + octet_length(OLD.summary))
BEGIN
  UPDATE user_use SET bytes = bytes
    + iif(NEW.status = 'running', NEW.bytes - min(NEW.open_size, 131072), 300 + NEW.bytes + coalesce(octet_length(NEW.node_info), 0) + coalesce(octet_length(NEW.tail), 0) + coalesce(octet_length(NEW.error_message), 0) + octet_length(NEW.summary))
    - iif(OLD.status = 'running', OLD.bytes - min(OLD.open_size, 131072), 300 + OLD.bytes + coalesce(octet_length(OLD.node_info), 0) + coalesce(octet_length(OLD.tail), 0) + coalesce(octet_length(OLD.error_message), 0) + octet_length(OLD.summary))
  WHERE user_id = coalesce(NEW.user_id, (SELECT t.user_id FROM training_task t WHERE t.id = NEW.task_id));
END;

-- A new file counts as one file, with 300 bytes and its prompt, for the user of its run.
CREATE TRIGGER user_use_file_added AFTER INSERT ON weight
BEGIN
  UPDATE user_use SET files = files + 1, bytes = bytes + 300 + coalesce(octet_length(NEW.prompt), 0)
  WHERE user_id = (SELECT t.user_id FROM training_task t WHERE t.id = NEW.task_id);
END;

-- A deleted file no longer counts.
CREATE TRIGGER user_use_file_removed AFTER DELETE ON weight
BEGIN
  UPDATE user_use SET files = files - 1, bytes = bytes - 300 - coalesce(octet_length(OLD.prompt), 0)
  WHERE user_id = (SELECT t.user_id FROM training_task t WHERE t.id = OLD.task_id);
END;

-- Bytes of files are the sum over the rows of storage_use of the user. Triggers on that table pass on
-- the difference, so that both numbers cannot differ.
CREATE TRIGGER user_use_bytes_added AFTER INSERT ON storage_use WHEN NEW.bytes + NEW.trash_bytes <> 0
BEGIN
  INSERT INTO user_use (user_id, file_bytes) VALUES (NEW.user_id, NEW.bytes + NEW.trash_bytes)
  ON CONFLICT (user_id) DO UPDATE SET file_bytes = file_bytes + excluded.file_bytes;
END;

-- The same when a row of storage_use changes; a move between use and trash changes nothing here.
CREATE TRIGGER user_use_bytes_changed AFTER UPDATE OF bytes, trash_bytes ON storage_use
WHEN NEW.bytes + NEW.trash_bytes <> OLD.bytes + OLD.trash_bytes
BEGIN
  UPDATE user_use SET file_bytes = file_bytes + NEW.bytes + NEW.trash_bytes - OLD.bytes - OLD.trash_bytes
  WHERE user_id = NEW.user_id;
END;

-- A new object that is not verified counts as an open upload of its user.
CREATE TRIGGER user_use_upload_added AFTER INSERT ON stored_object
WHEN NEW.user_id IS NOT NULL AND NEW.state IN ('uploading', 'aborted') AND NEW.verified IS NULL
BEGIN
  INSERT INTO user_use (user_id, uploads, upload_bytes) VALUES (NEW.user_id, 1, NEW.size)
  ON CONFLICT (user_id) DO UPDATE SET uploads = uploads + 1, upload_bytes = upload_bytes + excluded.upload_bytes;
END;

-- An upload no longer counts when its bytes are verified; the length of its metadata counts as bytes
-- in the database.
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

-- A deleted object takes its open upload and its metadata from the count.
CREATE TRIGGER user_use_upload_removed AFTER DELETE ON stored_object WHEN OLD.user_id IS NOT NULL
BEGIN
  UPDATE user_use SET
    uploads = uploads - (OLD.state IN ('uploading', 'aborted') AND OLD.verified IS NULL),
    upload_bytes = upload_bytes - iif(OLD.state IN ('uploading', 'aborted') AND OLD.verified IS NULL, OLD.size, 0),
    bytes = bytes - coalesce(octet_length(OLD.metadata), 0)
  WHERE user_id = OLD.user_id;
END;
