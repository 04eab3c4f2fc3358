-- Filters find an action by its subject, so the two have to agree.
CREATE TRIGGER audit_entry_subject_of_action BEFORE INSERT ON audit_entry
WHEN NEW.action NOT GLOB NEW.subject || '.?*'
BEGIN
  SELECT RAISE(ABORT, 'an audit action begins with its subject');
END;
