-- An audit that can be changed proves nothing.
CREATE TRIGGER audit_entry_keep BEFORE UPDATE ON audit_entry
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER audit_entry_stay BEFORE DELETE ON audit_entry
BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;
