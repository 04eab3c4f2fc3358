-- Objects and bytes in the bucket, one row. Two runs may share an object, so that the sum of files is
-- not this number.

-- An object that is inserted as complete counts.
CREATE TRIGGER storage_total_added AFTER INSERT ON stored_object WHEN NEW.state = 'complete'
BEGIN
  UPDATE storage_total SET objects = objects + 1, bytes = bytes + NEW.size WHERE id = 1;
END;

-- An object counts when it becomes complete and no longer when it leaves that state.
CREATE TRIGGER storage_total_stored AFTER UPDATE OF state ON stored_object
WHEN (NEW.state = 'complete') <> (OLD.state = 'complete')
BEGIN
  UPDATE storage_total SET objects = objects + iif(NEW.state = 'complete', 1, -1),
    bytes = bytes + iif(NEW.state = 'complete', NEW.size, -NEW.size) WHERE id = 1;
END;

-- A complete object that is deleted no longer counts.
CREATE TRIGGER storage_total_removed AFTER DELETE ON stored_object WHEN OLD.state = 'complete'
BEGIN
  UPDATE storage_total SET objects = objects - 1, bytes = bytes - OLD.size WHERE id = 1;
END;
