-- Audit entries and their exports are append-only. Triggers hold this, because the rule must also bind
-- a statement that somebody types at the database, and the code that writes entries must not be able
-- to break it.

-- No statement changes an audit entry.
CREATE TRIGGER audit_entry_keep BEFORE UPDATE ON audit_entry
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;

-- A delete removes only an entry that an audit export covers, so that every entry is always in the
-- database or in the bucket.
CREATE TRIGGER audit_entry_stay BEFORE DELETE ON audit_entry
WHEN NOT EXISTS (
  SELECT 1 FROM (SELECT first_id FROM audit_export WHERE last_id >= OLD.id ORDER BY last_id LIMIT 1) WHERE first_id <= OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;

-- The subject of an entry is the first word of its action. Many statements insert entries; a trigger
-- checks all of them, and a CHECK could not be added without rebuilding the table.
CREATE TRIGGER audit_entry_subject_of_action BEFORE INSERT ON audit_entry
WHEN NEW.action NOT GLOB NEW.subject || '.?*'
BEGIN
  SELECT RAISE(ABORT, 'an audit action begins with its subject');
END;

-- No statement changes an audit export.
CREATE TRIGGER audit_export_keep BEFORE UPDATE ON audit_export
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;

-- No statement deletes an audit export, since audit_entry_stay relies on its range.
CREATE TRIGGER audit_export_stay BEFORE DELETE ON audit_export
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;

-- Ranges of exports follow each other, do not overlap, and end before the newest entry. A CHECK cannot
-- read other rows.
CREATE TRIGGER audit_export_past BEFORE INSERT ON audit_export
WHEN NEW.first_id > NEW.last_id OR NEW.first_id <= coalesce((SELECT max(last_id) FROM audit_export), 0)
  OR NEW.last_id >= coalesce((SELECT max(id) FROM audit_entry), 0)
BEGIN
  SELECT RAISE(ABORT, 'an audit export is of entries that are there and were not exported');
END;
