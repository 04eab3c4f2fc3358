-- Rows that a version holds (the view version_hold) stay. Foreign keys would not do: they would also
-- hold rows of versions that were given up, and every insert would pay for them.

-- A run that a version holds cannot be deleted.
CREATE TRIGGER training_task_held BEFORE DELETE ON training_task
WHEN EXISTS (SELECT 1 FROM version_hold h WHERE h.task_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this task');
END;

-- A file that a version holds cannot be deleted.
CREATE TRIGGER weight_held BEFORE DELETE ON weight
WHEN EXISTS (SELECT 1 FROM version_hold h WHERE h.weight_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this weight');
END;

-- An object that a version holds stays complete, so that no sweep takes its bytes away.
CREATE TRIGGER stored_object_held BEFORE UPDATE OF state ON stored_object
WHEN OLD.state = 'complete' AND NEW.state <> 'complete' AND EXISTS (SELECT 1 FROM version_hold h WHERE h.object_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this object');
END;

-- An object that a version holds cannot be deleted.
CREATE TRIGGER stored_object_stay BEFORE DELETE ON stored_object
WHEN EXISTS (SELECT 1 FROM version_hold h WHERE h.object_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this object');
END;
